"""The tables infrastructure itself writes: the audit chain, the outbox, the development mailbox."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Counter, Model, TenantOwned, TenantStamped
from app.kernel import clock, ids


class AuditRecord(TenantOwned, Model):
    """One link of a tenant's hash chain: changing or removing a record breaks every later hash."""

    __tablename__ = "audit_records"
    __table_args__ = (UniqueConstraint("tenant_id", "event_id"),)

    sequence: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=False)
    event_id: Mapped[str]
    event: Mapped[str]
    occurred_at: Mapped[datetime]
    user_id: Mapped[str | None]
    record: Mapped[dict[str, Any]]
    """The whole record as it was emitted; what `hash` covers."""
    previous_hash: Mapped[str]
    hash: Mapped[str]


class AuditHead(TenantOwned, Model):
    """Both ends of a tenant's chain. Its row is the lock appenders take turns on."""

    __tablename__ = "audit_heads"

    sequence: Mapped[int] = mapped_column(Counter, default=0)
    """The newest record's number; 0 while there is none. Records missing at the end are noticed by it."""
    hash: Mapped[str] = mapped_column(default="")
    pruned_sequence: Mapped[int] = mapped_column(Counter, default=0)
    """The newest record that retention removed; the chain is verified from the one after it."""
    pruned_hash: Mapped[str] = mapped_column(default="")


class AuditCursor(TenantOwned, Model):
    """How far a sink has written a tenant's chain."""

    __tablename__ = "audit_cursors"

    sink: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(Counter, default=0)


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
    """Not handed to a worker before: the end of a back-off, or of the lease of the worker that has it."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often a worker took it. Also names the lease: only its newest holder may remove the message."""
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class MailboxMessage(TenantOwned, Model):
    """One message, shown at `/dev/mailbox` on loopback deployments without SMTP."""

    __tablename__ = "mailbox"

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


Index("ix_audit_records_tenant_id_occurred_at", AuditRecord.tenant_id, AuditRecord.occurred_at)
Index("ix_audit_records_tenant_id_user_id", AuditRecord.tenant_id, AuditRecord.user_id)
Index(
    "ix_outbox_tenant_id_topic_subject_id",
    OutboxMessage.tenant_id,
    OutboxMessage.topic,
    OutboxMessage.subject,
    OutboxMessage.id,
)
Index("ix_outbox_available_at", OutboxMessage.available_at)
