"""How due outbox messages reach a worker. The outbox's row stays the truth whichever way is taken.

`DirectQueue` claims rows in the database, `FOR UPDATE SKIP LOCKED` where that exists. `StreamQueue`, used when the
state store is Redis, reserves them and hands them over through a Redis stream with a consumer group, so that any
number of workers share the load without contending for rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.infra import audit
from app.infra.outbox import Claim, Outbox
from app.infra.state import Append, StateStore

STREAM = "outbox"
_AT_ONCE = 10
_RELAYED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Handed:
    """A claim, and the stream entry it came by if it came by one."""

    claim: Claim
    entry_id: str | None = None


class Queue(Protocol):
    """Hands claims to a worker."""

    def fetch(self, tenant_ids: Sequence[str]) -> list[Handed]:
        """What this worker is to deliver now; empty when nothing is due."""
        ...

    def done(self, handed: Handed) -> None:
        """The claim was dealt with: delivered, put back or given up."""
        ...


class DirectQueue:
    """Straight from the database."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def fetch(self, tenant_ids: Sequence[str]) -> list[Handed]:
        """Claim due messages of every tenant that has some."""
        return [
            Handed(claim)
            for tenant_id, topics in self._outbox.due().items()
            if topics - {audit.TOPIC}
            for claim in self._outbox.claim(tenant_id, limit=_AT_ONCE)
        ]

    def done(self, handed: Handed) -> None:
        """Nothing is left to do: the row is gone or says when it is due again."""


class StreamQueue:
    """Through a stream per tenant. Every worker both relays and consumes."""

    def __init__(self, outbox: Outbox, state: StateStore, consumer: str) -> None:
        self._outbox = outbox
        self._state = state
        self._consumer = consumer

    def fetch(self, tenant_ids: Sequence[str]) -> list[Handed]:
        """Relay what is due, then take what the stream hands to this worker."""
        self._relay()
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

    def _relay(self) -> None:
        for tenant_id, topics in self._outbox.due().items():
            if not topics - {audit.TOPIC}:
                continue
            # Should the stream be lost, or not be written after all, the reservation runs out and they are due again.
            reserved = self._outbox.claim(tenant_id, limit=_RELAYED_AT_ONCE, reserve=True)
            if reserved:
                entries = (f"{claim.id}:{claim.attempt}".encode("ascii") for claim in reserved)
                self._state.execute(*(Append(tenant_id, STREAM, entry) for entry in entries))
