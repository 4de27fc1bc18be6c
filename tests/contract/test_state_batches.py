"""Batches: carried out in order, stopped at the first refusal, and never mixed with another's, whoever takes part."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from app.infra.state import (
    Append,
    Delete,
    Get,
    Increment,
    Key,
    Op,
    Outcome,
    Put,
    PutIfAbsent,
    Raise,
    Replace,
    SetAdd,
    SetMembers,
    SetRemove,
    StateStore,
    TakeOnce,
)
from tests.contract import state_process
from tests.contract.conftest import Place
from tests.contract.state_process import ROUNDS

Keys = Callable[..., Key]
THREADS = 16


def test_a_batch_is_carried_out_in_order(state: StateStore, key: Keys) -> None:
    outcome = state.execute(
        Get(key("v")),
        Put(key("v"), b"1", 60),
        Get(key("v"), required=True),
        PutIfAbsent(key("v"), b"2", 60),
        Replace(key("v"), b"1", b"3", 60),
        TakeOnce(key("v")),
        Delete(key("v")),
        Increment(key("c"), 60, amount=2),
        Raise(key("r"), 7, 60),
        SetAdd(key("s"), "m", 60),
        SetMembers(key("s")),
        SetRemove(key("s"), "n"),
        Get(key("c")),
    )
    expected = (None, True, b"1", False, True, b"3", False, 2, 7, True, ("m",), False, b"2")
    assert outcome == Outcome(expected)


REFUSALS: list[tuple[Callable[[Keys], Op], bool]] = [
    (lambda key: Get(key("missing"), required=True), False),
    (lambda key: TakeOnce(key("missing"), required=True), False),
    (lambda key: PutIfAbsent(key("there"), b"", 60, required=True), False),
    (lambda key: Increment(key("full", "counter"), 60, limit=1), True),
    (lambda key: Increment(key("full", "counter"), 60, amount=0, limit=0), True),
]


@pytest.mark.parametrize(("refused", "waits"), REFUSALS)
def test_a_refusal_ends_the_batch(
    state: StateStore, key: Keys, tenant_id: str, refused: Callable[[Keys], Op], waits: bool
) -> None:
    state.execute(Put(key("there"), b"", 60), Increment(key("full", "counter"), 60))
    outcome = state.execute(
        Put(key("before"), b"stands", 60),
        Increment(key("counted", "counter"), 60),
        refused(key),
        Put(key("after"), b"", 60),
        Append(tenant_id, "events", b""),
    )
    assert outcome == Outcome((True, 1), refused=2, retry_after_seconds=60 if waits else None)
    assert not outcome.ok
    assert state.execute(Get(key("before")), Get(key("after"))).results == (b"stands", None)
    assert state.execute(Get(key("counted", "counter"))).results == (b"1",)
    assert state.read_stream([tenant_id], "events", "reader", count=9) == {}


def test_a_batch_may_span_tenants_and_be_long(state: StateStore, tenant_id: str) -> None:
    keys = [Key(f"{tenant_id}-{number % 3}", "long", str(number)) for number in range(300)]
    assert state.execute(*(Put(key, key.id.encode(), 60) for key in keys)).results == (True,) * 300
    assert state.execute(*(Get(key) for key in keys)).results == tuple(key.id.encode() for key in keys)


def test_a_failing_batch_changes_nothing_and_holds_nothing_up(
    place: Place, state: StateStore, key: Keys
) -> None:
    with pytest.raises((TypeError, AttributeError, KeyError)):
        state.execute(Put(key(), b"v", 60), object())  # type: ignore[arg-type]
    with pytest.raises((TypeError, AttributeError)):
        state.execute(Put(key(), b"v", 60), Increment(key("n"), "x"))  # type: ignore[arg-type]
    other = place.open()
    assert other.execute(Get(key()), Get(key("n"))).results == (None, None)
    assert other.execute(Put(key(), b"other", 60), Increment(key("n"), 60)).ok
    other.close()


def test_16_threads_share_fairly(state: StateStore, tenant_id: str) -> None:
    _prepare(state, tenant_id)
    start = threading.Barrier(THREADS)

    def work(_: int) -> list[Any]:
        start.wait()
        return state_process.race(state, tenant_id)

    with ThreadPoolExecutor(THREADS) as pool:
        _check(state, tenant_id, list(pool.map(work, range(THREADS))))


def test_two_processes_share_fairly(place: Place, state: StateStore, tenant_id: str) -> None:
    _prepare(state, tenant_id)
    with (
        _process(state_process.race_in_process, place, tenant_id) as one,
        _process(state_process.race_in_process, place, tenant_id) as other,
    ):
        for pipe in (one, other):
            assert pipe.recv() == "ready"
        for pipe in (one, other):
            pipe.send("go")
        _check(state, tenant_id, [one.recv(), other.recv()])


def test_a_store_survives_forks(place: Place, state: StateStore, tenant_id: str) -> None:
    with _process(state_process.fork_in_process, place, tenant_id) as pipe:
        assert pipe.recv() == [0, 0, 0]
    assert state.execute(Get(Key(tenant_id, "forked", "counter"))).results == (b"501",)


def _prepare(state: StateStore, tenant_id: str) -> None:
    state.execute(*(Put(Key(tenant_id, "take", str(number)), b"v", 60) for number in range(ROUNDS)))


def _check(state: StateStore, tenant_id: str, won: list[list[Any]]) -> None:
    """Everything there was one of was won once; nothing was counted twice or lost."""
    workers = len(won)
    for place in range(0, 3 * ROUNDS, 3):
        taken, absent, limited = (sum(one[place + which] for one in won) for which in range(3))
        assert (taken, absent, limited) == (1, 1, min(3, workers))
    total = b"%d" % (workers * ROUNDS)
    counters = [Key(tenant_id, "n", name) for name in ("first", "second", "absent")]
    assert state.execute(*map(Get, counters)).results == (total, total, b"%d" % ROUNDS)
    assert state.execute(Get(Key(tenant_id, "swapped", "one"))).results == (total,)
    found = state.read_stream([tenant_id], "race", "reader", count=10_000)[tenant_id]
    assert len({entry.id for entry in found}) == workers * ROUNDS


@contextmanager
def _process(work: Callable[..., None], place: Place, tenant_id: str) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process: BaseProcess = context.Process(target=work, args=(place, tenant_id, theirs))
    process.start()
    theirs.close()
    try:
        yield ours
        process.join(60)
        assert process.exitcode == 0
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        ours.close()
        process.close()
