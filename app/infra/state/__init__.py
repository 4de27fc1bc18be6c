"""The one door to short-lived state: typed operations, executed as one atomic batch, in one round trip.

A batch is a sequence of operations carried out in order. An operation that is *refused* (a limit passed, a value
that had to be absent, or present) ends the batch: those after it are not carried out, those before it stand.
That is what lets one trip both ask ("may this client go on? was this assertion seen?") and record.

Two implementations, Redis (`redis.py`) and SQL (`sql.py`), are held to one contract suite.
Keys name their tenant; secrets are never in keys, only their `kernel.secrets.lookup_hash`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """The name of a value: whose, of what kind, which."""

    tenant_id: str
    kind: str
    id: str

    def __str__(self) -> str:
        # The braces are Redis Cluster's hash tag: all keys of a tenant lie together, so that a batch may span them.
        return f"{{{self.tenant_id}}}:{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Get:
    """The value, or None. With `required`, refused when there is none."""

    key: Key
    required: bool = False


@dataclass(frozen=True, slots=True)
class Put:
    """Set the value for `ttl_seconds` (at least 1). Gives True."""

    key: Key
    value: bytes
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class PutIfAbsent:
    """Set the value unless there is one. Gives whether it was set; with `required`, refused when it was not.

    This is what makes a `jti` or a nonce good for one use.
    """

    key: Key
    value: bytes
    ttl_seconds: int
    required: bool = False


@dataclass(frozen=True, slots=True)
class Replace:
    """Set the value only where it still is `expected`; the time to live becomes `ttl_seconds`. Gives whether it was."""

    key: Key
    expected: bytes
    value: bytes
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class TakeOnce:
    """Get the value and delete it: of any number of takers exactly one gets it. With `required`, refused when none."""

    key: Key
    required: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the value if there is one. Gives whether there was."""

    key: Key


@dataclass(frozen=True, slots=True)
class Increment:
    """Add `amount` to a counter that is forgotten `window_seconds` after it was first counted. Gives the new count.

    With a `limit`, refused when the new count is above it.
    """

    key: Key
    window_seconds: int
    amount: int = 1
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SetAdd:
    """Add a member to a set that lives for `ttl_seconds` from now. Gives True."""

    key: Key
    member: str
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class SetRemove:
    """Remove a member. Gives whether it was there."""

    key: Key
    member: str


@dataclass(frozen=True, slots=True)
class SetMembers:
    """The members, as a sorted tuple of str."""

    key: Key


@dataclass(frozen=True, slots=True)
class Append:
    """Append an entry to a tenant's stream (`kind` names it), where the worker reads it. Gives the entry's id."""

    tenant_id: str
    stream: str
    entry: bytes


Op = (
    Get
    | Put
    | PutIfAbsent
    | Replace
    | TakeOnce
    | Delete
    | Increment
    | SetAdd
    | SetRemove
    | SetMembers
    | Append
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch gave: one result per operation carried out, and which one was refused, if any."""

    results: tuple[Any, ...]
    refused: int | None = None
    retry_after_seconds: int | None = None
    """When a limit refused: seconds until that counter is forgotten, at least 1."""

    @property
    def ok(self) -> bool:
        """Whether every operation was carried out."""
        return self.refused is None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry read from a stream."""

    id: str
    entry: bytes


class StateStore(Protocol):
    """Short-lived state shared by every process. Methods raise `kernel.errors.Unavailable` when it cannot answer."""

    def execute(self, *operations: Op) -> Outcome:
        """Carry out a batch atomically, in one round trip."""
        ...

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """Entries of these tenants' streams not yet acknowledged, oldest first, leased to `consumer`.

        An entry whose consumer died is handed out again after 30 seconds.
        """
        ...

    def acknowledge(self, tenant_id: str, stream: str, entry_ids: Sequence[str]) -> None:
        """Forget entries that were dealt with."""
        ...

    def purge_expired(self) -> int:
        """Remove what has expired, where the store does not do so by itself. Gives how many."""
        ...

    def check(self) -> None:
        """Answer, or raise `Unavailable`: the readiness probe."""
        ...

    def doctor(self) -> list[str]:
        """What an operator should change about the store for production, in sentences; empty when nothing."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
