"""The tables of state kept in SQL. They are no tenant's rows: keys name their tenant, as in Redis."""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

state_metadata = MetaData()

values = Table(
    "state_values",
    state_metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("value", LargeBinary),
    Column("number", BigInteger),
    Column("expires_at", Double, nullable=False),
    Index("ix_state_values_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)
"""Values, and counters: one of `value` and `number` is null. Instants are seconds since the epoch."""

members = Table(
    "state_members",
    state_metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("member", LargeBinary, primary_key=True),
    Column("expires_at", Double, nullable=False),
    Index("ix_state_members_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)
"""Sets; all members of one expire at one time."""

entries = Table(
    "state_entries",
    state_metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("stream", LargeBinary, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("consumer", String),
    Column("leased_until", Double, nullable=False),
    Index("ix_state_entries_stream_id", "stream", "id"),
    sqlite_autoincrement=True,
)
"""Streams. `id` is never used again, because readers tell entries apart by it."""


def create_schema(engine: Engine) -> None:
    """Create the tables that do not exist. Safe to run by several processes at once."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('state_metadata'))")
        state_metadata.create_all(connection)
