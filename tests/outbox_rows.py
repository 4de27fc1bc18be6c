"""What waits to be delivered, and so what was put on record with a change."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.models import OutboxMessage
from app.infra import audit


def payloads(session: Session, topic: str) -> list[dict[str, Any]]:
    """The messages of one topic, oldest first. No storage promises an order that nobody asked for."""
    asked = select(OutboxMessage.payload).where(OutboxMessage.topic == topic)
    return list(session.scalars(asked.order_by(OutboxMessage.id)))


def events(session: Session, name: str | None = None) -> list[dict[str, Any]]:
    """The audit records, of one name if it is given, oldest first."""
    return [row for row in payloads(session, audit.TOPIC) if name in (None, row["event"])]
