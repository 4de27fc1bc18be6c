"""Fixtures every suite uses: real servers, one deployment per run, one tenant per test.

`--storage embedded` (SQLite and SQL state) is the default; `--storage production` is PostgreSQL and Redis.
A test asks for `services`, `tenant`, `app` or `http` and runs the same on both.
"""

import base64
import dataclasses
import ipaddress
import itertools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from app.kernel.settings import Settings
from tests.servers import OWNER_ROLE, PostgresServer, RedisServer

if TYPE_CHECKING:
    from flask import Flask
    from playwright.sync_api import Browser
    from werkzeug.test import TestResponse

    from app.domain.tenants import TenantContext
    from app.web.services import Services

EMBEDDED, PRODUCTION = "embedded", "production"

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--storage",
        choices=(EMBEDDED, PRODUCTION),
        default=EMBEDDED,
        help="embedded: SQLite and SQL state; production: PostgreSQL and Redis",
    )


def pytest_configure() -> None:
    """Ended by a time limit, a run still ends its servers: SIGTERM is taken like Ctrl-C.

    Generated examples are the same in every run, and no clock judges them: a busy machine is no fault.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is the same on every storage, so that it is not run once more for each."""
    for item in items:
        if "storage" not in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.unstored)


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """No test reaches beyond this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _refusing(getattr(socket.socket, name)))
        yield


def _refusing(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> str:
    """`embedded` or `production`."""
    chosen: str = request.config.getoption("--storage")
    return chosen


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The run's Redis. Tests that stop, kill or restore a server start their own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The run's PostgreSQL. Tests that stop or kill a server start their own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The run's Chromium: Playwright allows one of its kind at a time."""
    from tests.browser.chromium import chromium

    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of the run's deployment, its database migrated."""
    from app.infra import migrations

    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), master_key=new_master_key())
    if storage == PRODUCTION:
        redis: RedisServer = request.getfixturevalue("redis_server")
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        settings = dataclasses.replace(
            settings, redis_url=redis.url, **database_urls(postgres, postgres.create_database())
        )
    migrations.upgrade(settings)
    return settings


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a migrated database, of either kind whatever `--storage` says; shared by the run."""
    from app.infra import migrations

    settings = Settings(data_dir=tmp_path_factory.mktemp("any"), master_key=new_master_key())
    if request.param == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        settings = dataclasses.replace(settings, **database_urls(postgres, postgres.create_database()))
    migrations.upgrade(settings)
    return settings


def database_urls(postgres: PostgresServer, database: str) -> dict[str, str]:
    """The members of `Settings` that name a PostgreSQL database."""
    return {
        "database_url": postgres.url(database),
        "migration_database_url": postgres.url(database, role=OWNER_ROLE),
    }


def new_master_key() -> str:
    """A master key as an operator would make one."""
    return "test:" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode("ascii")


@pytest.fixture
def settings(deployment: Settings) -> Settings:
    """The settings of this test. A module that wants others overrides this fixture (`dataclasses.replace`)."""
    return deployment


@pytest.fixture(scope="session")
def _shared_services(deployment: Settings) -> Iterator["Services"]:
    from app import wiring

    services = wiring.build(deployment)
    yield services
    services.close()


@pytest.fixture
def services(
    request: pytest.FixtureRequest, settings: Settings, deployment: Settings
) -> Iterator["Services"]:
    """The wired parts; one set for the whole run unless the test has settings of its own."""
    from app import wiring

    if settings is deployment:
        yield request.getfixturevalue("_shared_services")
        return
    services = wiring.build(settings)
    yield services
    services.close()


@pytest.fixture
def tenant(services: "Services") -> "TenantContext":
    """A tenant nobody else uses, with the built-in roles, at `/t/{slug}`."""
    return new_tenant(services)


def new_tenant(services: "Services", slug: str = "") -> "TenantContext":
    """Make a tenant the way an operator does; tests about two tenants call it for the second."""
    from app.domain import tenants
    from app.infra.tenancy import SystemReason

    slug = slug or f"t{next(_numbers)}-{os.urandom(4).hex()}"
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenant_id = tenants.create(session, slug=slug, name=slug.upper()).id
    services.versions.touch()
    found = services.tenants.by_id(tenant_id)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def _shared_app(deployment: Settings, _shared_services: "Services") -> "Flask":
    from app import create_app

    return create_app(deployment, services=_shared_services)


@pytest.fixture
def app(
    request: pytest.FixtureRequest, settings: Settings, deployment: Settings, services: "Services"
) -> "Flask":
    """The application of `settings`, over the same database and state as `services`; one for the whole run where these
    are. To build one takes as long as many a test."""
    from app import create_app

    if settings is deployment and services is request.getfixturevalue("_shared_services"):
        shared: Flask = request.getfixturevalue("_shared_app")
        return shared
    return create_app(settings, services=services)


@pytest.fixture
def http(app: "Flask", tenant: "TenantContext") -> "Http":
    """A client of the whole WSGI application (edge and Flask), with a cookie jar, at `tenant`."""
    return Http(app, tenant)


class Http:
    """Requests straight into `app.wsgi_app`. Paths are the tenant's own: `/token`, not `/t/slug/token`.

    `get` and `post` take `headers`, `query` (str or dict), and `post` one of `form` (dict or list of pairs),
    `json` and `data` (bytes). An absolute path is reached with `raw=True`. Redirects are not followed.
    """

    def __init__(self, app: "Flask", tenant: "TenantContext") -> None:
        from werkzeug.test import Client

        self.app = app
        self.tenant = tenant
        self.client = Client(app.wsgi_app)

    def get(self, path: str, **options: Any) -> "TestResponse":
        """A GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> "TestResponse":
        """A POST request."""
        return self.request("POST", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        raw: bool = False,
        form: Any = None,
        query: Any = None,
        headers: Any = None,
        **options: Any,
    ) -> "TestResponse":
        """Any request; `options` are those of `werkzeug.test.EnvironBuilder`."""
        from urllib.parse import urlencode

        if form is not None:
            options["data"] = urlencode(form, doseq=True)
            options["content_type"] = "application/x-www-form-urlencoded"
        host = self.tenant.host
        base_url = f"http://{host}" if host else self.app.extensions["watchword"].settings.base_url
        options.setdefault("environ_base", {"REMOTE_ADDR": "127.0.0.1"})
        return self.client.open(
            path if raw else self.tenant.path + path,
            method=method,
            base_url=base_url,
            query_string=query,
            headers=headers,
            **options,
        )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data folder, for tests that make a deployment of their own."""
    folder = tmp_path / "data"
    folder.mkdir(0o700)
    return folder
