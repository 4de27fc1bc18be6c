"""Deliveries to strangers: many at once, few to one of them, and nobody is held up by another."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app import couriers
from app.couriers import Couriers
from app.infra.outbox import Claim
from app.infra.queue import Handed
from tests.servers import wait_until

TOPIC = "notices"


class Road:
    """Deliveries that end when they are let go."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.under_way: list[str] = []
        self.done: list[str] = []
        self.most = 0
        self.gates: dict[str, threading.Event] = {}

    def __call__(self, handed: Handed) -> None:
        receiver = handed.claim.subject.partition(" ")[0]
        with self.lock:
            gate = self.gates.get(receiver)
            self.under_way.append(receiver)
            self.most = max(self.most, len(self.under_way))
        if gate is not None:
            assert gate.wait(20)
        with self.lock:
            self.under_way.remove(receiver)
            self.done.append(handed.claim.payload["name"])

    def block(self, *receivers: str) -> None:
        for receiver in receivers:
            self.gates[receiver] = threading.Event()

    def free(self) -> None:
        for gate in self.gates.values():
            gate.set()


@pytest.fixture
def road() -> Iterator[Road]:
    found = Road()
    yield found
    found.free()


@pytest.fixture
def pool(road: Road) -> Iterator[Couriers]:
    found = Couriers((TOPIC,), road)
    yield found
    road.free()
    found.stop()


def handed(receiver: str, number: int = 0, tenant_id: str = "t") -> Handed:
    name: Any = f"{receiver}{number}"
    return Handed(Claim(tenant_id, number, TOPIC, f"{receiver} person{number}", {"name": name}, 1))


def test_a_slow_receiver_holds_up_only_itself(pool: Couriers, road: Road) -> None:
    road.block("slow")
    for number in range(5):
        assert pool.accept(handed("slow", number))
    assert pool.accept(handed("quick"))
    wait_until(lambda: road.done == ["quick0"], seconds=10)
    assert road.under_way == ["slow"] * couriers.PER_RECEIVER
    assert pool.busy("t") == [(TOPIC, "slow ")]
    assert pool.busy("another") == []
    road.free()
    wait_until(lambda: len(road.done) == 6, seconds=10)
    assert set(road.done[1:]) == {f"slow{number}" for number in range(5)}
    assert pool.busy("t") == []


def test_what_there_is_no_room_for_is_refused(pool: Couriers, road: Road) -> None:
    road.block("slow")
    taken = [pool.accept(handed("slow", number)) for number in range(20)]
    assert taken.count(True) == couriers.PER_RECEIVER + couriers.WAITING_PER_RECEIVER
    assert taken == sorted(taken, reverse=True)
    assert pool.accept(handed("quick"))


def test_a_tenant_has_half_of_the_road(pool: Couriers, road: Road) -> None:
    """However many slow receivers it has, those of another tenant are served."""
    receivers = [f"slow{number}x" for number in range(30)]
    road.block(*receivers)
    taken = [pool.accept(handed(receiver)) for receiver in receivers + receivers]
    assert taken.count(True) == couriers.PER_TENANT + couriers.WAITING_PER_TENANT
    wait_until(lambda: len(road.under_way) == couriers.PER_TENANT, seconds=10)
    assert pool.busy("t") == [(TOPIC, "")], "nothing more of it is to be claimed"
    assert pool.busy("u") == []
    assert pool.accept(handed("quick", tenant_id="u"))
    wait_until(lambda: road.done == ["quick0"], seconds=10)


def test_the_road_is_as_wide_as_it_is(pool: Couriers, road: Road) -> None:
    road.block(*(f"r{number}" for number in range(40)))
    taken = 0
    for tenant_id in "abcdefgh":
        taken += sum(pool.accept(handed(f"r{number}", tenant_id=tenant_id)) for number in range(40))
    assert taken == couriers.THREADS + couriers.WAITING
    assert pool.busy("z") == [(TOPIC, "")]
    road.free()
    wait_until(lambda: len(road.done) == taken, seconds=20)
    assert road.most <= couriers.THREADS


def test_receivers_take_turns(pool: Couriers, road: Road) -> None:
    """One with much to be told does not go before one with little."""
    road.block("a", "b")
    for number in range(6):
        pool.accept(handed("a", number))
    for number in range(2):
        pool.accept(handed("b", number))
    wait_until(lambda: len(road.under_way) == 4, seconds=10)
    assert sorted(road.under_way) == ["a", "a", "b", "b"]


def test_stopping_gives_back_what_was_not_begun(road: Road) -> None:
    pool = Couriers((TOPIC,), road)
    road.block("slow")
    for number in range(4):
        pool.accept(handed("slow", number))
    wait_until(lambda: len(road.under_way) == 2, seconds=10)
    threading.Timer(0.2, road.free).start()
    assert [left.claim.id for left in pool.stop()] == [2, 3]
    assert sorted(road.done) == ["slow0", "slow1"], "what was under way is finished"
    assert not pool.accept(handed("slow", 9))


def test_a_delivery_that_breaks_leaves_its_place(road: Road) -> None:
    def broken(_: Handed) -> None:
        raise RuntimeError("a bug of ours")

    pool = Couriers((TOPIC,), broken)
    for number in range(3 * couriers.THREADS):
        wait_until(lambda n=number: pool.accept(handed("r", n)), seconds=10)  # type: ignore[misc]
    wait_until(lambda: pool.busy("t") == [], seconds=10)
    assert pool.stop() == []
