"""Redis goes away, comes back, turns into a replica: nothing is answered that might not be so."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.infra.state import Append, Execute, Get, Increment, Key, Put, TakeOnce
from app.infra.state.redis import RedisState
from app.kernel.errors import Unavailable
from tests.servers import RedisServer, wait_until

pytestmark = pytest.mark.faults

KEY, COUNTER = Key("t", "value", "one"), Key("t", "counter", "one")


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(appendonly=True) as running:
        yield running


@pytest.fixture
def state(server: RedisServer) -> Iterator[RedisState]:
    with contextlib.closing(RedisState(server.url, timeout_seconds=1)) as store:
        yield store


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(Unavailable) as caught:
        work()
    return caught.value.code


def test_down_is_unavailable_and_up_again_is_well(server: RedisServer, state: RedisState) -> None:
    state.execute(Put(KEY, b"v", 60))
    server.kill()
    for work in (
        lambda: state.execute(Get(KEY)),
        lambda: state.execute(Increment(COUNTER, 60)),
        lambda: state.read_stream(["t"], "s", "c", count=1),
        lambda: state.acknowledge("t", "s", ["0-1"]),
        state.check,
        state.doctor,
    ):
        assert refused(work) == "state.unavailable"
    server.start()
    assert state.execute(Get(KEY)).results == (b"v",)
    state.check()


def test_a_restart_is_not_noticed_by_whoever_was_idle(server: RedisServer, state: RedisState) -> None:
    state.execute(Put(KEY, b"v", 60))
    server.restart()
    assert state.execute(Get(KEY)).results == (b"v",), "what can be repeated is, at once"
    server.restart()
    time.sleep(1.1)
    assert state.execute(Increment(COUNTER, 60)).results == (1,), (
        "what cannot is not sent down a dead connection"
    )


def test_a_frozen_server_is_given_up_soon_and_nothing_is_sent_twice(
    server: RedisServer, state: RedisState
) -> None:
    state.execute(Put(KEY, b"v", 60))
    server.pause()
    started = time.monotonic()
    assert refused(lambda: state.execute(Increment(COUNTER, 60))) == "state.unavailable"
    assert refused(lambda: state.execute(Get(KEY))) == "state.unavailable"
    assert time.monotonic() - started < 5
    server.resume()
    with contextlib.closing(server.client()) as client:
        wait_until(lambda: client.get(str(COUNTER)) == b"1", seconds=5)
    assert state.execute(Get(COUNTER)).results == (b"1",)


def test_scripts_are_known_again_after_they_were_flushed(server: RedisServer, state: RedisState) -> None:
    with contextlib.closing(server.client()) as client:
        for expected in (1, 2):
            client.script_flush()
            assert state.execute(Increment(COUNTER, 60), Append("t", "s", b"e")).results[0] == expected
            client.script_flush()
            assert state.execute(Get(KEY), Get(COUNTER)).results == (None, b"%d" % expected)
            client.script_flush()
            assert len(state.read_stream(["t", "u"], "s", "c", count=9)["t"]) == 1


def test_a_replica_is_not_asked(server: RedisServer) -> None:
    with (
        RedisServer(replica_of=server) as replica,
        contextlib.closing(RedisState(replica.url)) as state,
    ):
        assert refused(lambda: state.execute(Get(KEY))) == "state.not_master"


def test_a_master_that_becomes_a_replica_is_not_asked_any_more(
    server: RedisServer, state: RedisState
) -> None:
    state.execute(Put(KEY, b"v", 60), Append("t", "s", b"e"))
    with RedisServer() as master, contextlib.closing(server.client()) as client:
        client.replicaof("127.0.0.1", master.port)
        for work in (
            lambda: state.execute(Get(KEY)),
            lambda: state.execute(Get(KEY), Get(COUNTER)),
            lambda: state.execute(TakeOnce(KEY), Get(KEY)),
            lambda: state.read_stream(["t"], "s", "c", count=1),
            state.check,
        ):
            # Each time on a connection made while it was a master.
            assert refused(work) in ("state.unavailable", "state.not_master")
            client.replicaof("NO", "ONE")
            state.check()
            client.replicaof("127.0.0.1", master.port)


def test_full_memory_is_unavailable_but_reading_goes_on(server: RedisServer, state: RedisState) -> None:
    state.execute(Put(KEY, b"v", 60))
    with contextlib.closing(server.client()) as client:
        client.config_set("maxmemory", "1")
        assert refused(lambda: state.execute(Put(KEY, b"w", 60), Get(KEY))) == "state.unavailable"
        assert state.execute(Get(KEY)).results == (b"v",)
        assert state.execute(Get(KEY), Get(COUNTER)).results == (b"v", None)


def test_the_guard_goes_before_the_first_answer_and_once_per_server(
    server: RedisServer, state: RedisState
) -> None:
    calls: list[str] = []
    start = threading.Barrier(8)

    def guard(execute: Execute) -> None:
        calls.append("guard")
        execute(Put(KEY, b"replayed", 60), Increment(COUNTER, 60))

    def ask(_: int) -> object:
        start.wait()
        return state.execute(Get(KEY)).results[0]

    state.guard(guard)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [b"replayed"] * 8
    assert calls == ["guard"]
    server.restart()
    assert state.execute(Get(COUNTER)).results == (b"2",)
    assert calls == ["guard"] * 2


def test_there_is_no_answer_while_the_guard_fails(server: RedisServer, state: RedisState) -> None:
    failing = [True]

    def guard(_: Execute) -> None:
        if failing:
            raise Unavailable("database.unavailable")

    state.guard(guard)
    assert refused(lambda: state.execute(Get(KEY))) == "database.unavailable"
    assert refused(state.check) == "database.unavailable"
    failing.clear()
    assert state.execute(Get(KEY)).results == (None,)


def test_a_lost_connection_brings_the_guard_back(server: RedisServer, state: RedisState) -> None:
    calls: list[int] = []
    state.guard(lambda execute: calls.append(1))
    state.execute(Get(KEY))
    with contextlib.closing(server.client()) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    state.execute(Get(KEY))
    assert len(calls) == 2


def test_doctor_asks_for_durability(server: RedisServer, state: RedisState) -> None:
    assert state.doctor() == []
    with contextlib.closing(server.client()) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
    advice = state.doctor()
    assert len(advice) == 2
    assert "appendonly yes" in advice[0]
    assert "noeviction" in advice[1]


def test_a_password_and_a_database_number_of_the_url_are_used(server: RedisServer) -> None:
    with contextlib.closing(server.client()) as client:
        client.config_set("requirepass", "hunter2")
        client.auth("hunter2")
        with contextlib.closing(RedisState(f"redis://:hunter2@127.0.0.1:{server.port}/3")) as state:
            state.execute(Put(KEY, b"v", 60))
        with contextlib.closing(RedisState(f"redis://:wrong@127.0.0.1:{server.port}/3")) as state:
            assert refused(state.check) == "state.unavailable"
        client.select(3)
        assert client.get(str(KEY)) == b"v"
