"""Few pages are made at a time, the others wait, and what is too much is turned away at once."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra import page_slots
from app.infra.database import BEGIN_OPTION, IMMEDIATE, make_engine
from app.infra.hashing.answers import Question, Verdict
from app.infra.page_slots import (
    MOST_RESTS,
    REST_SECONDS,
    RESTS,
    YOUNG_SECONDS,
    Busy,
    PageSlots,
    give_way,
    holding,
    let_go,
    rest_until,
)
from app.infra.passwords.pool import Pool
from app.infra.state import Get, Key, StateStore
from app.infra.state.redis import RedisState
from app.infra.state.sql import embedded
from app.web.services import Services
from tests.servers import OWNER_ROLE

LONG = 30.0


class Pages:
    """Pages in threads of their own: who is at work, and in which order they came to be."""

    def __init__(self, slots: PageSlots) -> None:
        self.slots = slots
        self.came: list[str] = []
        self._threads: list[threading.Thread] = []

    def begin(self, name: str, work: Callable[[], object]) -> threading.Thread:
        """Start a page, and come back once it is at work or waits."""
        before = len(self.slots._new), len(self.came)

        def page() -> None:
            with self.slots.held():
                self.came.append(name)
                work()

        thread = threading.Thread(target=page)
        thread.start()
        self._threads.append(thread)
        until(lambda: (len(self.slots._new), len(self.came)) != before)
        return thread

    def end(self) -> None:
        """Wait for all."""
        for thread in self._threads:
            thread.join(LONG)
            assert not thread.is_alive()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    end = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_no_more_than_that_are_made_at_once() -> None:
    slots = PageSlots(2, room=16, patience_seconds=LONG)
    lock, now, most = threading.Lock(), 0, 0

    def page(_: int) -> None:
        nonlocal now, most
        with slots.held():
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(page, range(64)))
    assert most == 2
    assert not slots._at_work


def test_without_room_one_is_turned_away_at_once() -> None:
    slots, go_on = PageSlots(1, room=2, patience_seconds=LONG), threading.Event()
    pages = Pages(slots)
    pages.begin("at work", lambda: go_on.wait(LONG))
    pages.begin("waiting", lambda: None)
    for _ in range(3):
        with pytest.raises(Busy) as busy, slots.held():
            pass
    assert (busy.value.code, busy.value.status) == ("pages.busy", 503)
    assert busy.value.retry_after_seconds >= 1
    go_on.set()
    pages.end()
    with slots.held():
        assert pages.came == ["at work", "waiting"], "every place came back"


def test_in_turn_and_those_who_come_back_first() -> None:
    """What was begun is finished before anything new."""
    slots = PageSlots(1, room=8, patience_seconds=LONG)
    pages, hashed, go_on = Pages(slots), threading.Event(), threading.Event()

    def signs_in() -> None:
        with let_go():
            hashed.wait(LONG)
        pages.came.append("signed in")

    pages.begin("signs in", signs_in)
    pages.begin("one", lambda: go_on.wait(LONG))
    pages.begin("two", lambda: None)
    pages.begin("three", lambda: None)
    hashed.set()
    until(lambda: len(slots._back) == 1)
    go_on.set()
    pages.end()
    assert pages.came == ["signs in", "one", "signed in", "two", "three"]


def test_a_slot_comes_back_after_errors() -> None:
    slots = PageSlots(1, room=1, patience_seconds=LONG)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.held(), let_go():
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError), slots.held():
            raise ZeroDivisionError
    assert not slots._at_work
    with slots.held():
        assert len(slots._at_work) == 1


def test_whoever_does_not_compute_is_gone_around() -> None:
    """Two slow hosts do not keep everybody else from their pages, and count no more once they answer."""
    slots, go_on = PageSlots(2, room=16, patience_seconds=0.02), threading.Event()
    pages = Pages(slots)
    for name in ("slow", "slower"):
        pages.begin(name, lambda: go_on.wait(LONG))
    with ThreadPoolExecutor(8) as pool:

        def page(number: int) -> int:
            with slots.held():
                return number

        assert list(pool.map(page, range(32))) == list(range(32))
    go_on.set()
    pages.end()
    assert not slots._at_work
    assert slots._room == 16


def test_hashing_and_resting_make_room() -> None:
    """Neither a password nor the time a refusal takes keeps anybody from a page."""
    slots, seen = PageSlots(1, room=8, patience_seconds=LONG), []

    def page() -> int:
        with slots.held():
            return len(slots._at_work)

    with ThreadPoolExecutor(1) as pool, slots.held():

        def hand(question: Question) -> Verdict:
            seen.append(pool.submit(page).result(LONG))
            return Verdict(ok=True)

        assert Pool([hand], max_waiting=1, wait_seconds=LONG).ask(Question("x", "x", None)).ok
        assert seen == [1]
        other = pool.submit(page)
        rest_until(time.monotonic() + 0.05)
        assert other.result(LONG) == 1
        assert len(slots._at_work) == 1, "and the slot is taken again"


def test_what_makes_no_page_needs_no_slot() -> None:
    slots = PageSlots(1, room=1, patience_seconds=LONG)
    with let_go():
        assert not slots._at_work
    started = time.monotonic()
    rest_until(started - 1)
    rest_until(started + 0.01)
    assert time.monotonic() >= started + 0.01


def test_in_a_forked_child_nobody_is_there() -> None:
    slots = PageSlots(1, room=1, patience_seconds=LONG)
    with slots.held():
        child = os.fork()
        if child == 0:
            with slots.held():
                os._exit(0 if len(slots._at_work) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_page_gives_way_at_storage_and_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kind: str
) -> None:
    """Reading, and before writing; not while others wait for the file or the row."""
    given = []
    monkeypatch.setattr(page_slots, "_yield", lambda: given.append(threading.get_ident()))
    state: StateStore
    if kind == "sqlite":
        engine, state, begin = make_engine(f"sqlite:///{tmp_path / 'a.db'}"), embedded(tmp_path), IMMEDIATE
    else:
        postgres, redis = request.getfixturevalue("postgres_server"), request.getfixturevalue("redis_server")
        engine = make_engine(postgres.url(postgres.create_database(), role=OWNER_ROLE))
        state, begin = RedisState(redis.url), {BEGIN_OPTION: "BEGIN READ WRITE"}

    def count(work: Callable[[], object]) -> int:
        given.clear()
        work()
        return len(given)

    def read() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))

    def write() -> None:
        with engine.connect().execution_options(**begin) as connection, connection.begin(), holding():
            connection.execute(text("CREATE TABLE IF NOT EXISTS t (x int)"))
            connection.execute(text("INSERT INTO t VALUES (1)"))

    def keep() -> None:
        state.execute(Get(Key("t", "x", "1")))

    works: list[Callable[[], object]] = [give_way, read, write, keep]
    # Whoever opens a connection asks it who it is first.
    assert [count(work) for work in (read, write, *works)][2:] == [0, 0, 0, 0]
    with PageSlots(1, room=1).held():
        assert [count(work) for work in works] == [1, 2, 1, 1]
    state.close()
    engine.dispose()


def test_whose_turn_it_is_to_write_has_given_way_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, however often it looks whether the file is free: those behind it wait for its turn to be over."""
    given = []
    monkeypatch.setattr(page_slots, "_yield", lambda: given.append(1))
    engine = make_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    other = sqlite3.connect(tmp_path / "a.db", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    free = threading.Timer(0.1, other.execute, ("ROLLBACK",))
    free.start()
    with PageSlots(1, room=1).held():
        given.clear()
        with engine.connect().execution_options(**IMMEDIATE) as connection, connection.begin():
            assert given == [1]
    free.join()
    other.close()
    engine.dispose()


@dataclass
class Clock:
    """Stands still but for rests, which it notes."""

    now: float = 1000.0
    rests: list[float] = field(default_factory=list)
    at_rest: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.at_rest()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(page_slots, "time", found)
    return found


def test_a_page_rests_while_something_quick_is_answered(stopped: Clock) -> None:
    """It does not only let go of its core: it asks for nothing until the other is done, or for a while."""
    slots = PageSlots(1, room=1)
    assert not slots.rest()
    with slots.kept_clear():
        assert slots.rest() == RESTS
        with slots.kept_clear():
            assert slots.rest() == RESTS
        assert slots.rest() == RESTS
    assert not slots.rest()
    assert stopped.rests == [REST_SECONDS] * RESTS * 3


def test_whoever_holds_what_others_wait_for_gives_way_to_nobody(
    services: Services, tenant: TenantContext, stopped: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trip to the state store in the middle of a transaction that writes, for one."""
    given = stopped.rests
    monkeypatch.setattr(page_slots, "_yield", lambda: given.append(0))
    slots = PageSlots(1, room=1)
    with slots.held():
        with slots.kept_clear(), services.tenancy.session(tenant.id, write=True) as session:
            given.clear()
            session.scalar(select(func.count(User.id)))
            services.state.execute(Get(Key(tenant.id, "x", "1")))
            with services.tenancy.session(tenant.id) as other:
                other.scalar(select(func.count(User.id)))
            assert given == []
        with services.tenancy.session(tenant.id) as session:
            session.scalar(select(func.count(User.id)))
        assert given, "afterwards as before"


def test_a_page_rests_so_often_and_no_more(stopped: Clock) -> None:
    """However many quick requests somebody sends."""
    slots = PageSlots(1, room=1)
    with slots.held(), slots.kept_clear():
        for _ in range(MOST_RESTS):
            give_way()
    assert len(stopped.rests) == MOST_RESTS


def test_it_goes_on_as_soon_as_that_is_done(stopped: Clock) -> None:
    slots = PageSlots(1, room=1)
    quick = slots.kept_clear()
    quick.__enter__()
    stopped.at_rest = lambda: quick.__exit__(None, None, None) if len(stopped.rests) == 2 else None
    assert slots.rest() == 2


def test_what_takes_long_is_not_made_room_for(stopped: Clock) -> None:
    """It waits for a host or a hash, and computes nothing."""
    slots = PageSlots(1, room=1)
    with slots.kept_clear():
        stopped.now += 2 * YOUNG_SECONDS
        assert not slots.rest()
        with slots.kept_clear():
            assert slots.rest(), "but for the next one"


def test_only_pages_rest(stopped: Clock) -> None:
    slots = PageSlots(1, room=1)
    with slots.kept_clear():
        give_way()
        with slots.held():
            assert stopped.rests == []
            give_way()
    assert stopped.rests


def test_a_forked_child_keeps_clear_for_nobody(stopped: Clock) -> None:
    slots = PageSlots(1, room=1)
    with slots.kept_clear():
        child = os.fork()
        if child == 0:
            os._exit(1 if slots.rest() else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
