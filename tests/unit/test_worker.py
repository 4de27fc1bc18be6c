"""The worker's loops, over the real parts: prompt, in order, and not to be stopped by what fails."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from app import housekeeping
from app.domain.models import MailboxMessage
from app.infra import audit, audit_chain, heartbeat, mail, outbox
from app.infra.audit_appender import AuditAppender
from app.infra.log_tables import OutboxMessage
from app.infra.outbox import DeliveryFailed, Outbox
from app.infra.sinks.stdout import StdoutSink
from app.infra.state import Delete, SetMembers
from app.kernel import clock
from app.worker import Worker
from tests.servers import wait_until

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.web.services import Services


class Deliveries:
    """A handler that notes what it got, and fails as it is told with what is `tenant_id`'s.

    The worker also delivers what other tests left behind.
    """

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.got: list[tuple[str, Any]] = []
        self.faults: list[Exception] = []
        self.entered = threading.Event()
        self.leave = threading.Event()
        self.leave.set()

    def __call__(self, tenant_id: str, payload: Mapping[str, Any]) -> None:
        if tenant_id != self.tenant_id:
            return
        self.entered.set()
        assert self.leave.wait(20)
        if self.faults:
            raise self.faults.pop(0)
        self.got.append((tenant_id, payload["value"]))

    def values(self, tenant_id: str) -> list[Any]:
        return [value for tenant, value in self.got if tenant == tenant_id]


@contextmanager
def working(worker: Worker) -> Iterator[Worker]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def deliveries(tenant: "TenantContext") -> Deliveries:
    return Deliveries(tenant.id)


@pytest.fixture
def stdout() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def worker(services: "Services", deliveries: Deliveries, stdout: io.StringIO) -> Worker:
    return Worker(
        services,
        outbox=Outbox(services.tenancy, max_attempts=3),
        handlers={"parcel": deliveries, "letter": deliveries, mail.TOPIC: services.mailer.deliver},
        sinks=(StdoutSink(stdout),),
    )


def put(
    services: "Services", tenant: "TenantContext", *values: Any, topic: str = "parcel", subject: str = "a"
) -> None:
    for value in values:
        with services.tenancy.session(tenant.id, write=True) as session:
            outbox.put(session, topic, subject, {"value": value})


def soon(what: Callable[[], object], seconds: float = 60) -> None:
    wait_until(lambda: bool(what()), seconds=seconds)


def left(services: "Services", tenant: "TenantContext") -> list[OutboxMessage]:
    with services.tenancy.session(tenant.id) as session:
        return list(session.scalars(select(OutboxMessage).where(OutboxMessage.topic != "audit")))


def make_due(services: "Services", tenant: "TenantContext") -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        session.execute(
            update(OutboxMessage).where(OutboxMessage.attempts > 0).values(available_at=clock.now())
        )


def test_audit_reaches_chain_and_stdout_promptly(
    services: "Services", tenant: "TenantContext", worker: Worker, stdout: io.StringIO
) -> None:
    def mine() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in stdout.getvalue().splitlines()]
        return [line for line in lines if line.get("tenant") == tenant.id]

    with working(worker):
        soon(lambda: heartbeat.age_seconds(services.state) is not None)
        started = time.monotonic()
        services.state.execute(
            audit.operation(audit.Event("token.issued", tenant_id=tenant.id, outcome="success"))
        )
        with services.tenancy.session(tenant.id, write=True) as session:
            audit.record(session, audit.Event("user.created", tenant_id=tenant.id, outcome="success"))
        soon(lambda: {"token.issued", "user.created"} <= {line["event"] for line in mine()})
        assert time.monotonic() - started < 5
    with services.tenancy.session(tenant.id) as session:
        assert audit_chain.verify(session, expected_head=mine()[-1]["hash"]) is None


def test_a_worker_that_ends_is_not_taken_for_alive(services: "Services", worker: Worker) -> None:
    """Nor one that goes on for dead."""
    services.state.execute(Delete(heartbeat._WORKERS))
    heartbeat.beat(services.state, "another")
    with working(worker):
        soon(lambda: len(services.state.execute(SetMembers(heartbeat._WORKERS)).results[0]) == 2)
    assert heartbeat.age_seconds(services.state) is not None
    heartbeat.end(services.state, "another")
    assert heartbeat.age_seconds(services.state) is None


def test_messages_are_delivered_promptly_and_in_order(
    services: "Services", tenant: "TenantContext", worker: Worker, deliveries: Deliveries
) -> None:
    with working(worker):
        soon(lambda: heartbeat.age_seconds(services.state) is not None)
        started = time.monotonic()
        put(services, tenant, *range(20))
        soon(lambda: len(deliveries.values(tenant.id)) == 20)
        assert time.monotonic() - started < 5
    assert deliveries.values(tenant.id) == list(range(20))
    assert left(services, tenant) == []


def test_mail_lands_in_the_mailbox(services: "Services", tenant: "TenantContext", worker: Worker) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        services.mailer.send(session, tenant=tenant.id, to="a@example.com", subject="Hi", text="Hello")

    def kept() -> list[MailboxMessage]:
        with services.tenancy.session(tenant.id) as session:
            return mail.mailbox(session)

    with working(worker):
        soon(kept)
        soon(lambda: "mail.sent" in _events(services, tenant))


def _events(services: "Services", tenant: "TenantContext") -> list[str]:
    with services.tenancy.session(tenant.id) as session:
        return [line["event"] for line in audit_chain.tail(session, 100)]


@pytest.mark.parametrize("fault", [DeliveryFailed("not today"), KeyError("a bug of ours")])
def test_what_fails_is_tried_again_and_holds_nobody_else_back(
    services: "Services", tenant: "TenantContext", worker: Worker, deliveries: Deliveries, fault: Exception
) -> None:
    deliveries.faults.append(fault)
    put(services, tenant, 1, 2)
    with working(worker):
        soon(lambda: not deliveries.faults)
        put(services, tenant, "other", topic="letter")
        soon(lambda: "other" in deliveries.values(tenant.id))
        soon(lambda: 2 in deliveries.values(tenant.id))
    assert [value for value in deliveries.values(tenant.id) if value != "other"] == [1, 2]


def test_what_always_fails_becomes_a_dead_letter_on_record(
    services: "Services", tenant: "TenantContext", worker: Worker, deliveries: Deliveries
) -> None:
    deliveries.faults += [RuntimeError("canary-detail")] * 3
    put(services, tenant, 1)
    with working(worker):
        for remaining in (2, 1, 0):
            soon(lambda n=remaining: len(deliveries.faults) == n)  # type: ignore[misc]
            soon(lambda: left(services, tenant)[0].last_error is not None)
            make_due(services, tenant)
        soon(lambda: "worker.dead_letter" in _events(services, tenant))
    (dead,) = left(services, tenant)
    assert dead.dead_at is not None
    assert dead.last_error == "RuntimeError", "what a bug says is for the log, not for the API"


def test_a_topic_of_a_newer_version_waits(
    services: "Services", tenant: "TenantContext", worker: Worker, deliveries: Deliveries
) -> None:
    put(services, tenant, 1, topic="from-the-future")
    with working(worker):
        soon(lambda: left(services, tenant)[0].last_error)
    (message,) = left(services, tenant)
    assert message.dead_at is None


def test_stopping_finishes_what_is_in_hand_and_gives_back_the_rest(
    services: "Services", tenant: "TenantContext", worker: Worker, deliveries: Deliveries
) -> None:
    deliveries.leave.clear()
    put(services, tenant, 1, 2)
    with working(worker):
        assert deliveries.entered.wait(10)
        worker.stop()
        deliveries.leave.set()
    assert deliveries.values(tenant.id) == [1]
    (message,) = left(services, tenant)
    assert message.attempts == 0
    assert message.available_at <= clock.now()


def test_several_workers_share_the_work(
    services: "Services", tenant: "TenantContext", deliveries: Deliveries
) -> None:
    workers = [Worker(services, handlers={"parcel": deliveries}, sinks=()) for _ in range(2)]
    for number in range(8):
        put(services, tenant, *((number, n) for n in range(5)), subject=f"s{number}")
    with working(workers[0]), working(workers[1]):
        soon(lambda: len(deliveries.values(tenant.id)) == 40, seconds=40)
    for number in range(8):
        mine = [value for value in deliveries.values(tenant.id) if value[0] == number]
        assert mine == [[number, n] for n in range(5)]


def test_housekeeping_does_every_job(services: "Services", tenant: "TenantContext") -> None:
    appender = AuditAppender(services.tenancy, services.state, (), consumer="test")
    old = clock.after(-8 * 86400)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(MailboxMessage(recipient="a", subject="old", text="x", html=None, created_at=old))
        session.add(MailboxMessage(recipient="a", subject="new", text="x", html=None))
        ancient = clock.after(-91 * 86400)
        event = audit.Event("auth.logout", tenant_id=tenant.id, outcome="success", occurred_at=ancient)
        audit.record(session, event)
    appender.append(tenant.id, [])
    names = []
    for name, every_seconds, job in housekeeping.jobs(services, appender):
        assert every_seconds > 0
        job()
        names.append(name)
    assert names == [
        "state expiry",
        "key maintenance",
        "audit retention",
        "leavers",
        "registered clients",
        "spent rows",
    ]
    with services.tenancy.session(tenant.id) as session:
        assert [message.subject for message in mail.mailbox(session)] == ["new"]
        assert audit_chain.tail(session) == []


def test_a_job_that_fails_stops_nothing(
    services: "Services",
    tenant: "TenantContext",
    worker: Worker,
    deliveries: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the job is broken")

    monkeypatch.setattr(heartbeat, "beat", broken)
    with working(worker):
        put(services, tenant, 1)
        soon(lambda: deliveries.values(tenant.id) == [1])
