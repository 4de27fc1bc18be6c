"""The one door to short-lived state: typed operations, executed as one atomic batch, in one round trip.

A batch is a sequence of operations carried out in order. An operation that is *refused* (a limit passed, a value
that had to be absent, or present) ends the batch: those after it are not carried out, those before it stand.
That is what lets one trip both ask ("may this client go on? was this assertion seen?") and record.

Two implementations, Redis (`redis.py`) and SQL (`sql.py`), are held to one contract suite.
Keys name their tenant; secrets are never in keys, only their `kernel.secrets.lookup_hash`.

State may come back from the past (an old snapshot restored, a stale replica promoted, a file copied back). Whoever
keeps the truth elsewhere passes `StateStore.guard` a function that writes it again; it runs on every such return
before the first answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """The name of a value: whose, of what kind, which.

    Keys of one kind are used either as values, as counters or as sets. `Get` and `TakeOnce` read a counter too, as
    decimal digits; `Delete` deletes any of them.
    """

    tenant_id: str
    kind: str
    id: str

    def __str__(self) -> str:
        # The braces are Redis Cluster's hash tag: all keys of a tenant lie together, so that a batch may span them.
        return f"{{{self.tenant_id}}}:{self.kind}:{self.id}"


def _check_ttl(seconds: int) -> None:
    if seconds < 1:
        raise ValueError("a time to live is at least one second")


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

    def __post_init__(self) -> None:
        _check_ttl(self.ttl_seconds)


@dataclass(frozen=True, slots=True)
class PutIfAbsent:
    """Set the value unless there is one. Gives whether it was set; with `required`, refused when it was not.

    This is what makes a `jti` or a nonce good for one use.
    """

    key: Key
    value: bytes
    ttl_seconds: int
    required: bool = False

    def __post_init__(self) -> None:
        _check_ttl(self.ttl_seconds)


@dataclass(frozen=True, slots=True)
class Replace:
    """Set the value only where it still is `expected`; the time to live becomes `ttl_seconds`. Gives whether it was."""

    key: Key
    expected: bytes
    value: bytes
    ttl_seconds: int

    def __post_init__(self) -> None:
        _check_ttl(self.ttl_seconds)


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

    With a `limit`, refused when the new count is above it; it stays counted. An `amount` of 0 only looks: it makes
    no counter where there is none.
    """

    key: Key
    window_seconds: int
    amount: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        _check_ttl(self.window_seconds)


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise a number to `number` unless it is higher already. Gives the number that holds then.

    It lives for `ttl_seconds` from now, or longer if it was to live longer.
    """

    key: Key
    number: int
    ttl_seconds: int

    def __post_init__(self) -> None:
        _check_ttl(self.ttl_seconds)


@dataclass(frozen=True, slots=True)
class SetAdd:
    """Add a member to a set; the whole set lives for `ttl_seconds` from now. Gives True."""

    key: Key
    member: str
    ttl_seconds: int

    def __post_init__(self) -> None:
        _check_ttl(self.ttl_seconds)


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
    | Raise
    | SetAdd
    | SetRemove
    | SetMembers
    | Append
)

REPEATABLE = frozenset({Get, Put, Raise, SetAdd, SetMembers})
"""Operations that give the same when carried out twice: a batch of them may be sent again when its connection broke."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch gave: the results of the operations before the refused one, or of all, in order."""

    results: tuple[Any, ...]
    refused: int | None = None
    """The index of the operation that was refused."""
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


Execute = Callable[..., Outcome]
"""`StateStore.execute`, or the same bound to one connection."""

Replay = Callable[[Execute], None]
"""Writes again, through the function it is given, what state must not have forgotten."""


class StateStore(Protocol):
    """Short-lived state shared by every process. Methods raise `kernel.errors.Unavailable` when it cannot answer."""

    def execute(self, *operations: Op) -> Outcome:
        """Carry out a batch atomically, in one round trip."""
        ...

    def guard(self, replay: Replay) -> None:
        """Run `replay` before the first answer, and again before the first answer after any doubt about the store.

        Doubt is another server (`run_id`), a new replication history, a lost connection, a file that was exchanged.
        When `replay` fails there is no answer: `Unavailable`. It has to write through the function it is given, may
        run in several processes at once and must not use the store itself. Called once, at start-up.
        """
        ...

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """Entries of these tenants' streams not yet acknowledged, oldest first, leased to `consumer`.

        At most `count` per tenant; tenants with none are left out. An entry that was not acknowledged is handed out
        again after 30 seconds, to whoever asks. Consumers keep their name over restarts: Redis remembers each.
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
