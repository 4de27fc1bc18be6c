"""The chain: appended once, verifiable, kept within its retention, told to its sinks."""

import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.event import listen

from app.infra import audit, audit_chain, outbox
from app.infra.audit import Event
from app.infra.log_tables import AuditHead, AuditRecord, OutboxMessage
from app.infra.sinks.stdout import StdoutSink
from app.infra.state import Append
from app.infra.tenancy import TenancyError
from app.kernel import clock
from app.kernel.settings import Settings
from tests.unit.infra.log_parts import Parts, parts_of


@pytest.fixture
def parts(deployment: Settings) -> Iterator[Parts]:
    with parts_of(deployment, lease_seconds=0.2) as found:
        yield found


@pytest.fixture
def tenant_id(parts: Parts) -> str:
    return parts.tenant()


def login(tenant_id: str, user_id: str = "alice", **more: Any) -> Event:
    return Event("auth.login.success", tenant_id=tenant_id, outcome="success", user_id=user_id, **more)


def record(parts: Parts, *events: Event) -> None:
    for event in events:
        with parts.tenancy.session(event.tenant_id, write=True) as session:
            audit.record(session, event)


def stored(parts: Parts, tenant_id: str) -> list[AuditRecord]:
    with parts.tenancy.session(tenant_id) as session:
        return audit_chain.page(session, 0, 10_000)


def verified(parts: Parts, tenant_id: str, **options: Any) -> audit_chain.Break | None:
    with parts.tenancy.session(tenant_id) as session:
        return audit_chain.verify(session, **options)


def chain_of(parts: Parts, tenant_id: str, length: int) -> None:
    record(parts, *(login(tenant_id, f"user-{n}") for n in range(length)))
    assert parts.appender().append(tenant_id, []) == length


def test_an_event_is_kept_only_with_its_change(parts: Parts, tenant_id: str) -> None:
    def change() -> None:
        with parts.tenancy.session(tenant_id, write=True) as session:
            audit.record(session, login(tenant_id))
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        change()
    assert parts.appender().append(tenant_id, []) == 0


def test_an_event_of_another_tenant_is_refused(parts: Parts, tenant_id: str) -> None:
    event = login(parts.tenant())
    with pytest.raises(TenancyError), parts.tenancy.session(tenant_id, write=True) as session:
        audit.record(session, event)


def test_records_come_from_the_outbox_and_the_stream_in_the_order_of_time(
    parts: Parts, tenant_id: str
) -> None:
    first, second, third = (login(tenant_id, name) for name in ("a", "b", "c"))
    parts.state.execute(audit.operation(second))
    record(parts, third, first)
    appender = parts.appender()
    assert appender.append(tenant_id, appender.streamed([tenant_id])[tenant_id]) == 3
    assert [row.user_id for row in stored(parts, tenant_id)] == ["a", "b", "c"]
    assert appender.streamed([tenant_id]) == {}
    with parts.tenancy.session(tenant_id) as session:
        assert session.scalar(select(func.count()).select_from(OutboxMessage)) == 0


