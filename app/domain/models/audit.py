"""The audit chain, and the outbox everything that has to be delivered is committed to."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Counter, Model, TenantOwned, TenantStamped
from app.kernel import clock


class AuditRecord(TenantOwned, Model):
    """One link of a tenant's hash chain: changing or removing a record breaks every later hash."""

    __tablename__ = "audit_records"
    __table_args__ = (UniqueConstraint("tenant_id", "event_id"),)

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    event_id: Mapped[str]
    event: Mapped[str]
    occurred_at: Mapped[datetime]
    user_id: Mapped[str | None]
    record: Mapped[dict[str, Any]]
    """The whole record as it was emitted; what `hash` covers."""
    previous_hash: Mapped[str]
    hash: Mapped[str]


class OutboxMessage(TenantStamped, Model):
    """Something to be delivered at least once, in order per subject, committed with the change that caused it."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    topic: Mapped[str]
    """Which handler delivers it: `audit`, `mail`, ..."""
    subject: Mapped[str]
    """Messages of one topic and subject are delivered in order."""
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    available_at: Mapped[datetime] = mapped_column(default=clock.now)
    attempts: Mapped[int] = mapped_column(default=0)
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


Index("ix_audit_records_tenant_id_occurred_at", AuditRecord.tenant_id, AuditRecord.occurred_at)
Index("ix_audit_records_tenant_id_user_id", AuditRecord.tenant_id, AuditRecord.user_id)
Index("ix_outbox_topic_subject_id", OutboxMessage.topic, OutboxMessage.subject, OutboxMessage.id)
Index("ix_outbox_available_at", OutboxMessage.available_at)
