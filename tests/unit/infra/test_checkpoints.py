"""The write-ahead log of a SQLite file is copied back, by nobody who has a request to answer."""

import sqlite3
import time
from pathlib import Path

import pytest

from app.infra.state import Key, Put, checkpoints
from app.infra.state.checkpoints import copy_back
from app.infra.state.sql import embedded

WAIT = 30.0
MUCH = 1_500
"""Values of a page each, half as many again as SQLite leaves in the log by itself."""


def test_committing_copies_nothing_the_thread_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.infra.state.checkpoints.EVERY_SECONDS", 0.05)
    store = embedded(tmp_path)
    begun = store._checkpoints
    store._checkpoints = None
    for number in range(MUCH):
        store.execute(Put(Key("t", "page", str(number)), bytes(4000), 60))
    file = tmp_path / "state.db"
    assert file.stat().st_size < MUCH * 1000
    assert begun is not None
    begun.start()
    end = time.monotonic() + WAIT
    while file.stat().st_size < MUCH * 4000:
        assert time.monotonic() < end
        time.sleep(0.02)
    begun.close()
    store.close()


def test_a_store_in_use_starts_it_and_closing_ends_it(tmp_path: Path) -> None:
    store = embedded(tmp_path)
    assert store._checkpoints is not None
    assert store._checkpoints._thread is None
    store.execute(Put(Key("t", "x", "1"), b"x", 60))
    thread = store._checkpoints._thread
    assert thread is not None
    assert thread.is_alive()
    store.close()
    assert not thread.is_alive()


def test_the_log_begins_anew_while_others_go_on_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without holding them up for a moment, it would get longer and longer."""
    monkeypatch.setattr(checkpoints, "PAGES", 200)
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.4)
    store, written = embedded(tmp_path), 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        store.execute(Put(Key("t", "page", str(written % 50)), bytes(4000), 60))
        written += 1
        time.sleep(0.0005)
    length = (tmp_path / "state.db-wal").stat().st_size
    store.close()
    assert length < written * 4096


def test_a_store_that_was_closed_and_is_used_again_has_one_again(tmp_path: Path) -> None:
    store = embedded(tmp_path)
    store.execute(Put(Key("t", "x", "1"), b"x", 60))
    store.close()
    store.execute(Put(Key("t", "x", "1"), b"x", 60))
    assert store._checkpoints is not None
    assert store._checkpoints._thread is not None
    assert store._checkpoints._thread.is_alive()
    store.close()


def test_a_file_that_is_gone_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        copy_back(tmp_path / "gone.db")
    assert not (tmp_path / "gone.db").exists()


def test_a_name_may_hold_more_than_letters(tmp_path: Path) -> None:
    """It is told as an address."""
    folder = tmp_path / "50% öf it"
    folder.mkdir()
    store = embedded(folder)
    store.execute(Put(Key("t", "x", "1"), b"x", 60))
    copy_back(folder / "state.db")
    store.close()
