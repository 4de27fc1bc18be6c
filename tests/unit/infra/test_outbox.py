"""The outbox: nothing is lost, nobody overtakes, what fails comes back later, what is given up on stays visible."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import delete, func, select, update

from app.infra import outbox
from app.infra.audit import Event
from app.infra.log_tables import OutboxMessage
from app.infra.outbox import LEASE_SECONDS, Claim, DeliveryFailed, Outbox, backoff_seconds
from app.infra.queue import DirectQueue, StreamQueue
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.settings import Settings
from tests import outbox_rows
from tests.unit.infra.log_parts import Parts, parts_of


@pytest.fixture
def parts(deployment: Settings) -> Iterator[Parts]:
    with parts_of(deployment, lease_seconds=0.2) as found:
        yield found


@pytest.fixture
def tenant_id(parts: Parts) -> str:
    return parts.tenant()


@pytest.fixture
def box(parts: Parts) -> Outbox:
    return Outbox(parts.tenancy, max_attempts=3)


def put(parts: Parts, tenant_id: str, *messages: tuple[str, Any], topic: str = "news") -> None:
    for subject, value in messages:
        with parts.tenancy.session(tenant_id, write=True) as session:
            outbox.put(session, topic, subject, {"value": value})


def values(claims: list[Claim]) -> list[Any]:
    return [claim.payload["value"] for claim in claims]


def events(parts: Parts, tenant_id: str) -> list[str]:
    with parts.tenancy.session(tenant_id) as session:
        return [row["event"] for row in outbox_rows.events(session)]


def make_due(parts: Parts, tenant_id: str) -> None:
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(update(OutboxMessage).values(available_at=clock.now()))


def test_what_is_not_committed_is_not_delivered(parts: Parts, tenant_id: str, box: Outbox) -> None:
    def change() -> None:
        with parts.tenancy.session(tenant_id, write=True) as session:
            outbox.put(session, "news", "a", {})
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        change()
    assert box.claim(tenant_id) == []


def test_a_delivered_message_is_gone_with_its_event_on_record(
    parts: Parts, tenant_id: str, box: Outbox
) -> None:
    put(parts, tenant_id, ("a", 1))
    (claim,) = box.claim(tenant_id)
    event = Event("mail.sent", tenant_id=tenant_id, outcome="success")
    assert box.delivered(claim, event)
    assert events(parts, tenant_id) == ["mail.sent"]
    assert not box.delivered(claim, event)
    assert events(parts, tenant_id) == ["mail.sent"]


def test_messages_of_a_subject_come_one_after_the_other(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1), ("a", 2), ("b", 3), ("a", 4))
    first, other = box.claim(tenant_id)
    assert values([first, other]) == [1, 3]
    assert box.claim(tenant_id) == []
    box.delivered(first)
    assert values(box.claim(tenant_id)) == [2]


def test_the_same_subject_of_another_topic_or_tenant_does_not_wait(
    parts: Parts, tenant_id: str, box: Outbox
) -> None:
    other = parts.tenant()
    put(parts, tenant_id, ("a", 1))
    put(parts, tenant_id, ("a", 2), topic="weather")
    put(parts, other, ("a", 3))
    assert values(box.claim(tenant_id)) == [1, 2]
    assert values(box.claim(other)) == [3]


def test_what_follows_in_a_subject_is_claimed_by_itself(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1), ("a", 2), ("b", 3))
    claim, _ = box.claim(tenant_id)
    assert box.claim(tenant_id, like=claim) == []
    box.delivered(claim)
    assert values(box.claim(tenant_id, like=claim)) == [2]


def test_a_killed_workers_message_comes_again_first(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1), ("a", 2))
    (lost,) = box.claim(tenant_id)
    with time_machine.travel(clock.after(LEASE_SECONDS + 1)):
        (again,) = box.claim(tenant_id)
        assert values([again]) == [1]
        assert not box.delivered(lost), "a lease that ran out must not remove what another worker holds"
        assert not box.failed(lost, DeliveryFailed("late", permanent=True))
        assert box.delivered(again)


def test_what_failed_waits_and_holds_its_subject_back(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1), ("a", 2))
    (claim,) = box.claim(tenant_id)
    assert not box.failed(claim, DeliveryFailed("not today"))
    assert box.claim(tenant_id) == []
    with time_machine.travel(clock.after(5)):
        assert values(box.claim(tenant_id)) == [1]


def test_waiting_grows_is_spread_and_bounded() -> None:
    for attempt in range(1, 40):
        longest = min(3600.0, 2.0 ** (attempt - 1))
        drawn = {backoff_seconds(attempt) for _ in range(20)}
        assert all(longest / 2 <= seconds <= longest for seconds in drawn)
        assert len(drawn) > 1


def test_after_its_last_attempt_a_message_is_a_dead_letter(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1), ("a", 2))
    failed = Event("mail.failed", tenant_id=tenant_id, outcome="failure", reason="mail.undeliverable")
    given_up = []
    for _ in range(3):
        make_due(parts, tenant_id)
        (claim,) = box.claim(tenant_id)
        given_up.append(box.failed(claim, DeliveryFailed("refused: password=hunter2hunter2", event=failed)))
    assert given_up == [False, False, True]
    assert sorted(events(parts, tenant_id)) == ["mail.failed", "worker.dead_letter"]
    with parts.tenancy.session(tenant_id) as session:
        (dead,) = outbox.dead_letters(session)
        assert dead.payload == {"value": 1}
        assert dead.last_error == "refused: password=[redacted]"
        assert outbox.dead_letters(session, after=dead.id) == []
    assert values(box.claim(tenant_id)) == [2], "a dead letter holds nobody back"


def test_what_can_never_succeed_is_given_up_at_once(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1))
    (claim,) = box.claim(tenant_id)
    assert box.failed(claim, DeliveryFailed("no such mailbox", permanent=True))


def test_a_dead_letter_can_be_retried_once_it_is_dead(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1))
    (claim,) = box.claim(tenant_id)
    with pytest.raises(Problem, match=r"dead_letter\.unknown"):
        retry(parts, tenant_id, claim.id)
    box.failed(claim, DeliveryFailed("no", permanent=True))
    with pytest.raises(Problem, match=r"dead_letter\.unknown"):
        retry(parts, parts.tenant(), claim.id)
    retry(parts, tenant_id, claim.id)
    (again,) = box.claim(tenant_id)
    assert again.attempt == 1


def retry(parts: Parts, tenant_id: str, message_id: int) -> None:
    with parts.tenancy.session(tenant_id, write=True) as session:
        outbox.retry(session, message_id)


def test_a_released_message_is_due_at_once_and_no_attempt_is_lost(
    parts: Parts, tenant_id: str, box: Outbox
) -> None:
    put(parts, tenant_id, ("a", 1))
    (claim,) = box.claim(tenant_id)
    box.release(claim)
    assert box.claim(tenant_id)[0].attempt == claim.attempt


def test_the_backlog_counts_what_waits_and_what_is_dead(parts: Parts, tenant_id: str, box: Outbox) -> None:
    topic = f"counted-{tenant_id}"
    with parts.tenancy.system(SystemReason.OUTBOX, write=True) as session:
        # Left by tests that travelled: they lie in the future and come first.
        session.execute(delete(OutboxMessage).where(OutboxMessage.created_at > clock.now()))
    put(parts, tenant_id, ("a", 1), ("b", 2), ("c", 3), topic=topic)
    claim = box.claim(tenant_id)[0]
    box.failed(claim, DeliveryFailed("no", permanent=True))
    with time_machine.travel(clock.now() + timedelta(seconds=60)):
        backlog = box.backlog()
    assert (backlog.waiting[topic], backlog.dead[topic]) == (2, 1)
    assert backlog.oldest_seconds >= 59


def test_due_names_tenants_and_topics(parts: Parts, tenant_id: str, box: Outbox) -> None:
    assert tenant_id not in box.due()
    put(parts, tenant_id, ("a", 1))
    assert box.due()[tenant_id] == {"news"}
    box.claim(tenant_id)
    assert tenant_id not in box.due()


@pytest.mark.parametrize("way", ["direct", "stream"])
def test_many_workers_deliver_each_message_once_and_in_order(
    parts: Parts, tenant_id: str, box: Outbox, way: str
) -> None:
    subjects, each = 6, 8
    put(parts, tenant_id, *((f"s{n % subjects}", n // subjects) for n in range(subjects * each)))
    delivered: dict[str, list[int]] = {f"s{n}": [] for n in range(subjects)}
    faults: list[BaseException] = []
    deadline = clock.after(30)

    def work(number: int) -> None:
        queue = DirectQueue(box) if way == "direct" else StreamQueue(box, parts.state, f"worker-{number}")
        try:
            while sum(map(len, delivered.values())) < subjects * each and clock.now() < deadline:
                for handed in queue.fetch([tenant_id]):
                    delivered[handed.claim.subject].append(handed.claim.payload["value"])
                    assert box.delivered(handed.claim)
                    queue.done(handed)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert delivered == {f"s{n}": list(range(each)) for n in range(subjects)}


def test_a_reservation_is_taken_by_one_worker_and_comes_back_when_none_takes_it(
    parts: Parts, tenant_id: str, box: Outbox
) -> None:
    put(parts, tenant_id, ("a", 1))
    (reserved,) = box.claim(tenant_id, reserve=True)
    assert box.claim(tenant_id) == []
    taken = box.take(tenant_id, reserved.id, reserved.attempt)
    assert taken is not None
    assert box.take(tenant_id, reserved.id, reserved.attempt) is None
    box.release(taken)
    box.claim(tenant_id, reserve=True)
    with time_machine.travel(clock.after(LEASE_SECONDS + 1)):
        assert values(box.claim(tenant_id)) == [1]


def test_a_stream_entry_of_a_delivered_message_is_forgotten(
    parts: Parts, tenant_id: str, box: Outbox
) -> None:
    put(parts, tenant_id, ("a", 1))
    queue = StreamQueue(box, parts.state, "worker")
    (handed,) = queue.fetch([tenant_id])
    box.delivered(handed.claim)
    deadline = clock.after(5)
    while parts.state.read_stream([tenant_id], "outbox", "other", count=9) and clock.now() < deadline:
        queue.fetch([tenant_id])
    assert clock.now() < deadline


def test_numbers_of_other_tenants_are_unknown(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1))
    (claim,) = box.claim(tenant_id, reserve=True)
    assert box.take(parts.tenant(), claim.id, claim.attempt) is None
    with parts.tenancy.session(tenant_id) as session:
        assert session.scalar(select(func.count()).select_from(OutboxMessage)) == 1


def test_lanes_that_are_left_out_stay_where_they_are(parts: Parts, tenant_id: str, box: Outbox) -> None:
    """A prefix is taken literally: client ids may have what LIKE takes for a wildcard."""
    put(parts, tenant_id, ("a_b x", 1), ("aXb x", 2), ("a_b y", 3), ("c x", 4))
    put(parts, tenant_id, ("a_b x", 5), topic="letters")
    lanes = [("news", "a_b "), ("news", "c ")]
    assert values(box.claim(tenant_id, but=lanes)) == [2, 5]
    assert values(box.claim(tenant_id, but=[("news", "")])) == []
    assert values(box.claim(tenant_id)) == [1, 3, 4]


@pytest.mark.parametrize("queue", [DirectQueue, lambda box, parts: StreamQueue(box, parts.state, "worker")])
def test_a_queue_leaves_out_what_is_busy(parts: Parts, tenant_id: str, box: Outbox, queue: Any) -> None:
    put(parts, tenant_id, ("slow x", 1), ("quick x", 2))
    made = DirectQueue(box) if queue is DirectQueue else queue(box, parts)
    found = made.fetch([tenant_id], lambda _: [("news", "slow ")])
    assert [handed.claim.payload["value"] for handed in found] == [2]
    assert [handed.claim.payload["value"] for handed in made.fetch([tenant_id])] == [1]


def test_a_fault_may_say_how_many_attempts_are_worth_it(parts: Parts, tenant_id: str, box: Outbox) -> None:
    put(parts, tenant_id, ("a", 1))
    fault = DeliveryFailed("no", attempts=2)
    (claim,) = box.claim(tenant_id)
    assert not box.failed(claim, fault)
    make_due(parts, tenant_id)
    (claim,) = box.claim(tenant_id)
    assert box.failed(claim, fault)
    put(parts, tenant_id, ("b", 2))
    for last in (False, False, True):
        (claim,) = box.claim(tenant_id)
        assert box.failed(claim, DeliveryFailed("no", attempts=99)) is last, (
            "never more than the outbox makes"
        )
        with parts.tenancy.session(tenant_id, write=True) as session:
            session.execute(
                update(OutboxMessage).where(OutboxMessage.subject == "b").values(available_at=clock.now())
            )
