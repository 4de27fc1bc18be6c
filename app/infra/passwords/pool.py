"""How many passwords are hashed at once, and how many people may wait for that.

Hashing fills cores. What keeps it from holding up everything else: no more is hashed at once than there are cores for,
and only so many callers wait; the rest are told at once to come again.
"""

import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.infra import metrics, page_slots
from app.infra.hashing.answers import Question, Verdict
from app.infra.hashing.apart import RETRY_SECONDS
from app.kernel.errors import Unavailable

Hand = Callable[[Question], Verdict]
"""Answers one question at a time."""


class Pool:
    """Each of `hands` is one question's at a time. At most `max_waiting` callers at once, each for `wait_seconds`
    before its turn comes."""

    def __init__(self, hands: Sequence[Hand], *, max_waiting: int, wait_seconds: float) -> None:
        self._hands = hands
        self._max_waiting = max_waiting
        self._wait_seconds = wait_seconds
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Forget who is there: in a forked child nobody is."""
        self._room = threading.BoundedSemaphore(self._max_waiting)
        self._inside = threading.local()
        self._free: queue.LifoQueue[Hand] = queue.LifoQueue()
        for hand in self._hands:
            self._free.put(hand)

    def look(self) -> None:
        """Raises what `admitted` would raise now. Takes no place."""
        if not self._room.acquire(blocking=False):
            raise _busy("too many are waiting for their turn")
        self._room.release()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place. Raises `Unavailable` (`passwords.busy`) at once when there is none left."""
        if getattr(self._inside, "held", False):
            yield
            return
        if not self._room.acquire(blocking=False):
            raise _busy("too many are waiting for their turn")
        self._inside.held = True
        try:
            yield
        finally:
            self._inside.held = False
            self._room.release()

    def ask(self, question: Question) -> Verdict:
        """The answer. Raises `Unavailable` (`passwords.busy`) when its turn does not come in time."""
        with self.admitted(), page_slots.let_go():
            try:
                hand = self._free.get(timeout=self._wait_seconds)
            except queue.Empty:
                raise _busy("its turn did not come in time") from None
            metrics.hashing_started()
            try:
                return hand(question)
            finally:
                metrics.hashing_ended()
                self._free.put(hand)


_all: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _after_fork() -> None:
    for pool in _all:
        pool.renew()


os.register_at_fork(after_in_child=_after_fork)


def _busy(detail: str) -> Unavailable:
    metrics.hashing_refused()
    return Unavailable("passwords.busy", detail=detail, retry_after_seconds=RETRY_SECONDS)
