"""What other processes do in the tests of the state port. Run by `multiprocessing`, which imports it by name."""

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from app.infra.state import Append, Get, Increment, Key, PutIfAbsent, Replace, SetAdd, StateStore, TakeOnce
from tests.contract.conftest import Place

ROUNDS = 40


def race(state: StateStore, tenant_id: str) -> list[Any]:
    """Compete for everything there is one of. Gives what was won."""
    won: list[Any] = []
    for number in range(ROUNDS):
        taken, absent = Key(tenant_id, "take", str(number)), Key(tenant_id, "absent", str(number))
        won.append(state.execute(TakeOnce(taken)).results[0] is not None)
        won.append(
            state.execute(
                PutIfAbsent(absent, b"", 60, required=True), Increment(Key(tenant_id, "n", "absent"), 60)
            ).ok
        )
        won.append(state.execute(Increment(Key(tenant_id, "limited", str(number)), 60, limit=3)).ok)
        _add_one(state, Key(tenant_id, "swapped", "one"))
        state.execute(
            Increment(Key(tenant_id, "n", "first"), 60),
            SetAdd(Key(tenant_id, "set", "one"), f"{os.getpid()}-{number % 7}", 60),
            Increment(Key(tenant_id, "n", "second"), 60),
            Append(tenant_id, "race", b"entry"),
        )
    return won


def _add_one(state: StateStore, key: Key) -> None:
    """Read, add one, write where it is as it was read, until that succeeds."""
    while True:
        (old,) = state.execute(Get(key)).results
        new = b"%d" % (int(old or b"0") + 1)
        op = PutIfAbsent(key, new, 60) if old is None else Replace(key, old, new, 60)
        if state.execute(op).results[0]:
            return


def race_in_process(place: Place, tenant_id: str, pipe: Connection) -> None:
    """`race`, once told to begin."""
    state = place.open()
    pipe.send("ready")
    pipe.recv()
    pipe.send(race(state, tenant_id))
    state.close()


def fork_in_process(place: Place, tenant_id: str, pipe: Connection) -> None:
    """Use a store, fork, and use it on both sides at once. Sends the exit codes of the children."""
    state = place.open()
    key = Key(tenant_id, "forked", "counter")
    state.execute(Increment(key, 60))
    children = [pid for _ in range(3) if (pid := _forked(lambda: _count(state, key)))]
    _count(state, key)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    _count(state, key)
    pipe.send(statuses)
    state.close()


def _forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _count(state: StateStore, key: Key) -> None:
    for _ in range(100):
        state.execute(Get(key), Increment(key, 60))
