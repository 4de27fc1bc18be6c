import os
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
import time_machine

from app.infra import versions
from app.infra.versions import ConfigVersions
from app.kernel.errors import Unavailable
from tests.servers import wait_until


class Table:
    """Stands where the database does: versions that may change, and an outage that may happen."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {"a": 1}
        self.is_down = False
        self.polls = 0

    def read(self) -> Mapping[str, int]:
        self.polls += 1
        if self.is_down:
            raise Unavailable("database.unavailable")
        return dict(self.rows)


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def found(table: Table) -> Iterator[ConfigVersions]:
    made = ConfigVersions(table.read)
    yield made
    made.close()


def test_nothing_is_read_before_the_first_question(table: Table, found: ConfigVersions) -> None:
    threads = threading.active_count()
    assert table.polls == 0
    assert found.of("a") == 1
    assert found.of("unheard-of") == 0
    assert table.polls == 1
    assert threading.active_count() == threads + 1


def test_a_change_elsewhere_is_seen_within_a_second(table: Table, found: ConfigVersions) -> None:
    before = found.all_versions()
    table.rows = {"a": 2, "b": 1}
    wait_until(lambda: found.of("a") == 2, seconds=1)
    assert found.of("b") == 1
    assert found.all_versions() != before


def test_all_versions_changes_only_with_them(table: Table, found: ConfigVersions) -> None:
    before = found.all_versions()
    found.touch()
    assert found.all_versions() == before
    del table.rows["a"]
    found.touch()
    assert found.all_versions() != before
    assert found.of("a") == 0


def test_touch_reads_at_once(table: Table, found: ConfigVersions) -> None:
    found.of("a")
    table.rows["a"] = 7
    found.touch()
    assert found.of("a") == 7


def test_what_is_not_remembered_asks_again_but_not_for_each_asker(
    table: Table, found: ConfigVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "POLL_SECONDS", 60)
    assert found.of("a") == 1
    table.rows["a"] = 2
    time.sleep(versions.FRESH_SECONDS)
    assert found.of("a") == 1
    assert found.fresh("a") == 2
    polls = table.polls
    monkeypatch.setattr(versions, "FRESH_SECONDS", 60)
    assert [found.fresh("a") for _ in range(10)] == [2] * 10
    assert table.polls == polls


def test_a_short_outage_is_bridged_and_a_long_one_is_not(
    table: Table, found: ConfigVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "LIMIT_SECONDS", 1.2)
    found.touch()
    table.is_down = True
    with pytest.raises(Unavailable):
        found.touch()
    assert found.of("a") == 1

    def gave_up() -> bool:
        try:
            found.of("a")
        except Unavailable:
            return True
        return False

    started = time.monotonic()
    wait_until(gave_up, seconds=3)
    assert time.monotonic() - started > 0.5
    with pytest.raises(Unavailable):
        found.all_versions()
    table.is_down = False
    assert found.of("a") == 1


def test_a_jump_of_the_clock_is_no_outage(found: ConfigVersions) -> None:
    assert found.of("a") == 1
    with time_machine.travel("2040-01-01"):
        assert found.of("a") == 1


def test_chores_are_done_now_and_then_whatever_happens(table: Table, found: ConfigVersions) -> None:
    done: list[float] = []

    def fails() -> None:
        done.append(time.monotonic())
        raise Unavailable("state.unavailable")

    found.every(0.6, fails)
    found.of("a")
    wait_until(lambda: len(done) >= 2, seconds=5)
    assert done[1] - done[0] >= 0.6
    table.rows["a"] = 2
    wait_until(lambda: found.of("a") == 2, seconds=2)


def test_a_thread_that_died_is_replaced(
    table: Table, found: ConfigVersions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    broken = [True]

    def breaks() -> None:
        if broken.pop():
            raise ZeroDivisionError

    found.every(0.1, breaks)
    found.of("a")
    wait_until(lambda: not broken, seconds=3)
    found._chores.clear()
    table.rows["a"] = 3
    wait_until(lambda: found.of("a") == 3, seconds=4)
    table.rows["a"] = 4
    wait_until(lambda: found.of("a") == 4, seconds=2)


def test_a_forked_child_polls_for_itself(table: Table, found: ConfigVersions) -> None:
    found.of("a")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            table.rows["a"] = 5
            wait_until(lambda: found.of("a") == 5, seconds=3)
            table.rows["a"] = 6
            wait_until(lambda: found.of("a") == 6, seconds=3)
            os.write(writer, b"ok")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    assert os.read(reader, 2) == b"ok"
    os.close(reader)
    assert found.of("a") == 1
