"""Alembic's environment. One transaction for everything, under a lock: of processes that start together one migrates.

From code: `app.infra.migrations`. By hand, to write a new revision against a migrated database:

    alembic -c migrations/alembic.ini revision --autogenerate -m "Say what it does"

Migrations go forward only and keep the previous release working: expand now, contract one release later. On
PostgreSQL they run as the owner, whom row-level security shows no row: one that changes rows lifts it for the length
of its transaction (`ALTER TABLE x NO FORCE ROW LEVEL SECURITY`); it is put back at the end.
"""

import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Engine, make_url, text

from app.domain import models
from app.infra import row_security, yaml
from app.infra.database import IMMEDIATE, make_engine
from app.infra.db import Instant, db
from app.infra.state.sql_tables import state_metadata
from app.kernel import settings as deployment

LOCK_NUMBER = 0x77617463
LOCK_TIMEOUT_MILLISECONDS = 120_000

assert models.__all__, "importing the models fills the metadata"


def _by_hand() -> None:
    settings = deployment.load(os.environ, parse_yaml=yaml.load)
    context.config.attributes["engine"] = make_engine(
        settings.migration_database_url or settings.effective_database_url, pool_size=1, statement_seconds=0
    )
    context.config.attributes["application_role"] = make_url(settings.effective_database_url).username


def _prepare_sqlite(connection: Connection) -> None:
    # Neither can be changed inside a transaction; batch operations replace whole tables, which must not cascade.
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA busy_timeout={LOCK_TIMEOUT_MILLISECONDS}")
    driver.execute("PRAGMA foreign_keys=OFF")


def _migrate(engine: Engine) -> None:
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(**IMMEDIATE if is_sqlite else {}) as connection:
        if is_sqlite:
            _prepare_sqlite(connection)
        context.configure(
            connection=connection,
            # Beside SQLite, state has a file of its own.
            target_metadata=db.metadata if is_sqlite else [db.metadata, state_metadata],
            render_as_batch=is_sqlite,
            render_item=_render,
            transactional_ddl=True,
            compare_type=True,
        )
        with context.begin_transaction():
            if not is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})"))
            context.run_migrations()
            if is_sqlite:
                _refuse_orphans(connection)
            else:
                role = context.config.attributes["application_role"]
                row_security.apply(connection, role, shared_tables=sorted(state_metadata.tables))


def _render(kind: str, item: object, _autogen: object) -> str | Literal[False]:
    # A migration is frozen: it names SQLAlchemy's types, not ours.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Instant) else False


def _refuse_orphans(connection: Connection) -> None:
    if orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        raise RuntimeError(f"rows without the rows they refer to: {orphans[:5]}")


if "engine" not in context.config.attributes:
    _by_hand()
_migrate(context.config.attributes["engine"])
