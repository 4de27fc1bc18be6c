"""Copies the write-ahead log of a SQLite file back into it, in a thread of its own.

By itself SQLite does so after every thousand pages, and whoever commits just then waits for the copying and for the
disk: milliseconds, where a request for a token takes one.
"""

import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

EVERY_SECONDS = 1.0
PAGES = 4_000
"""With more pages in the log (16 MB) writers are held up for the moment in which the log can begin anew: while they go
on, what they add is never copied to its end."""
PAGES_AT_MOST = 20_000
"""With so many (80 MB) whoever commits copies them after all: this thread must have ended."""
_HOLD_UP_MS = 200
_CLOSING_SECONDS = 5.0

log = logging.getLogger("watchword.state")


class Checkpoints:
    """One for each file and process. Starts with a connection, so that it happens after a fork."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = lambda: None
        self._changing = threading.Lock()

    def start(self) -> None:
        """Begin, unless that was done."""
        with self._changing:
            if self._thread is not None:
                return
            over = threading.Event()
            self._end = weakref.finalize(self, _end, os.getpid(), over)
            self._thread = threading.Thread(
                target=_keep_short, args=(self._file, over), name="checkpoints", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End, after the copying under way."""
        with self._changing:
            thread, self._thread = self._thread, None
            self._end()
        if thread is not None:
            thread.join(_CLOSING_SECONDS)


def _end(pid: int, over: threading.Event) -> None:
    # In a forked child there is no such thread, and nobody to let go of the event's lock.
    if pid == os.getpid():
        over.set()


def _keep_short(file: Path, over: threading.Event) -> None:
    written, told = 0, ""
    write_ahead = file.with_name(file.name + "-wal")
    while not over.wait(EVERY_SECONDS):
        try:
            changed = write_ahead.stat().st_mtime_ns
            if changed != written:
                copy_back(file)
            written, told = changed, ""
        except FileNotFoundError:
            pass  # It goes with the last connection.
        except (OSError, sqlite3.Error) as fault:
            # The file may just be exchanged or deleted. Those who use it find out by themselves.
            if str(fault) != told:
                told = str(fault)
                log.warning("no checkpoint: %s", told)


def copy_back(file: Path) -> None:
    """Copy what the log holds and nobody reads any more, and let it begin anew where it is long. Raises
    `sqlite3.Error`. Connected anew each time: the file may have been exchanged, and one that is gone is not made."""
    driver = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)
    try:
        _, pages, _ = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > PAGES:
            driver.execute(f"PRAGMA busy_timeout={_HOLD_UP_MS}")
            driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    finally:
        driver.close()
