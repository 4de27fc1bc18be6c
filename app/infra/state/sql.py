"""State in SQL: the file `state.db` of SQLite, or tables in PostgreSQL.

Statements go to the driver's own connection, one held per thread: a `Get` is a few microseconds on SQLite. A batch
that changes anything is one transaction. On SQLite `BEGIN IMMEDIATE` makes batches take turns; on PostgreSQL a lock
on each of the batch's keys does, taken in one order, so that batches cannot wait for each other in a circle. A batch
of plain `Get` is one statement. Expiry is judged at every read, by our clock; `purge_expired` only frees space.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from app.infra.page_slots import give_way
from app.infra.state import REPEATABLE, Entry, Op, Outcome, Replay, checkpoints, sql_statements, wire
from app.infra.state.checkpoints import Checkpoints
from app.infra.state.sql_statements import Run
from app.infra.state.sql_tables import create_schema
from app.infra.turns import Turns
from app.kernel import clock
from app.kernel.errors import Unavailable

T = TypeVar("T")

_FILE_LOOK_SECONDS = 1.0
_PURGE_CHUNK = 1000
_WAIT_SECONDS = 5


def embedded(data_dir: Path, *, lease_seconds: float = 30) -> "SqlState":
    """State in `state.db` of the data folder, which has to be on a local disk. Made when it is not there."""
    return SqlState(sqlite_engine(data_dir / "state.db"), lease_seconds=lease_seconds)


def on_database(url: str, *, lease_seconds: float = 30) -> "SqlState":
    """State in PostgreSQL. Its tables are made by the migration, with `create_schema`."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    return SqlState(engine, lease_seconds=lease_seconds)


def sqlite_engine(path: Path) -> Engine:
    """An engine on a SQLite file of its own. `synchronous=NORMAL`: only a power cut may lose the last moments."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": 5}
    )

    event.listen(engine, "connect", lambda driver, _record: _prepare_sqlite(driver))
    return engine


def _prepare_sqlite(driver: Any) -> None:
    driver.isolation_level = None
    driver.execute("PRAGMA journal_mode=WAL")
    driver.execute("PRAGMA synchronous=NORMAL")


def _connect_sqlite(database: str) -> sqlite3.Connection:
    """A connection without SQLAlchemy's functions. Closing would free those by way of the interpreter's state of a
    thread that is just ending: where the thread is the web server's own, Python 3.11 crashes."""
    driver = sqlite3.connect(database, timeout=_WAIT_SECONDS, check_same_thread=False)
    _prepare_sqlite(driver)
    driver.execute(f"PRAGMA wal_autocheckpoint={checkpoints.PAGES_AT_MOST}")
    return driver


class _Held:
    """One thread's connection, closed with its thread. A forked child leaves its parent's connections alone."""

    def __init__(self, engine: Engine) -> None:
        self._pid = os.getpid()
        if engine.dialect.name == "sqlite":
            self.driver: Any = _connect_sqlite(engine.url.database or "")
        else:
            pooled = engine.raw_connection()
            self.driver = pooled.driver_connection
            pooled.detach()

    def close(self) -> None:
        self.driver.close()

    def __del__(self) -> None:
        if self._pid == os.getpid() and hasattr(self, "driver"):
            self.close()


