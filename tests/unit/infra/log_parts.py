"""The real parts the log tests stand on: the run's database and a state store, without the rest of the server."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.domain.models import Tenant
from app.infra.audit_appender import AuditAppender
from app.infra.database import make_engine
from app.infra.sinks import Sink
from app.infra.state import StateStore, sql
from app.infra.state.redis import RedisState
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.settings import Settings

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Parts:
    """What audit, outbox and mail are made of."""

    settings: Settings
    tenancy: Tenancy
    state: StateStore

    def tenant(self) -> str:
        """A tenant nobody else uses."""
        slug = f"log-{next(_numbers)}-{os.urandom(4).hex()}"
        with self.tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
            row = Tenant(slug=slug, name=slug)
            session.add(row)
            session.flush()
            return row.id

    def appender(self, *sinks: Sink, consumer: str = "test") -> AuditAppender:
        """A worker's appender."""
        return AuditAppender(self.tenancy, self.state, sinks, consumer=consumer)


@contextmanager
def parts_of(settings: Settings, *, lease_seconds: float = 30) -> Iterator[Parts]:
    """The parts of a migrated deployment."""
    tenancy = Tenancy(make_engine(settings.effective_database_url))
    state: StateStore = (
        RedisState(settings.redis_url, lease_seconds=lease_seconds)
        if settings.redis_url
        else sql.embedded(settings.data_dir, lease_seconds=lease_seconds)
    )
    yield Parts(settings, tenancy, state)
    state.close()
    tenancy.close()