def test_the_hash_is_sha256_over_the_previous_hash_and_the_canonical_record(
    parts: Parts, tenant_id: str
) -> None:
    chain_of(parts, tenant_id, 2)
    one, two = stored(parts, tenant_id)
    text = json.dumps(two.record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert one.previous_hash == ""
    assert two.previous_hash == one.hash
    assert two.hash == hashlib.sha256(f"{one.hash}\n{text}".encode()).hexdigest()


def test_an_event_offered_again_is_appended_once(parts: Parts, tenant_id: str) -> None:
    """A worker that dies between the commit and the acknowledgement leaves the entry to be offered again."""
    event = login(tenant_id)
    parts.state.execute(audit.operation(event), audit.operation(event))
    record(parts, event)
    appender = parts.appender()
    entries = appender.streamed([tenant_id])[tenant_id]
    assert len(entries) == 2
    assert appender.append(tenant_id, entries) == 1
    parts.state.execute(audit.operation(event))
    assert appender.append(tenant_id, appender.streamed([tenant_id])[tenant_id]) == 0
    assert len(stored(parts, tenant_id)) == 1


def test_an_entry_whose_worker_died_is_offered_to_another(parts: Parts, tenant_id: str) -> None:
    parts.state.execute(audit.operation(login(tenant_id)))
    assert parts.appender(consumer="dies").streamed([tenant_id])
    other = parts.appender(consumer="lives")
    entries = _until(lambda: other.streamed([tenant_id]).get(tenant_id))
    assert other.append(tenant_id, entries) == 1


def test_parallel_workers_append_each_event_once(parts: Parts, tenant_id: str) -> None:
    events = [login(tenant_id, f"user-{n}") for n in range(60)]
    record(parts, *events[:30])
    for event in events[30:]:
        parts.state.execute(audit.operation(event))
    faults: list[BaseException] = []

    def work(number: int) -> None:
        appender = parts.appender(consumer=f"worker-{number}")
        try:
            for _ in range(6):
                appender.append(tenant_id, appender.streamed([tenant_id]).get(tenant_id, []))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    rows = stored(parts, tenant_id)
    assert sorted(row.event_id for row in rows) == sorted(event.id for event in events)
    assert [row.sequence for row in rows] == list(range(1, 61))
    assert verified(parts, tenant_id) is None


def test_chains_of_tenants_do_not_touch(parts: Parts, tenant_id: str) -> None:
    other = parts.tenant()
    chain_of(parts, tenant_id, 3)
    chain_of(parts, other, 2)
    assert [row.sequence for row in stored(parts, other)] == [1, 2]
    assert verified(parts, other) is None


@pytest.mark.parametrize("questions", [1, 2])
def test_a_chain_that_grows_while_it_is_read_verifies(parts: Parts, tenant_id: str, questions: int) -> None:
    """From its first record on, after either of the first questions. On SQLite readers see what was there before."""
    record(parts, login(tenant_id))
    asked = []

    def grow(*_: object) -> None:
        asked.append(1)
        if len(asked) == questions:
            assert parts.appender().append(tenant_id, []) == 1

    with parts.tenancy.session(tenant_id) as session:
        listen(session.connection(), "after_cursor_execute", grow)
        assert audit_chain.verify(session) is None
    assert verified(parts, tenant_id) is None
    assert len(stored(parts, tenant_id)) == 1


def test_a_sound_chain_verifies(parts: Parts, tenant_id: str) -> None:
    assert verified(parts, tenant_id) is None
    chain_of(parts, tenant_id, 5)
    assert verified(parts, tenant_id) is None
    assert verified(parts, tenant_id, expected_head=stored(parts, tenant_id)[-1].hash) is None
    assert verified(parts, tenant_id, expected_head="0" * 64) is not None


TAMPERINGS = {
    "the record": update(AuditRecord).where(AuditRecord.sequence == 3).values(record={"id": "x"}),
    "the name": update(AuditRecord).where(AuditRecord.sequence == 3).values(event="auth.logout"),
    "the person": update(AuditRecord).where(AuditRecord.sequence == 3).values(user_id=None),
    "the time": update(AuditRecord)
    .where(AuditRecord.sequence == 3)
    .values(occurred_at=clock.from_timestamp(0)),
    "the hash": update(AuditRecord).where(AuditRecord.sequence == 3).values(hash="0" * 64),
    "a record removed": delete(AuditRecord).where(AuditRecord.sequence == 3),
    "the end removed": delete(AuditRecord).where(AuditRecord.sequence >= 3),
    "the end removed and the number set back": delete(AuditRecord).where(AuditRecord.sequence >= 3),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found_where_it_was_done(parts: Parts, tenant_id: str, what: str) -> None:
    chain_of(parts, tenant_id, 6)
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(TAMPERINGS[what])
        if "set back" in what:
            session.execute(update(AuditHead).values(sequence=2))
    found = verified(parts, tenant_id)
    assert found is not None
    assert found.sequence == 3


def test_removing_the_beginning_is_found(parts: Parts, tenant_id: str) -> None:
    chain_of(parts, tenant_id, 4)
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(delete(AuditRecord).where(AuditRecord.sequence <= 2))
    assert verified(parts, tenant_id) == audit_chain.Break(1, "records 1 to 2 are missing")


def test_removing_the_whole_chain_is_found(parts: Parts, tenant_id: str) -> None:
    chain_of(parts, tenant_id, 4)
    head = stored(parts, tenant_id)[-1].hash
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(delete(AuditRecord))
    assert verified(parts, tenant_id) is not None
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(delete(AuditHead))
    assert verified(parts, tenant_id, expected_head=head) is not None


def test_a_chain_cut_with_its_head_set_back_is_found_by_a_hash_seen_outside(
    parts: Parts, tenant_id: str
) -> None:
    chain_of(parts, tenant_id, 6)
    seen = stored(parts, tenant_id)[-1].hash
    with parts.tenancy.session(tenant_id, write=True) as session:
        kept = session.scalars(select(AuditRecord).where(AuditRecord.sequence == 4)).one().hash
        session.execute(delete(AuditRecord).where(AuditRecord.sequence > 4))
        session.execute(update(AuditHead).values(sequence=4, hash=kept))
    assert verified(parts, tenant_id) is None
    assert verified(parts, tenant_id, expected_head=seen) is not None


def test_a_record_added_past_the_appender_is_found(parts: Parts, tenant_id: str) -> None:
    chain_of(parts, tenant_id, 2)
    last = stored(parts, tenant_id)[-1]
    forged = login(tenant_id, "mallory").as_record()
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.add(
            AuditRecord(
                sequence=3,
                event_id=forged["id"],
                event=forged["event"],
                occurred_at=clock.now(),
                user_id="mallory",
                record=forged,
                previous_hash=last.hash,
                hash=audit_chain.link(last.hash, forged),
            )
        )
    assert verified(parts, tenant_id) is not None


def test_retention_keeps_the_rest_verifiable_and_is_on_record(parts: Parts, tenant_id: str) -> None:
    old = [login(tenant_id, f"old-{n}", occurred_at=clock.now() - timedelta(days=91)) for n in range(3)]
    record(parts, *old, login(tenant_id, "new"))
    appender = parts.appender()
    appender.append(tenant_id, [])
    assert appender.keep(tenant_id, 90) == 3
    assert appender.keep(tenant_id, 90) == 0
    appender.append(tenant_id, [])
    rows = stored(parts, tenant_id)
    assert [(row.sequence, row.event) for row in rows] == [(4, "auth.login.success"), (5, "audit.pruned")]
    assert rows[-1].record["data"] == {"count": 3, "sequence": 3}
    assert verified(parts, tenant_id) is None
    with parts.tenancy.session(tenant_id, write=True) as session:
        session.execute(delete(AuditRecord).where(AuditRecord.sequence == 4))
    assert verified(parts, tenant_id) is not None


def test_pruning_takes_no_record_that_others_still_lean_on(parts: Parts, tenant_id: str) -> None:
    """A late record of the distant past does not let younger ones before it go."""
    record(parts, login(tenant_id, "new"))
    parts.appender().append(tenant_id, [])
    record(parts, login(tenant_id, "late", occurred_at=clock.now() - timedelta(days=400)))
    parts.appender().append(tenant_id, [])
    assert parts.appender().keep(tenant_id, 90) == 0
    assert len(stored(parts, tenant_id)) == 2


def test_tail_pages_backwards_and_export_forwards(parts: Parts, tenant_id: str) -> None:
    chain_of(parts, tenant_id, 5)
    with parts.tenancy.session(tenant_id) as session:
        newest = audit_chain.tail(session, 2)
        assert [line["sequence"] for line in newest] == [5, 4]
        assert [line["sequence"] for line in audit_chain.tail(session, 9, before=4)] == [3, 2, 1]
        exported = list(audit_chain.export(session, after=1))
    assert [line["sequence"] for line in exported] == [2, 3, 4, 5]
    assert exported[-1] == newest[0]
    assert exported[-1].keys() >= {"time", "event", "user", "hash", "previous_hash"}


def test_an_entry_that_is_no_record_becomes_a_dead_letter(parts: Parts, tenant_id: str) -> None:
    parts.state.execute(Append(tenant_id, audit.STREAM, b"\xff"), audit.operation(login(tenant_id)))
    appender = parts.appender()
    assert appender.append(tenant_id, appender.streamed([tenant_id])[tenant_id]) == 1
    assert appender.streamed([tenant_id]) == {}
    for _ in range(2):
        with parts.tenancy.session(tenant_id, write=True) as session:
            (dead,) = outbox.dead_letters(session)
            assert dead.last_error == "not an audit record"
            assert base64.b64decode(dead.payload["entry"]) == b"\xff"
            outbox.retry(session, dead.id)
        assert appender.append(tenant_id, []) == 0


class Broken:
    """A sink nobody reads."""

    name = "stdout"

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        raise BrokenPipeError


def test_sinks_get_every_record_in_order_once(parts: Parts, tenant_id: str) -> None:
    chain_of(parts, tenant_id, 3)
    with pytest.raises(BrokenPipeError):
        parts.appender(Broken()).feed_sinks(tenant_id)
    stream = io.StringIO()
    appender = parts.appender(StdoutSink(stream))
    assert appender.behind(tenant_id)
    assert appender.feed_sinks(tenant_id) == 3
    assert appender.feed_sinks(tenant_id) == 0
    assert not appender.behind(tenant_id)
    chain_of(parts, tenant_id, 1)
    assert appender.feed_sinks(tenant_id) == 1
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["hash"] == stored(parts, tenant_id)[-1].hash


def _until(ask: Any) -> Any:
    deadline = clock.after(5)
    while clock.now() < deadline:
        if found := ask():
            return found
    raise AssertionError("nothing came")
