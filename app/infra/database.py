"""Engines: how connections are made, how transactions begin, and which errors mean "not available right now".

Transactions are begun by us rather than by the drivers. SQLite's driver would begin too late and never `IMMEDIATE`;
PostgreSQL's would spend a round trip on `BEGIN` alone, where ours carries the tenant or the role along.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.infra import filter_check
from app.infra.page_slots import give_way
from app.infra.turns import BEGIN as BEGIN_IMMEDIATE
from app.infra.turns import Turns
from app.kernel.errors import ConfigurationError, Unavailable

BUSY_TIMEOUT_SECONDS = 5.0
POOL_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5

STATEMENT_SECONDS = 15
IDLE_IN_TRANSACTION_SECONDS = 30
"""Shorter than `domain.revocation.SETTLE_SECONDS`: no transaction that revokes may commit later than that."""

_POSTGRESQL = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "application_name": "watchword",
    # A server that froze or vanished without a word must not hold a thread until the system gives up, in minutes.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

BEGIN_OPTION = "watchword_begin"
"""The execution option that holds the statement a connection's transaction begins with."""
IMMEDIATE = {BEGIN_OPTION: BEGIN_IMMEDIATE}
"""Execution options of a writing transaction on SQLite."""

_SQLITE_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def make_engine(url: str, *, pool_size: int = 8, statement_seconds: int = STATEMENT_SECONDS) -> Engine:
    """An engine for a SQLite or PostgreSQL URL; connects to nothing yet.

    On PostgreSQL no statement takes longer than `statement_seconds` (0: as long as it wants, for migrations).

    `pool_size` is the number of threads that use it: that many connections stay open, and as many again may be
    opened for a session within a session. Connections are not shared with forked children.
    """
    found = make_url(url)
    options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size}
    options |= {"pool_timeout": POOL_TIMEOUT_SECONDS, "pool_use_lifo": True}
    if found.get_backend_name() == "sqlite":
        if found.database:
            _make_folder(Path(found.database).parent)
        options["connect_args"] = {"timeout": BUSY_TIMEOUT_SECONDS}
        prepare = _prepare_sqlite
    else:
        options["connect_args"] = {**_POSTGRESQL, "options": _limits(statement_seconds)}
        prepare = _prepare_postgresql
    # Bound values are people's data and secrets: they stay out of exceptions and logs.
    engine = create_engine(found, hide_parameters=True, **options)
    prepare(engine)
    turns = Turns(BUSY_TIMEOUT_SECONDS)
    event.listen(engine, "begin", partial(_begin, turns))
    event.listen(engine, "before_cursor_execute", filter_check.check)
    event.listen(engine, "before_cursor_execute", _before_statement)
    _forget_when_forked(engine, turns)
    return engine


@contextmanager
def outages() -> Iterator[None]:
    """Turn a lost, refused or exhausted database into `Unavailable`; let every other error pass."""
    try:
        yield
    except PoolTimeoutError as fault:
        raise Unavailable("database.busy", detail=str(fault)) from fault
    except DBAPIError as fault:
        if not is_outage(fault):
            raise
        raise Unavailable("database.unavailable", detail=str(fault.orig)) from fault


def is_outage(fault: DBAPIError) -> bool:
    """Whether the same statement may work when it is tried again later."""
    if fault.connection_invalidated:
        return True
    if isinstance(fault.orig, sqlite3.Error):
        code = getattr(fault.orig, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_OUTAGES
    # psycopg keeps OperationalError for what is the server's or the connection's state: shutting down, too many
    # connections, out of memory or disk, deadlock, serialization failure.
    return isinstance(fault.orig, psycopg.OperationalError)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(BEGIN_OPTION) == BEGIN_IMMEDIATE)


def _begin(turns: Turns, connection: Connection) -> None:
    if not _writes(connection):
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, "BEGIN"))
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)

    def begin() -> None:
        try:
            connection.exec_driver_sql(BEGIN_IMMEDIATE)
        except DBAPIError as fault:
            raise (fault.orig or fault) from fault

    give_way()
    try:
        turns.take(driver, begin)
    except sqlite3.OperationalError as fault:
        raise Unavailable("database.unavailable", detail=str(fault)) from fault


def _before_statement(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    # Whose turn it is to write has given way before.
    if statement != BEGIN_IMMEDIATE:
        give_way()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        todo = "Set WATCHWORD_DATA_DIR to a folder this account may use"
        raise ConfigurationError([f"{folder}: cannot be made ({fault.strerror}). {todo}"]) from None


def _limits(statement_seconds: int) -> str:
    """What the server is asked to enforce on our connections, in milliseconds."""
    return (
        f"-c statement_timeout={statement_seconds * 1000} "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS * 1000}"
    )


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Processes that start together on a new file collide here, where SQLite does not wait by itself."""
    end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
        if time.monotonic() > end:
            raise sqlite3.OperationalError("this file system cannot hold SQLite's write-ahead log")
        time.sleep(0.01)


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        # The driver would send a BEGIN of its own otherwise. It still sends COMMIT and ROLLBACK.
        connection.autocommit = True

    @event.listens_for(engine, "do_execute")
    def execute(cursor: Any, statement: str, _parameters: object, _context: object) -> bool | None:
        if not statement.startswith("BEGIN"):
            return None
        # Several statements in one string cannot be prepared on the server, which the driver would try the fifth time.
        cursor.execute(statement, prepare=False)
        return True


def _forget_when_forked(engine: Engine, turns: Turns) -> None:
    known = weakref.ref(engine)

    def forget() -> None:
        if (inherited := known()) is not None:
            inherited.dispose(close=False)
            turns.renew()

    os.register_at_fork(after_in_child=forget)
