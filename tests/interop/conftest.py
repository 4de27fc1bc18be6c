"""A live server on granian and on gunicorn, with the clients, people and resource of `deployment.py`."""

import pytest

from tests.interop import deployment
from tests.live import LiveServer, live  # noqa: F401
from tests.person import Person


@pytest.fixture(scope="module")
def server(live: LiveServer) -> LiveServer:  # noqa: F811
    """The live server, set up."""
    live.apply(deployment.document())
    return live


@pytest.fixture
def alice() -> Person:
    """Somebody with an account and a fresh browser."""
    return Person(deployment.USERNAME, deployment.PASSWORD)
