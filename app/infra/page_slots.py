"""How many pages a process makes at once, so that they do not keep the interpreter from everything else.

Threads share one interpreter. A page takes ten milliseconds of it, a token less than one: behind a dozen pages at once
a token waits for each of them again and again. So few pages are made at a time, the others wait without the
interpreter. Whoever waits for something else meanwhile, a password hash or the time a refusal takes, makes room.

A slot that is held for a slow query or a slow host is not waited for but gone around: slots are for what computes.

Between two questions to a store a page gives way: it rests for a moment while a request that needs no page is being
answered, and lets go of its core in any case.
"""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.kernel.errors import Unavailable

RETRY_SECONDS = 2
PATIENCE_SECONDS = 0.1
"""Whoever holds a slot for longer, several times what a page takes, does not hold up others any more."""

REST_SECONDS, RESTS = 0.0003, 4
"""How long a page rests each time, and how often at most before it goes on: a token is issued in less."""
MOST_RESTS = 24
"""How often a page rests in all while it has its slot: whoever floods us with quick requests slows pages by some ten
milliseconds."""
YOUNG_SECONDS = 0.005
"""What takes longer than this waits for somebody itself, a slow host or a password hash, and is not made room for."""

_mine = threading.local()
_yield: Callable[[], None] | None = getattr(os, "sched_yield", None)
"""Not every system has it."""


class Busy(Unavailable):
    """There is no room to wait for a slot."""


class _Turn:
    """One thread's: it waits for a slot, then has it."""

    __slots__ = ("is_come", "rests", "since")

    def __init__(self) -> None:
        self.is_come = threading.Lock()
        self.since = 0.0
        self.rests = 0


class PageSlots:
    """One per process. `at_once` pages are made at a time; `room` is how many may be there in all, waiting or not."""

    def __init__(self, at_once: int, *, room: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._at_once = at_once
        self._places = room
        self._patience_seconds = patience_seconds
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Forget who is there: in a forked child nobody is."""
        self._lock = threading.Lock()
        self._room = self._places
        self._quick: list[float] = []
        self._at_work: dict[_Turn, None] = {}
        self._back: deque[_Turn] = deque()
        self._new: deque[_Turn] = deque()

    @contextmanager
    def held(self) -> Iterator[None]:
        """A slot to make a page in. Raises `Busy` (`pages.busy`) at once when there is no room to wait."""
        if getattr(_mine, "slot", None) is not None:
            yield
            return
        with self._lock:
            if self._room <= 0:
                raise Busy(
                    "pages.busy", detail="too many pages are waiting", retry_after_seconds=RETRY_SECONDS
                )
            self._room -= 1
        try:
            self._take(self._new)
            try:
                yield
            finally:
                self._give()
        finally:
            with self._lock:
                self._room += 1

    @contextmanager
    def let_go(self) -> Iterator[None]:
        """Give this thread's slot to others for a while."""
        self._give()
        try:
            yield
        finally:
            self._take(self._back)

    @contextmanager
    def kept_clear(self) -> Iterator[None]:
        """A request is answered that needs no page: those who make pages give way to it."""
        # Both are one operation of the interpreter. Whose moment goes does not matter much: they are looked at for five
        # milliseconds.
        quick = self._quick
        quick.append(time.monotonic())
        try:
            yield
        finally:
            quick.pop()

    def rest(self) -> int:
        """Rest as long as something quick is being answered, for a millisecond or so. Gives how often it did."""
        rested = 0
        while rested < RESTS and self._has_quick():
            time.sleep(REST_SECONDS)
            rested += 1
        return rested

    def _has_quick(self) -> bool:
        quick = self._quick[-1:]
        return bool(quick) and time.monotonic() - quick[0] < YOUNG_SECONDS

    def _take(self, queue: "deque[_Turn]") -> None:
        turn = _Turn()
        turn.is_come.acquire()
        with self._lock:
            queue.append(turn)
            self._admit()
        while not turn.is_come.acquire(timeout=self._patience_seconds):
            self._go_around()
        _mine.slot = self, turn

    def _give(self) -> None:
        turn = _mine.slot[1]
        _mine.slot = None
        with self._lock:
            self._at_work.pop(turn, None)
            self._admit()

    def _admit(self) -> None:
        """Those who come back go first: what they began is worth finishing."""
        while len(self._at_work) < self._at_once and (queue := self._back or self._new):
            turn = queue.popleft()
            turn.since = time.monotonic()
            self._at_work[turn] = None
            turn.is_come.release()

    def _go_around(self) -> None:
        """Whoever has been at it longest, and for too long, waits for something and does not compute."""
        with self._lock:
            longest = next(iter(self._at_work), None)
            if longest is not None and time.monotonic() - longest.since >= self._patience_seconds:
                del self._at_work[longest]
            self._admit()


_all: "weakref.WeakSet[PageSlots]" = weakref.WeakSet()


def _after_fork() -> None:
    _mine.slot = None
    _mine.holds = False
    for slots in _all:
        slots.renew()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def let_go() -> Iterator[None]:
    """Make room while this thread waits for something. Nothing happens where it makes no page."""
    slot: tuple[PageSlots, _Turn] | None = getattr(_mine, "slot", None)
    if slot is None:
        yield
        return
    with slot[0].let_go():
        yield


@contextmanager
def holding() -> Iterator[None]:
    """This thread has what others wait for, a transaction that writes or a lock: it gives way to nobody meanwhile."""
    before = getattr(_mine, "holds", False)
    _mine.holds = True
    try:
        yield
    finally:
        _mine.holds = before


def give_way() -> None:
    """Let others go first, if this thread makes a page and holds nothing; called between questions to a store.

    The scheduler interrupts a thread every four milliseconds only, and the interpreter hands its lock to anybody: those
    that read requests off the network and need a fraction of a millisecond are behind pages often.
    """
    slot: tuple[PageSlots, _Turn] | None = getattr(_mine, "slot", None)
    if slot is None or getattr(_mine, "holds", False):
        return
    slots, turn = slot
    rests = slots.rest() if turn.rests < MOST_RESTS else 0
    turn.rests += rests
    if not rests and _yield is not None:
        _yield()


def rest_until(moment: float) -> None:
    """Sleep until `time.monotonic()` is at `moment`, out of everybody's way."""
    left = moment - time.monotonic()
    if left > 0:
        with let_go():
            time.sleep(left)
