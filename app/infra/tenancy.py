"""The one way to the main database: a session of one tenant, or of the system across tenants.

What keeps tenants apart: the ORM filter on every statement (`tenant_guard`), and on PostgreSQL row-level security as
the second belt (`row_security`), driven by what each transaction begins with. SQLite has no second belt.

Round trips on PostgreSQL: one to begin (`BEGIN` and the tenant or role in one message), one per statement, one to end.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from sqlalchemy import Engine, column, select, table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.infra.database import BEGIN_OPTION, outages
from app.infra.filter_check import TenancyError
from app.infra.page_slots import holding
from app.infra.tenant_guard import TenantSession

__all__ = ["SYSTEM_ROLE", "SystemReason", "Tenancy", "TenancyError", "tenant_of"]

SYSTEM_ROLE = "watchword_system"
"""The PostgreSQL role of work across tenants. The application role is a member that does not inherit from it."""

_TENANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SystemReason(Enum):
    """Why code reaches across tenants: a name, and whether every use is audited one by one."""

    TENANT_DIRECTORY = ("tenant_directory", False)
    CONFIG_VERSIONS = ("config_versions", False)
    OUTBOX = ("outbox", False)
    WORKER = ("worker", False)
    AUDIT = ("audit", False)
    MAINTENANCE = ("maintenance", False)
    RECONCILE = ("reconcile", False)
    DEPLOYMENT_SECRETS = ("deployment_secrets", False)
    REWRAP = ("rewrap", True)
    FIRST_START = ("first_start", True)
    COMMAND_LINE = ("command_line", True)

    def __init__(self, label: str, audited: bool) -> None:
        self.label = label
        self.is_audited = audited


class Tenancy:
    """Opens sessions on one engine. One per process; safe for threads.

    `on_system_use` is called with the reason before an audited system session opens, outside any transaction.
    """

    def __init__(
        self, engine: Engine, *, on_system_use: Callable[[SystemReason], None] | None = None
    ) -> None:
        self.engine = engine
        self.on_system_use = on_system_use
        self._is_postgresql = engine.dialect.name == "postgresql"

    @contextmanager
    def session(self, tenant_id: str, *, write: bool = False) -> Iterator[Session]:
        """One transaction of one tenant: committed at the end of the block, rolled back on any exception.

        Without `write` nothing can be changed. On SQLite writers take turns from the first statement on, so a
        writing block should be short, and must not open another one. Raises `Unavailable` when the database cannot
        answer, `TenancyError` for what crosses tenants.
        """
        if not _TENANT_ID.fullmatch(tenant_id):
            raise TenancyError("not the id of a tenant")
        scope = f"SELECT set_config('watchword.tenant', '{tenant_id}', true)"
        with self._transaction(tenant_id, write, scope) as session:
            yield session

    @contextmanager
    def system(self, reason: SystemReason, *, write: bool = False) -> Iterator[Session]:
        """One transaction across tenants, under a PostgreSQL role of its own. New rows have to name their tenant."""
        if reason.is_audited and self.on_system_use is not None:
            self.on_system_use(reason)
        with self._transaction(None, write, f"SET LOCAL ROLE {SYSTEM_ROLE}") as session:
            yield session

    def config_versions(self) -> dict[str, int]:
        """Every tenant's `config_version`, disabled ones included: what caches are checked against."""
        tenants = table("tenants", column("id"), column("config_version"))
        with self.system(SystemReason.CONFIG_VERSIONS) as session:
            # All rows at once: there may be thousands of tenants, and this is asked twice a second.
            found = session.execute(select(tenants.c.id, tenants.c.config_version)).all()
            return {str(tenant_id): int(version) for tenant_id, version in found}

    def ping(self) -> None:
        """Ask the database to answer. Raises `Unavailable`."""
        with outages(), self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Close idle connections."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, tenant_id: str | None, write: bool, scope: str) -> Iterator[TenantSession]:
        if self._is_postgresql:
            begin = f"BEGIN {'READ WRITE' if write else 'READ ONLY'}; {scope}"
        else:
            begin = "BEGIN IMMEDIATE" if write else "BEGIN"
        with outages(), self._begun(tenant_id, write, begin) as session:
            if not write:
                yield session
                return
            with holding():
                yield session
                session.commit()

    def _begun(self, tenant_id: str | None, write: bool, begin: str) -> TenantSession:
        """A session whose transaction has begun.

        A pooled connection that died while idle (the database was restarted) is noticed by its first message, before
        anything was done, and replaced once. That is cheaper than asking before each use whether it lives.
        """
        try:
            return self._begin(tenant_id, write, begin)
        except DBAPIError as fault:
            if not fault.connection_invalidated:
                raise
            return self._begin(tenant_id, write, begin)

    def _begin(self, tenant_id: str | None, write: bool, begin: str) -> TenantSession:
        session = TenantSession(self.engine, tenant_id=tenant_id, write=write)
        try:
            session.begin()
            session.connection(execution_options={BEGIN_OPTION: begin})
        except BaseException:
            session.close()
            raise
        return session


def tenant_of(session: Session) -> str:
    """The tenant a session belongs to. Raises `TenancyError` for a system session."""
    if not isinstance(session, TenantSession) or session.tenant_id is None:
        raise TenancyError("a system session belongs to no tenant")
    return session.tenant_id
