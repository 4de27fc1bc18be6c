"""How due outbox messages reach a worker. The outbox's row stays the truth whichever way is taken.

`DirectQueue` claims rows in the database, `FOR UPDATE SKIP LOCKED` where that exists. `StreamQueue`, used when the
state store is Redis, reserves them and hands them over through a Redis stream with a consumer group, so that any
number of workers share the load without contending for rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.infra import audit
from app.infra.outbox import Claim, Lane, Outbox
from app.infra.state import Append, StateStore

STREAM = "outbox"
_AT_ONCE = 10
_RELAYED_AT_ONCE = 200

Busy = Callable[[str], Sequence[Lane]]
"""What of a tenant's messages should stay where they are for now."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A claim, and the stream entry it came by if it came by one."""

    claim: Claim
    entry_id: str | None = None


class Queue(Protocol):
    """Hands claims to a worker."""

    def fetch(self, tenant_ids: Sequence[str], busy: Busy = lambda _: ()) -> list[Handed]:
        """What this worker is to deliver now for these tenants; empty when nothing is due."""
        ...

    def done(self, handed: Handed) -> None:
        """The claim was dealt with: delivered, put back or given up."""
        ...


class DirectQueue:
    """Straight from the database."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def fetch(self, tenant_ids: Sequence[str], busy: Busy = lambda _: ()) -> list[Handed]:
        """Claim due messages, the oldest of each subject."""
        return [
            Handed(claim)
            for tenant_id in _with_messages(self._outbox, tenant_ids)
            for claim in self._outbox.claim(tenant_id, limit=_AT_ONCE, but=busy(tenant_id))
        ]

    def done(self, handed: Handed) -> None:
        """Nothing is left to do: the row is gone or says when it is due again."""


class StreamQueue:
    """Through a stream per tenant. Every worker both relays and consumes."""

    def __init__(self, outbox: Outbox, state: StateStore, consumer: str) -> None:
        self._outbox = outbox
        self._state = state
        self._consumer = consumer

    def fetch(self, tenant_ids: Sequence[str], busy: Busy = lambda _: ()) -> list[Handed]:
        """Relay what is due, then take what the stream hands to this worker."""
        self._relay(tenant_ids, busy)
        found: list[Handed] = []
        streams = self._state.read_stream(tenant_ids, STREAM, self._consumer, count=_AT_ONCE)
        for tenant_id, entries in streams.items():
            for entry in entries:
                message_id, _, attempt = entry.entry.decode("ascii").partition(":")
                claim = self._outbox.take(tenant_id, int(message_id), int(attempt))
                if claim is None:
                    self._state.acknowledge(tenant_id, STREAM, [entry.id])
                else:
                    found.append(Handed(claim, entry.id))
        return found

    def done(self, handed: Handed) -> None:
        """Forget the stream entry."""
        if handed.entry_id is not None:
            self._state.acknowledge(handed.claim.tenant_id, STREAM, [handed.entry_id])

    def _relay(self, tenant_ids: Sequence[str], busy: Busy) -> None:
        for tenant_id in _with_messages(self._outbox, tenant_ids):
            # Should the stream be lost, or not be written after all, the reservation runs out and they are due again.
            reserved = self._outbox.claim(
                tenant_id, limit=_RELAYED_AT_ONCE, reserve=True, but=busy(tenant_id)
            )
            if reserved:
                entries = (f"{claim.id}:{claim.attempt}".encode("ascii") for claim in reserved)
                self._state.execute(*(Append(tenant_id, STREAM, entry) for entry in entries))


def _with_messages(outbox: Outbox, tenant_ids: Sequence[str]) -> list[str]:
    due = outbox.due()
    return [tenant_id for tenant_id in tenant_ids if due.get(tenant_id, set()) - {audit.TOPIC}]
