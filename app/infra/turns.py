"""Writers of one SQLite file take turns, without sleeping longer than they must.

SQLite lets one write at a time. Whoever finds the file taken sleeps, by SQLite's own rule, longer each time, up to a
tenth of a second, while those who come later slip in: under load a few wait for a third of a second for a file that is
free most of the time. Here one thread of each process at a time looks again, and often; the others wait for that one.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
LOOK_SECONDS = 0.0004
"""Between two looks: a writing transaction takes about as long."""


class Turns:
    """One for each file and process."""

    def __init__(self, wait_seconds: float) -> None:
        """Connections have SQLite's own waiting set to `wait_seconds`, for what does not go through here."""
        self._wait_seconds = wait_seconds
        self._back = f"PRAGMA busy_timeout={int(wait_seconds * 1000)}"
        self.renew()

    def renew(self) -> None:
        """Forget who waits: in a forked child nobody does."""
        self._next = threading.Lock()

    def begin(self, driver: sqlite3.Connection) -> None:
        """Begin a transaction that writes. Raises `sqlite3.OperationalError` when its turn does not come in time."""
        self.take(driver, lambda: driver.execute(BEGIN))

    def take(self, driver: sqlite3.Connection, write: Callable[[], T]) -> T:
        """What `write` gives, a single statement, which is tried until the file is free. Raises as `begin` does."""
        end = time.monotonic() + self._wait_seconds
        in_turn = self._next.acquire(timeout=self._wait_seconds)
        try:
            driver.execute("PRAGMA busy_timeout=0")
            while True:
                try:
                    return write()
                except sqlite3.OperationalError as fault:
                    is_taken = getattr(fault, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                    if not is_taken or time.monotonic() > end:
                        raise
                time.sleep(LOOK_SECONDS)
        finally:
            driver.execute(self._back)
            if in_turn:
                self._next.release()
