"""The implementations of the state port, each on a real store, and processes that use the same one."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from app.infra.state import Key, StateStore
from app.infra.state.redis import RedisState
from app.infra.state.sql import embedded, on_database
from app.infra.state.sql_tables import create_schema
from tests.servers import SUPERUSER, PostgresServer, RedisServer

IMPLEMENTATIONS = ("sqlite", "postgresql", "redis")
LEASE_SECONDS = 0.4

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: what another process needs to open the same one."""

    kind: str
    address: str

    def open(self) -> StateStore:
        """A store of its own on the same data."""
        if self.kind == "sqlite":
            return embedded(Path(self.address), lease_seconds=LEASE_SECONDS)
        if self.kind == "postgresql":
            return on_database(self.address, lease_seconds=LEASE_SECONDS)
        return RedisState(self.address, lease_seconds=LEASE_SECONDS)


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Each implementation in turn, empty, for the tests of one module."""
    if request.param == "sqlite":
        yield Place("sqlite", str(tmp_path_factory.mktemp("state")))
    elif request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        yield Place("redis", server.url)
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        with postgres.database() as database:
            url = postgres.url(database, role=SUPERUSER)
            engine = create_engine(url)
            create_schema(engine)
            engine.dispose()
            yield Place("postgresql", url)


@pytest.fixture
def state(place: Place) -> Iterator[StateStore]:
    """A store."""
    with contextlib.closing(place.open()) as store:
        yield store


@pytest.fixture
def tenant_id() -> str:
    """A tenant whose keys no other test touches."""
    return f"tenant-{next(_numbers)}"


@pytest.fixture
def key(tenant_id: str) -> Callable[..., Key]:
    """Makes keys of this test's own."""
    return lambda name="one", kind="value": Key(tenant_id, kind, name)
