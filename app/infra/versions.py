"""Configuration versions: how a process learns that what it cached of a tenant has changed.

Every change to a tenant's configuration raises `tenants.config_version` in its own transaction. One thread per process
asks for all versions twice a second, so a change made elsewhere is seen within half a second and a bit; one made here
at once, by `touch`. A disabled client or a rotated secret is a security event, so the bound is hard: when the versions
cannot be read for five seconds, nothing cached is used any more.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.infra.page_slots import holding
from app.kernel.errors import Problem, Unavailable

POLL_SECONDS = 0.5
LIMIT_SECONDS = 5.0
FRESH_SECONDS = 0.05
"""Looks at the versions because something is not remembered are at least this far apart, however many ask."""

_log = structlog.get_logger(__name__)

_forks = 0
"""How often this process was forked: what a thread of a parent did counts for nothing here."""


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


@dataclass(slots=True)
class _Chore:
    """Something done now and then by the polling thread."""

    seconds: float
    do: Callable[[], object]
    due_at: float = 0.0


class ConfigVersions:
    """Every tenant's configuration version, at most `LIMIT_SECONDS` old."""

    def __init__(self, poll: Callable[[], Mapping[str, int]]) -> None:
        """`poll` reads all versions (`Tenancy.config_versions`). Nothing is read before the first question, so that
        the thread is made after a fork."""
        self._poll = poll
        self._chores: list[_Chore] = []
        # Goes on in a forked child, where what was made of the parent's versions is known by it.
        self._serial = 0
        self._start_process()

    def _start_process(self) -> None:
        self._forks = _forks
        self._serial += 1
        self._versions: Mapping[str, int] = {}
        self._read_at = -math.inf
        self._polling = threading.Lock()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def every(self, seconds: float, do: Callable[[], object]) -> None:
        """Have the thread call `do` every so many seconds too. It may raise `Problem`; that is logged."""
        self._chores.append(_Chore(seconds, do))

    def of(self, tenant_id: str) -> int:
        """The tenant's version; 0 for one not heard of. Raises `Unavailable` when it cannot be known."""
        if time.monotonic() > self._read_at + LIMIT_SECONDS or self._forks != _forks:
            self._refresh()
        return self._versions.get(tenant_id, 0)

    def fresh(self, tenant_id: str) -> int:
        """The tenant's version, read at most `FRESH_SECONDS` ago unless that takes long; then the one known so far.

        Raises `Unavailable` when it cannot be known.
        """
        due = self._forks == _forks and self._is_older_than(FRESH_SECONDS)
        if due and self._polling.acquire(timeout=FRESH_SECONDS):
            try:
                if self._is_older_than(FRESH_SECONDS):
                    self._read()
            finally:
                self._polling.release()
        return self.of(tenant_id)

    def _is_older_than(self, seconds: float) -> bool:
        return time.monotonic() > self._read_at + seconds

    def all_versions(self) -> object:
        """A value that is another one as soon as any tenant changed, appeared or went. Raises `Unavailable`."""
        if time.monotonic() > self._read_at + LIMIT_SECONDS or self._forks != _forks:
            self._refresh()
        return self._serial

    def of_all(self) -> Mapping[str, int]:
        """Every tenant's version, by its id, as last read. Nobody changes it: another reading is another mapping."""
        return self._versions

    def touch(self) -> None:
        """Read the versions now: after a change of one's own, so that it is seen here at once. Raises `Unavailable`."""
        if self._forks != _forks:
            self._start_process()
        with self._polling:
            self._read()
        self._ensure_thread()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        thread = self._thread
        if thread is not None and self._forks == _forks and thread is not threading.current_thread():
            thread.join(LIMIT_SECONDS)

    def _refresh(self) -> None:
        """The first question of this process, or the thread is late: read here. One caller at a time, others wait."""
        if self._forks != _forks:
            self._start_process()
        if not self._polling.acquire(timeout=1.0):
            raise Unavailable("database.unavailable", detail="configuration versions cannot be read")
        try:
            if self._is_older_than(LIMIT_SECONDS):
                self._read()
        finally:
            self._polling.release()
        self._ensure_thread()

    def _read(self) -> None:
        started = time.monotonic()
        try:
            with holding():  # Others wait for what is read.
                found = self._poll()
        except SQLAlchemyError as fault:
            raise Unavailable("database.unavailable", detail=str(fault)) from fault
        if found != self._versions:
            self._versions = found
            self._serial += 1
        self._read_at = started

    def _ensure_thread(self) -> None:
        if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="config-versions", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._attempt(self._poll_once)
            for chore in self._chores:
                if time.monotonic() >= chore.due_at:
                    chore.due_at = time.monotonic() + chore.seconds
                    self._attempt(chore.do)

    def _poll_once(self) -> None:
        with self._polling:
            self._read()

    def _attempt(self, do: Callable[[], object]) -> None:
        """A failure is told and tried again at the next turn; `LIMIT_SECONDS` judges how long that may go on."""
        try:
            do()
        except (Problem, SQLAlchemyError) as fault:
            _log.warning("poll_failed", what=getattr(do, "__qualname__", ""), fault=str(fault))
