"""A provider at an https issuer, set up as for certification: one person with every claim, two clients of 2014.

Every test here runs twice: with the application itself, and through nginx with TLS (`front`).
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask

from app.domain import users
from app.domain.tenants import TenantContext
from app.kernel.settings import Settings
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.profiles import front as fronts
from tests.profiles.bank import VARIANTS, Bank, Variant
from tests.profiles.browser import Browser
from tests.profiles.front import Front
from tests.profiles.relying_party import RelyingParty, ResponseMode, Wire
from tests.protocol.browserless import REDIRECT_URI, Person
from tests.protocol.parties import EVERY_CLAIM, new_client

CALLBACK = "https://rp.example.com/callback"
OTHER_CALLBACK = "https://rp.example.com/another"
REDIRECT_URI_WITH_QUERY = REDIRECT_URI + "?dummy1=lorem&dummy2=ipsum"
SIGNED_OUT = "https://rp.example.com/signed-out"
USERNAME, PASSWORD = "alice", "correct-horse-battery"
SCOPES = "openid profile email address phone offline_access"


@dataclass(frozen=True)
class Provider:
    """The provider under test, and how to come by browsers and clients."""

    front: Front
    tenant: TenantContext
    known: dict[str, RelyingParty] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        """The parts of the server."""
        return self.front.services

    @property
    def app(self) -> Flask:
        """The application behind the front."""
        return self.front.app

    def browser(self) -> Browser:
        """A browser nobody signed in with yet."""
        return Browser(self.front, USERNAME, PASSWORD)

    def client(self, client_id: str, method: str = "client_secret_basic", **metadata: Any) -> RelyingParty:
        """A client as the programme's configuration names it, registered when it is first asked for."""
        if client_id not in self.known:
            self.known[client_id] = self.register(client_id, method, **metadata)
        return self.known[client_id]

    def register(self, client_id: str, method: str = "client_secret_basic", **metadata: Any) -> RelyingParty:
        """A new client, with the programme's usual metadata and more."""
        party = new_client(
            self.services,
            self.tenant,
            client_id=client_id,
            redirect_uris=[CALLBACK, OTHER_CALLBACK],
            post_logout_redirect_uris=[SIGNED_OUT],
            grant_types=["authorization_code", "refresh_token"],
            token_endpoint_auth_method=method,
            scope=SCOPES,
            **{"profile": "oidc-legacy", **metadata},
        )
        wire = Wire(self.front)
        return RelyingParty(wire, self.tenant.issuer, party.client_id, party.secret, CALLBACK, method=method)


def new_provider(front: Front) -> Provider:
    """A provider with its person behind a front."""
    services = front.services
    tenant = new_tenant(services)
    with services.tenancy.session(tenant.id, write=True) as session:
        users.create(
            session,
            username=USERNAME,
            email="alice@example.com",
            email_verified=True,
            password_hash=services.passwords.hash(PASSWORD),
            claims=EVERY_CLAIM,
        )
    return Provider(front, tenant)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test with each front; those of a FAPI client also with each way it may authenticate and be bound."""
    if "variant" in metafunc.fixturenames:
        wanted = getattr(metafunc.function, "variants", VARIANTS)
        cases = [pytest.param(v.front, v, id=str(v), marks=_marks(v.front)) for v in wanted]
        metafunc.parametrize(("front", "variant"), cases, indirect=["front"])
    elif "front" in metafunc.fixturenames:
        names = getattr(metafunc.function, "fronts", (fronts.DIRECT, fronts.NGINX))
        cases = [pytest.param(name, marks=_marks(name)) for name in names]
        metafunc.parametrize("front", cases, indirect=True)


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.interop] if name == fronts.NGINX else []


Providers = Callable[[str], Provider]


@pytest.fixture(scope="session")
def _providers(deployment: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    """Behind each front one for the whole run, whatever order the tests come in; nginx only where one asks for it."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def behind(name: str) -> Provider:
            if name == fronts.DIRECT:
                return new_provider(stack.enter_context(fronts.direct(deployment)))
            folder = tmp_path_factory.mktemp("front")
            return new_provider(stack.enter_context(fronts.through_nginx(deployment, folder)))

        yield behind


@pytest.fixture
def front(request: pytest.FixtureRequest, _providers: Providers) -> Front:
    """The way in."""
    return _providers(request.param).front


@pytest.fixture
def provider(front: Front, _providers: Providers) -> Provider:
    """The provider, with its person."""
    return _providers(front.name)


@pytest.fixture
def services(front: Front) -> Services:
    """The parts of the server behind it."""
    return front.services


@pytest.fixture
def http(front: Front, tenant: TenantContext) -> Http:
    """A client of the test's tenant, with a cookie jar."""
    return front.http(tenant)


@pytest.fixture
def first_client(provider: Provider) -> RelyingParty:
    """The programme's client 1."""
    return provider.client("client-1")


@pytest.fixture
def second_client(provider: Provider) -> RelyingParty:
    """The programme's client 2."""
    return provider.client("client-2")


@pytest.fixture
def post_client(provider: Provider) -> RelyingParty:
    """The client that sends its secret in the body."""
    return provider.client("client-post", "client_secret_post")


@pytest.fixture(params=["query", "form_post"])
def mode(request: pytest.FixtureRequest) -> ResponseMode:
    """How answers come: the Basic plan's way, and the Form Post plan's."""
    chosen: ResponseMode = request.param
    return chosen


@pytest.fixture
def party(first_client: RelyingParty, mode: ResponseMode) -> RelyingParty:
    """Client 1, once with each response mode."""
    return first_client.answering_by(mode)


@pytest.fixture
def browser(provider: Provider) -> Browser:
    """A browser of the test's own."""
    return provider.browser()


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    """Somebody with every claim, at the browser of the test's tenant."""
    with services.tenancy.session(tenant.id, write=True) as session:
        users.create(
            session,
            username=USERNAME,
            email="alice@example.com",
            email_verified=True,
            password_hash=services.passwords.hash(PASSWORD),
            claims=EVERY_CLAIM,
        )
    return Person(http)


@pytest.fixture
def first(
    request: pytest.FixtureRequest, front: Front, tenant: TenantContext, http: Http, variant: Variant
) -> Bank:
    """Client 1 of a FAPI plan, of the module's profile."""
    return Bank.at(front, tenant, http, variant, profile=request.module.PROFILE)


@pytest.fixture
def second(
    request: pytest.FixtureRequest, front: Front, tenant: TenantContext, http: Http, variant: Variant
) -> Bank:
    """Client 2 of a FAPI plan, with a redirect URI that has a query of its own."""
    uris = [REDIRECT_URI, REDIRECT_URI_WITH_QUERY]
    return Bank.at(front, tenant, http, variant, profile=request.module.PROFILE, redirect_uris=uris)
