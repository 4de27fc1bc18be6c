"""A tenant's audit chain: each record's hash covers the record and the hash before it (contracts 20).

Appenders take turns on the tenant's `AuditHead` row, so any number of workers may try at once. A record is appended
once by its event id, however often it is offered. Whoever may change every table can make a consistent chain of
lies; the sinks carry the hashes out of their reach.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.infra.audit import TOPIC, canonical
from app.infra.log_tables import AuditHead, AuditRecord, OutboxMessage
from app.kernel import clock

_PAGE = 1000
_TARGET = ("data", "target")
"""Where a record says to whom something was done."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place a chain does not hold. `found` says what is wrong there."""

    sequence: int
    found: str


def link(previous_hash: str, record: Mapping[str, Any]) -> str:
    """The hash of a record: SHA-256, in hexadecimal, over the hash before it and the record's canonical JSON."""
    return hashlib.sha256(previous_hash.encode("ascii") + b"\n" + canonical(record)).hexdigest()


def append(session: Session, tenant_id: str, records: Sequence[Mapping[str, Any]]) -> int:
    """Append records (`Event.as_record`) that the chain does not have yet, in order. Gives how many that were.

    The session has to be the tenant's, opened for writing; the lock lasts as long as its transaction.
    """
    head = locked_head(session, tenant_id)
    offered = {str(record["id"]): record for record in records}
    known = set(session.scalars(select(AuditRecord.event_id).where(AuditRecord.event_id.in_(list(offered)))))
    fresh = [record for event_id, record in offered.items() if event_id not in known]
    for record in fresh:
        previous = head.hash
        head.sequence += 1
        head.hash = link(previous, record)
        session.add(
            AuditRecord(
                tenant_id=tenant_id,
                sequence=head.sequence,
                event_id=record["id"],
                event=record["event"],
                occurred_at=datetime.fromisoformat(record["time"]).astimezone(clock.now().tzinfo),
                user_id=record["user"],
                record=dict(record),
                previous_hash=previous,
                hash=head.hash,
            )
        )
    session.flush()
    return len(fresh)


