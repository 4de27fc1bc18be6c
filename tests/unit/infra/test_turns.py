"""Writers of one SQLite file take turns."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.infra.turns import Turns


def _open(path: Path) -> sqlite3.Connection:
    driver = sqlite3.connect(path, timeout=5, check_same_thread=False, isolation_level=None)
    driver.execute("PRAGMA journal_mode=WAL")
    return driver


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    driver = _open(tmp_path / "x.db")
    driver.execute("CREATE TABLE counts (n INTEGER)")
    driver.execute("INSERT INTO counts VALUES (0)")
    yield tmp_path / "x.db"
    driver.close()


def test_every_writer_has_its_turn(path: Path) -> None:
    """In two groups, as two processes are: no count is lost, and nobody waits until he is told that it is taken."""
    groups = [Turns(5.0), Turns(5.0)]

    def write(turns: Turns) -> None:
        driver = _open(path)
        for _ in range(25):
            turns.begin(driver)
            (n,) = driver.execute("SELECT n FROM counts").fetchone()
            driver.execute("UPDATE counts SET n = ?", (n + 1,))
            driver.execute("COMMIT")
            turns.take(driver, lambda: driver.execute("UPDATE counts SET n = n + 1"))
        driver.close()

    threads = [threading.Thread(target=write, args=(groups[number % 2],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _open(path).execute("SELECT n FROM counts").fetchone() == (8 * 25 * 2,)


def test_who_waits_in_vain_is_told(path: Path) -> None:
    holder, other, turns = _open(path), _open(path), Turns(0.2)
    holder.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        turns.begin(other)
    assert time.monotonic() - begun >= 0.2
    assert other.execute("PRAGMA busy_timeout").fetchone() == (200,)
    holder.execute("ROLLBACK")
    turns.begin(other)
    assert other.in_transaction


def test_another_fault_is_told_at_once(path: Path) -> None:
    driver = _open(path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        Turns(60.0).take(driver, lambda: driver.execute("UPDATE missing SET n = 1"))


def test_a_forked_child_waits_for_nobody(path: Path) -> None:
    turns = Turns(5.0)
    turns._next.acquire()  # A thread of the parent, which the child does not have.
    turns.renew()
    driver = _open(path)
    begun = time.monotonic()
    turns.begin(driver)
    assert time.monotonic() - begun < 5.0
