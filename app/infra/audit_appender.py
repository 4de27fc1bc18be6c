"""The worker's part of the audit: from the outbox and the state stream into the chain, and from there to the sinks."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.infra import audit, audit_chain
from app.infra.log_tables import AuditCursor, AuditHead, OutboxMessage
from app.infra.sinks import Sink
from app.infra.state import Delete, Entry, Key, PutIfAbsent, StateStore
from app.infra.tenancy import Tenancy
from app.kernel import clock

BATCH = 500
SINK_LEASE_SECONDS = 30
NOT_A_RECORD = "not an audit record"


class AuditAppender:
    """Appends what was recorded, once each, and tells the sinks. Any number of workers may have one."""

    def __init__(self, tenancy: Tenancy, state: StateStore, sinks: Sequence[Sink], *, consumer: str) -> None:
        self._tenancy = tenancy
        self._state = state
        self._sinks = sinks
        self._consumer = consumer

    def streamed(self, tenant_ids: Sequence[str]) -> dict[str, list[Entry]]:
        """What the state stream holds for the tenants, leased to this worker until it was appended."""
        return self._state.read_stream(tenant_ids, audit.STREAM, self._consumer, count=BATCH)

    def append(self, tenant_id: str, entries: Sequence[Entry]) -> int:
        """Append a tenant's outbox rows and `entries` in one transaction. Gives how many records are new.

        Stream entries are forgotten only after the commit; one that is offered again is known by its event id.
        """
        with self._tenancy.session(tenant_id, write=True) as session:
            # The lock comes first: of two workers the second must not see rows the first is about to delete.
            audit_chain.locked_head(session, tenant_id)
            rows = session.scalars(
                select(OutboxMessage)
                .where(OutboxMessage.topic == audit.TOPIC, OutboxMessage.dead_at.is_(None))
                .order_by(OutboxMessage.id)
                .limit(BATCH)
            ).all()
            good = [row for row in rows if _is_record(row.payload)]
            records = [row.payload for row in good] + _readable(session, tenant_id, entries)
            records.sort(key=lambda record: (record["time"], record["id"]))
            count = audit_chain.append(session, tenant_id, records)
            session.execute(delete(OutboxMessage).where(OutboxMessage.id.in_([row.id for row in good])))
            for row in rows:
                if row not in good:
                    row.dead_at, row.last_error = clock.now(), NOT_A_RECORD
        if entries:
            self._state.acknowledge(tenant_id, audit.STREAM, [entry.id for entry in entries])
        return count

    def feed_sinks(self, tenant_id: str) -> int:
        """Write to every sink what it has not had of the tenant's chain yet. Gives how many records were written.

        One worker at a time writes to a sink, so that records come once unless a worker dies between writing
        and noting it.
        """
        written = 0
        for sink in self._sinks:
            lease = Key(tenant_id, "sink", sink.name)
            if self._state.execute(PutIfAbsent(lease, b"1", SINK_LEASE_SECONDS)).results[0]:
                try:
                    written += self._feed(tenant_id, sink)
                finally:
                    self._state.execute(Delete(lease))
        return written

    def _feed(self, tenant_id: str, sink: Sink) -> int:
        written = 0
        while True:
            with self._tenancy.session(tenant_id) as session:
                after = session.scalar(select(AuditCursor.sequence).where(AuditCursor.sink == sink.name)) or 0
                lines = [audit_chain.line(row) for row in audit_chain.page(session, after, BATCH)]
            if not lines:
                return written
            sink.write(lines)
            with self._tenancy.session(tenant_id, write=True) as session:
                _move_cursor(session, tenant_id, sink.name, lines[-1]["sequence"])
            written += len(lines)

    def behind(self, tenant_id: str) -> bool:
        """Whether some sink has not had all of the tenant's chain."""
        with self._tenancy.session(tenant_id) as session:
            head = session.scalar(select(AuditHead.sequence)) or 0
            cursors = {cursor.sink: cursor.sequence for cursor in session.scalars(select(AuditCursor))}
        return any(cursors.get(sink.name, 0) < head for sink in self._sinks)

    def keep(self, tenant_id: str, retention_days: int) -> int:
        """Remove records older than the tenant keeps them. Gives how many; the removal is itself on record."""
        with self._tenancy.session(tenant_id, write=True) as session:
            count = audit_chain.prune(session, tenant_id, clock.now() - timedelta(days=retention_days))
            if count:
                head = audit_chain.locked_head(session, tenant_id)
                data = {"count": count, "sequence": head.pruned_sequence}
                audit.record(
                    session, audit.Event("audit.pruned", tenant_id=tenant_id, outcome="success", data=data)
                )
        return count


def _readable(session: Session, tenant_id: str, entries: Sequence[Entry]) -> list[Mapping[str, Any]]:
    """The records of stream entries. What is none becomes a dead letter: kept, seen, and in nobody's way."""
    found: list[Mapping[str, Any]] = []
    for entry in entries:
        try:
            record = json.loads(entry.entry)
        except ValueError:
            record = None
        if _is_record(record):
            found.append(record)
            continue
        dead = OutboxMessage(
            topic=audit.TOPIC,
            subject=tenant_id,
            payload={"entry": base64.b64encode(entry.entry).decode("ascii")},
            dead_at=clock.now(),
            last_error=NOT_A_RECORD,
        )
        session.add(dead)
    return found


def _is_record(found: Any) -> bool:
    return isinstance(found, dict) and found.keys() >= {"id", "time", "event", "user"}


def _move_cursor(session: Session, tenant_id: str, sink: str, sequence: int) -> None:
    cursor = session.scalar(select(AuditCursor).where(AuditCursor.sink == sink).with_for_update())
    if cursor is None:
        session.add(AuditCursor(tenant_id=tenant_id, sink=sink, sequence=sequence))
    else:
        cursor.sequence = max(cursor.sequence, sequence)
