"""The one way to put something on record (contracts 20).

What changes the database is recorded with that change, in its transaction: `record`. What only touches the state
store rides in that batch: `operation`. The worker appends both to the tenant's hash chain (`audit_chain`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.infra import json_text
from app.infra.events import CATALOGUE, EVENTS, Event, EventType, Outcome, is_clean, is_plain, written
from app.infra.log_tables import OutboxMessage
from app.infra.state import Append
from app.kernel import ids

__all__ = [
    "CATALOGUE",
    "EVENTS",
    "Event",
    "EventType",
    "Outcome",
    "Template",
    "canonical",
    "operation",
    "record",
    "template",
]

TOPIC = "audit"
STREAM = "audit"
MAX_RECORD_BYTES = 16_384

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_COMPACT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def record(session: Session, event: Event) -> None:
    """Put the event on record in the transaction of the change it tells of: both are kept, or neither."""
    session.add(
        OutboxMessage(
            tenant_id=event.tenant_id, topic=TOPIC, subject=event.tenant_id, payload=_bounded(event)
        )
    )


def operation(event: Event) -> Append:
    """The state-store operation that puts the event on record, to ride in the caller's batch."""
    entry = _plain_entry(event) or _COMPACT.encode(_bounded(event)).encode("ascii")
    return Append(event.tenant_id, STREAM, entry)


@dataclass(frozen=True, slots=True)
class Template:
    """The record of what happens again and again in the same words, all of it looked at and found clean."""

    tenant_id: str
    form: json_text.Form

    def operation(self, moment: datetime, **data: str) -> Append:
        """As `operation`, of another such event, at `moment`. `data` are ids of our own making: nothing in them is
        cleaned."""
        entry = self.form.fill(id=ids.new_id(), time=written(moment), **data)
        return Append(self.tenant_id, STREAM, entry)


def template(event: Event, *different: str) -> Template | None:
    """What is the same of an event each time, for `different` members of its data are given each time; None for an
    event that has to be cleaned each time."""
    if _plain_entry(event) is None:
        return None
    gaps = {name: json_text.text_gap(name) for name in ("id", "time", *different)}
    record = {**event.as_given(), "id": gaps["id"], "time": gaps["time"]}
    record["data"] = {**event.data, **{name: gaps[name] for name in different}}
    return Template(event.tenant_id, json_text.Form(record))


def _plain_entry(event: Event) -> bytes | None:
    """The entry of a record that needs no cleaning, in a third of the time: tokens are issued by the thousand."""
    if not is_plain(event.data):
        return None
    entry = json_text.encode(event.as_given())
    return entry if is_clean(entry) else None


def canonical(record: Mapping[str, Any]) -> bytes:
    """The bytes the chain's hashes cover: JSON with sorted members and no spaces, in UTF-8.

    Equal to RFC 8785 for what a record may hold: text, integers below 2**53, booleans, null, lists, mappings
    with ASCII names.
    """
    return _CANONICAL.encode(record).encode("utf-8")


def _bounded(event: Event) -> dict[str, Any]:
    found = event.as_record()
    if len(_COMPACT.encode(found)) > MAX_RECORD_BYTES:
        found["data"] = {"truncated": True}
    return found
