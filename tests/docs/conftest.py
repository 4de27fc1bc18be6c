"""One server for all how-to pages: the deployment of a reader, at the pages' own example address."""

import base64
import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import PRODUCTION
from tests.docs.newcomer import Folder, Reading, apply, clean_environment
from tests.live import LiveServer, new_deployment
from tests.person import Person
from tests.servers import RedisServer

USERNAME, PASSWORD = "alice", "correct-horse-battery"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="{}"/></svg>'
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GROUPS = ("staff", "grafana-admins", "team-red", "writers")
PEOPLE: dict[str, Any] = {
    "tenants": [
        {
            "slug": "default",
            "groups": [{"name": name} for name in GROUPS],
            "users": [
                {
                    "username": USERNAME,
                    "password": PASSWORD,
                    "email": "alice@example.com",
                    "email_verified": True,
                    "groups": list(GROUPS),
                    "claims": {"name": "Alice Adams"},
                }
            ],
        }
    ]
}


@pytest.fixture(scope="session")
def documented(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server at `http://localhost:<port>`, where the pages say `http://localhost:8000` or `https://id.example.com`."""
    with ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            servers["redis"] = stack.enter_context(RedisServer())
            servers["postgres"] = request.getfixturevalue("postgres_server")
        settings = stack.enter_context(
            # As the page about signing out has it, for applications on this machine.
            new_deployment(
                storage, tmp_path_factory.mktemp("documented"), fetch_allow=("127.0.0.1",), **servers
            )
        )
        settings = dataclasses.replace(settings, base_url=f"http://localhost:{settings.port}")
        live = stack.enter_context(LiveServer(settings))
        live.apply(PEOPLE)
        yield live


@pytest.fixture
def folder(documented: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A reader's folder, whose `watchword` speaks to the server's deployment."""
    ours = {name: value for name, value in documented.environment().items() if name.startswith("WATCHWORD_")}
    return Folder(tmp_path_factory.mktemp("reader"), clean_environment(**ours))


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder with a deployment of its own that nobody signs in to: what pages decide for a tenant is tried there."""
    folder = Folder(tmp_path_factory.mktemp("apart"), clean_environment())
    folder.run("watchword migrate")
    for name, colour in (("logo", "#123"), ("logo-dark", "#eef")):
        folder.write(f"{name}.svg", SVG.format(colour))
    (folder.path / "icon.png").write_bytes(PNG)
    apply(folder, PEOPLE)
    return folder


@pytest.fixture
def reader(documented: LiveServer) -> "ReaderOf":
    """Opens a page with the server's address in it."""
    return ReaderOf(documented)


@dataclasses.dataclass(frozen=True)
class ReaderOf:
    """Opens pages for one server."""

    live: LiveServer

    def __call__(self, name: str, **more: str) -> Reading:
        """The page; `more` is what else to put in its place."""
        here = {"http://localhost:8000": self.live.base_url, "https://id.example.com": self.live.base_url}
        return Reading(name, {**here, **more})


@pytest.fixture
def alice() -> Person:
    """Somebody with an account and a fresh browser."""
    return Person(USERNAME, PASSWORD)
