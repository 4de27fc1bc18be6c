"""Threads that hash passwords, and how many people may wait for them.

Hashing fills cores. What keeps it from holding up everything else: no more threads hash in a process than it has
cores to itself, they step back behind the threads that answer requests, and only so many callers wait; the rest are
told at once to come again.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager, suppress
from typing import TypeVar

from app.infra import metrics
from app.kernel.errors import Unavailable

T = TypeVar("T")

NICENESS = 10
"""By how much hashing threads step back behind those they come of: the scheduler lets whoever answers a request go
first."""
RETRY_SECONDS = 2


class Pool:
    """`max_concurrent` threads, made when first needed, after the fork. At most `max_waiting` callers at once, each for
    `wait_seconds` before its turn comes."""

    def __init__(self, max_concurrent: int, *, max_waiting: int, wait_seconds: float) -> None:
        self._max_concurrent = max_concurrent
        self._wait_seconds = wait_seconds
        self._room = threading.BoundedSemaphore(max_waiting)
        self._inside = threading.local()
        self._lock = threading.Lock()
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    def look(self) -> None:
        """Raises what `admitted` would raise now. Takes no place."""
        if not self._room.acquire(blocking=False):
            metrics.hashing_refused()
            raise _busy("too many are waiting for a hashing thread")
        self._room.release()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place. Raises `Unavailable` (`passwords.busy`) at once when there is none left."""
        if getattr(self._inside, "held", False):
            yield
            return
        if not self._room.acquire(blocking=False):
            metrics.hashing_refused()
            raise _busy("too many are waiting for a hashing thread")
        self._inside.held = True
        try:
            yield
        finally:
            self._inside.held = False
            self._room.release()

    def run(self, work: Callable[[], T]) -> T:
        """What `work` gives. Raises `Unavailable` (`passwords.busy`) when its turn does not come in time."""
        with self.admitted():
            future = self._executor().submit(_measured, work)
            try:
                return future.result(self._wait_seconds)
            except Late:
                return self._given_up(future)

    def _given_up(self, future: "Future[T]") -> T:
        if not future.cancel():
            # It began just now: then it ends soon, too.
            return future.result()
        metrics.hashing_refused()
        raise _busy("no hashing thread was free in time")

    def _executor(self) -> ThreadPoolExecutor:
        # Threads do not survive a fork, so each process makes its own.
        with self._lock:
            if self._threads is None or self._threads[0] != os.getpid():
                made = ThreadPoolExecutor(self._max_concurrent, "hash", initializer=_step_back)
                self._threads = (os.getpid(), made)
            return self._threads[1]


def _measured(work: Callable[[], T]) -> T:
    metrics.hashing_started()
    try:
        return work()
    finally:
        metrics.hashing_ended()


def _step_back() -> None:
    # On Linux niceness is a thread's own; elsewhere this is left alone.
    if os.uname().sysname == "Linux":
        with suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICENESS)


def _busy(detail: str) -> Unavailable:
    return Unavailable("passwords.busy", detail=detail, retry_after_seconds=RETRY_SECONDS)