class SqlState:
    """The state store on SQL. See `infra.state.StateStore`."""

    def __init__(self, engine: Engine, *, lease_seconds: float = 30) -> None:
        """Nothing is connected before the first use, so that it happens after a fork."""
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._sqlite = engine.dialect.name == "sqlite"
        self._statements = sql_statements.for_dialect(engine.dialect.name)
        loaded = engine.dialect.loaded_dbapi
        self._fault: type[Exception] = loaded.Error
        self._file = Path(engine.url.database or "") if self._sqlite else None
        self._replay: Replay | None = None
        self._start_process()

    def _start_process(self) -> None:
        self._pid = os.getpid()
        self._local = threading.local()
        self._turns = Turns(_WAIT_SECONDS)
        self._checkpoints = None if self._file is None else Checkpoints(self._file)
        self._all: weakref.WeakSet[_Held] = weakref.WeakSet()
        self._generation = 0
        self._trusted_generation = -1
        self._preparing = threading.Lock()
        self._inode = 0
        self._looked_at = 0.0

    def guard(self, replay: Replay) -> None:
        """See `StateStore.guard`."""
        self._replay = replay

    def execute(self, *operations: Op) -> Outcome:
        """See `StateStore.execute`. A batch that is safe to repeat is sent once more when its connection breaks."""
        if not operations:
            return Outcome(())
        give_way()
        held = self._held()
        try:
            return self._run(held, operations)
        except self._fault as fault:
            self._drop(held)
            if self._sqlite or not all(type(op) in REPEATABLE for op in operations):
                raise _unavailable(fault) from fault
        held = self._held()
        try:
            return self._run(held, operations)
        except self._fault as fault:
            self._drop(held)
            raise _unavailable(fault) from fault

    def _run(self, held: _Held, operations: Sequence[Op]) -> Outcome:
        driver, now = held.driver, clock.now().timestamp()
        run = Run(driver, self._statements, now)
        if wire.is_plain_get(operations):
            return Outcome(run.values([wire.name_of(op.key) for op in operations]))  # type: ignore[union-attr]
        if len(operations) == 1 and type(operations[0]) in sql_statements.ONE_STATEMENT:
            return self._write(driver, lambda: run.batch(operations))
        if self._sqlite:
            self._turns.begin(driver)
        else:
            driver.execute(_begin_locked(operations))
        try:
            outcome = run.batch(operations)
            driver.execute("COMMIT")
        except BaseException:
            held.close()
            raise
        return outcome

    def _write(self, driver: Any, write: Callable[[], T]) -> T:
        return self._turns.take(driver, write) if self._sqlite else write()

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """See `StateStore.read_stream`."""
        tenants = {wire.stream_of(tenant_id, stream): tenant_id for tenant_id in tenant_ids}
        if not tenants:
            return {}
        now = clock.now().timestamp()
        rows = self._all_rows(
            self._statements.lease_entries,
            (consumer, now + self._lease_seconds, now, now, *tenants, count),
            len(tenants),
        )
        found: dict[str, list[Entry]] = {}
        for number, name, entry in sorted(rows):
            found.setdefault(tenants[bytes(name)], []).append(Entry(str(number), bytes(entry)))
        return found

    def acknowledge(self, tenant_id: str, stream: str, entry_ids: Sequence[str]) -> None:
        """See `StateStore.acknowledge`."""
        if entry_ids:
            arguments = (wire.stream_of(tenant_id, stream), *map(int, entry_ids))
            self._all_rows(self._statements.forget_entries, arguments, len(entry_ids))

    def purge_expired(self) -> int:
        """See `StateStore.purge_expired`. In small transactions, so that nobody waits for it."""
        purged = 0
        for statement in (self._statements.purge_values, self._statements.purge_members):
            while True:
                gone = len(self._all_rows(statement, (clock.now().timestamp(), _PURGE_CHUNK), 0))
                purged += gone
                if gone < _PURGE_CHUNK:
                    break
        return purged

    def _all_rows(self, statement: str, arguments: tuple[Any, ...], listed: int) -> list[Any]:
        """The rows of one statement, in which `[]` stands for a list of `listed` arguments."""
        held = self._held()
        try:
            told = self._statements.listing(statement, listed)
            return self._write(held.driver, lambda: list(held.driver.execute(told, arguments).fetchall()))
        except self._fault as fault:
            self._drop(held)
            raise _unavailable(fault) from fault

    def check(self) -> None:
        """See `StateStore.check`."""
        self._all_rows(self._statements.probe, (), 0)

    def doctor(self) -> list[str]:
        """See `StateStore.doctor`."""
        if self._sqlite:
            return []
        return [
            "State is kept in PostgreSQL, which costs several round trips a request: set WATCHWORD_REDIS_URL."
        ]

    def close(self) -> None:
        """Close every thread's connection."""
        self._generation += 1
        if self._checkpoints is not None:
            self._checkpoints.close()
        for held in list(self._all):
            held.close()

    def _held(self) -> _Held:
        if self._pid != os.getpid():
            self._start_process()
        if self._file is not None and time.monotonic() - self._looked_at > _FILE_LOOK_SECONDS:
            self._look_at_file(self._file)
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and self._local.generation == self._trusted_generation == self._generation:
            return held
        return self._connect()

    def _look_at_file(self, file: Path) -> None:
        """Notice that the file was deleted or exchanged: the old one, still open, would be ours alone."""
        self._looked_at = time.monotonic()
        try:
            inode = file.stat().st_ino
        except FileNotFoundError:
            inode = -1
        if inode != self._inode:
            self._inode = inode
            self._generation += 1

    def _connect(self) -> _Held:
        """A connection for this thread, to tables that exist and that nothing is missing from."""
        generation = self._generation
        try:
            held = _Held(self._engine)
            self._prepare(held, generation)
        except (self._fault, OSError) as fault:
            raise _unavailable(fault) from fault
        self._all.add(held)
        self._local.held, self._local.generation = held, generation
        if self._checkpoints is not None:
            self._checkpoints.start()
        return held

    def _prepare(self, held: _Held, generation: int) -> None:
        if not self._preparing.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable(
                "state.reconciling", detail="revocations are being written to the state tables again"
            )
        try:
            if self._trusted_generation == generation:
                return
            if self._file is not None:
                create_schema(self._engine)
                self._inode = self._file.stat().st_ino
            elif held.driver.execute("SELECT pg_is_in_recovery()").fetchone()[0]:
                raise Unavailable("state.not_master", detail="PostgreSQL is a standby; its data may be stale")
            if self._replay is not None:
                self._replay(lambda *operations: self._run(held, operations))
            self._trusted_generation = generation
        finally:
            self._preparing.release()

    def _drop(self, held: _Held) -> None:
        """After a failure the transaction is rolled back; on a server, nothing is known of it any more."""
        held.close()
        self._local.held = None
        if not self._sqlite:
            self._generation += 1


def _unavailable(fault: Exception) -> Unavailable:
    return Unavailable("state.unavailable", detail=f"{type(fault).__name__}: {fault}")


def _begin_locked(operations: Sequence[Op]) -> str:
    locks = sorted({lock for op in operations if (lock := sql_statements.lock_of(op)) is not None})
    return "BEGIN" + "".join(f"; SELECT pg_advisory_xact_lock({lock})" for lock in locks)
