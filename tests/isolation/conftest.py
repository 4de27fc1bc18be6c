"""Two tenants with a row in every table."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.domain.models import Tenant
from app.infra.database import make_engine
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.settings import Settings
from tests.isolation.rows import fill

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Pair:
    """Tenant A owns what tenant B is after."""

    tenancy: Tenancy
    a: str
    b: str
    rows_of_a: dict[type, tuple[Any, ...]]
    rows_of_b: dict[type, tuple[Any, ...]]


def make_pair(tenancy: Tenancy) -> Pair:
    """Two new tenants, filled."""
    with tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        a, b = (Tenant(slug=f"isolation-{next(_numbers)}", name=name) for name in "AB")
        session.add_all([a, b])
        session.flush()
        return Pair(tenancy, a.id, b.id, fill(session, a.id), fill(session, b.id))


@pytest.fixture(scope="session")
def shared_pair(any_database: Settings) -> Iterator[Pair]:
    """For tests that only try."""
    tenancy = Tenancy(make_engine(any_database.effective_database_url, pool_size=2))
    yield make_pair(tenancy)
    tenancy.close()


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """For tests whose success would leave traces: tenants of their own."""
    return make_pair(shared_pair.tenancy)