def locked_head(session: Session, tenant_id: str) -> AuditHead:
    """The head of the tenant's chain, made when missing, locked until the transaction ends."""
    query = (
        select(AuditHead)
        .where(AuditHead.tenant_id == tenant_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    head = session.scalar(query)
    if head is None:
        insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        session.execute(insert(AuditHead).values(tenant_id=tenant_id).on_conflict_do_nothing())
        head = session.scalars(query).one()
    return head


def verify(session: Session, *, expected_head: str | None = None) -> Break | None:
    """The first place where the chain of the session's tenant does not hold, or None when all of it does.

    Notices a changed record, a record missing in the middle, at the end or at the beginning (but for what retention
    removed), and records added past the appender. `expected_head` is a hash seen outside the database (a line on
    standard output): the chain has to contain it.
    """
    # Before the head: the worker, which may begin a chain this moment, writes both in one transaction.
    first = session.scalar(select(AuditRecord.sequence).order_by(AuditRecord.sequence).limit(1))
    head = session.scalar(select(AuditHead))
    if head is None:
        if first is not None:
            return Break(first, "a record without a chain")
        return Break(0, "the chain is gone") if expected_head else None
    sequence, last, seen = head.pruned_sequence, head.pruned_hash, expected_head in (None, head.pruned_hash)
    checked = -1
    while checked != sequence:
        checked = sequence
        for row in _rows(session, sequence):
            sequence += 1
            if fault := _fault(row, sequence, last):
                return Break(sequence, fault)
            last = row.hash
            seen = seen or last == expected_head
        # The worker may have appended meanwhile: the head is compared with what was read before it.
        session.refresh(head)
        if head.sequence <= sequence:
            break
    if (sequence, last) != (head.sequence, head.hash):
        return Break(sequence + 1, f"the chain ends at {sequence}, its head says {head.sequence}")
    return None if seen else Break(sequence, "the expected hash is not in the chain")


def _fault(row: AuditRecord, sequence: int, last: str) -> str | None:
    if row.sequence != sequence:
        return f"records {sequence} to {row.sequence - 1} are missing"
    if row.previous_hash != last or row.hash != link(last, row.record):
        return "the record was changed"
    shown = (row.event_id, row.event, row.user_id)
    if shown != (row.record["id"], row.record["event"], row.record["user"]):
        return "the record's columns were changed"
    if row.occurred_at != datetime.fromisoformat(row.record["time"]):
        return "the record's time was changed"
    return None


def prune(session: Session, tenant_id: str, before: datetime, *, limit: int = 5000) -> int:
    """Remove the oldest records that occurred before an instant; the chain stays verifiable from there on.

    Only a contiguous beginning goes, at most `limit` at a time. Gives how many.
    """
    head = locked_head(session, tenant_id)
    oldest = session.execute(
        select(AuditRecord.sequence, AuditRecord.hash, AuditRecord.occurred_at)
        .where(AuditRecord.sequence > head.pruned_sequence)
        .order_by(AuditRecord.sequence)
        .limit(limit)
    ).all()
    count = 0
    for sequence, hash_, occurred_at in oldest:
        if occurred_at >= before:
            break
        head.pruned_sequence, head.pruned_hash = sequence, hash_
        count += 1
    if count:
        session.execute(delete(AuditRecord).where(AuditRecord.sequence <= head.pruned_sequence))
    return count


def tail(session: Session, count: int = 20, *, before: int | None = None) -> list[dict[str, Any]]:
    """The newest records of the session's tenant, newest first; `before` pages on from a sequence number."""
    query = select(AuditRecord).order_by(AuditRecord.sequence.desc()).limit(count)
    if before is not None:
        query = query.where(AuditRecord.sequence < before)
    return [line(row) for row in session.scalars(query)]


def of_user(session: Session, user_id: str, *, after: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """What is on record of a person, as what they did or what was done to them, oldest first, each with its sequence
    number, from the one after `after`."""
    done_to = AuditRecord.record[_TARGET].as_string() == user_id
    query = (
        select(AuditRecord)
        .where(or_(AuditRecord.user_id == user_id, done_to), AuditRecord.sequence > after)
        .order_by(AuditRecord.sequence)
        .limit(limit)
    )
    return [(row.sequence, row.record) for row in session.scalars(query)]


def waiting_of_user(session: Session, user_id: str) -> list[dict[str, Any]]:
    """What will be on record of a person once it is appended, oldest first; a worker may append it any moment."""
    payload = OutboxMessage.payload
    theirs = or_(payload["user"].as_string() == user_id, payload[_TARGET].as_string() == user_id)
    query = (
        select(payload)
        .where(OutboxMessage.topic == TOPIC, OutboxMessage.dead_at.is_(None), theirs)
        .order_by(OutboxMessage.id)
    )
    return list(session.scalars(query))


def export(session: Session, *, after: int = 0) -> Iterator[dict[str, Any]]:
    """Every record of the session's tenant after a sequence number, oldest first, as the sinks write them."""
    for row in _rows(session, after):
        yield line(row)


def line(row: AuditRecord) -> dict[str, Any]:
    """A record with its place in the chain: what sinks, export and the API show."""
    return {"sequence": row.sequence, **row.record, "previous_hash": row.previous_hash, "hash": row.hash}


def page(session: Session, after: int, limit: int) -> list[AuditRecord]:
    """Records after a sequence number, oldest first."""
    return list(
        session.scalars(
            select(AuditRecord)
            .where(AuditRecord.sequence > after)
            .order_by(AuditRecord.sequence)
            .limit(limit)
        )
    )


def _rows(session: Session, after: int) -> Iterator[AuditRecord]:
    while rows := page(session, after, _PAGE):
        yield from rows
        after = rows[-1].sequence
        for row in rows:
            session.expunge(row)
