"""State in one process's memory: what a request costs without any trip to a state store ("bare"). Bench only."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from app.infra.state import (
    Append,
    Delete,
    Entry,
    Get,
    Increment,
    Key,
    Op,
    Outcome,
    Put,
    PutIfAbsent,
    Raise,
    Replace,
    Replay,
    SetAdd,
    SetMembers,
    SetRemove,
    TakeOnce,
)


class MemoryState:
    """A StateStore over a dict. Streams are counted, not kept."""

    def __init__(self) -> None:
        self._values: dict[Key, tuple[Any, float]] = {}
        self._lock = threading.Lock()
        self.appended = 0

    def execute(self, *operations: Op) -> Outcome:
        """Carry out a batch."""
        results: list[Any] = []
        with self._lock:
            for number, operation in enumerate(operations):
                result, refused = self._one(operation)
                results.append(result)
                if refused:
                    return Outcome(tuple(results), number, 1 if isinstance(operation, Increment) else None)
        return Outcome(tuple(results))

    def _one(self, operation: Op) -> tuple[Any, bool]:
        if isinstance(operation, Append):
            self.appended += 1
            return str(self.appended), False
        value, expires = self._values.get(operation.key, (None, 0.0))
        now = time.monotonic()
        if expires <= now:
            value = None
        if isinstance(operation, Get):
            return value, operation.required and value is None
        if isinstance(operation, SetMembers):
            return tuple(sorted(value or ())), False
        return self._write(operation, value, expires, now)

    def _write(self, operation: Any, value: Any, expires: float, now: float) -> tuple[Any, bool]:
        if isinstance(operation, Put):
            self._values[operation.key] = (operation.value, now + operation.ttl_seconds)
            return True, False
        if isinstance(operation, Raise):
            number = max(operation.number, int(value or 0))
            self._values[operation.key] = (str(number).encode(), now + operation.ttl_seconds)
            return number, False
        if isinstance(operation, PutIfAbsent):
            if value is None:
                self._values[operation.key] = (operation.value, now + operation.ttl_seconds)
            return value is None, operation.required and value is not None
        if isinstance(operation, Replace):
            if value == operation.expected:
                self._values[operation.key] = (operation.value, now + operation.ttl_seconds)
            return value == operation.expected, False
        if isinstance(operation, TakeOnce):
            self._values.pop(operation.key, None)
            return value, operation.required and value is None
        if isinstance(operation, Delete):
            self._values.pop(operation.key, None)
            return value is not None, False
        if isinstance(operation, Increment):
            count = (value or 0) + operation.amount
            self._values[operation.key] = (
                count,
                expires if value is not None else now + operation.window_seconds,
            )
            return count, operation.limit is not None and count > operation.limit
        members = set(value or ())
        changed = (operation.member in members) is isinstance(operation, SetRemove)
        (members.discard if isinstance(operation, SetRemove) else members.add)(operation.member)
        ttl = operation.ttl_seconds if isinstance(operation, SetAdd) else expires - now
        self._values[operation.key] = (members, now + ttl)
        return changed if isinstance(operation, SetRemove) else True, False

    def guard(self, replay: Replay) -> None:
        """Nothing to replay: this state begins with its process."""

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """Nothing: entries are only counted."""
        return {}

    def acknowledge(self, tenant_id: str, stream: str, entry_ids: Sequence[str]) -> None:
        """Nothing to forget."""

    def purge_expired(self) -> int:
        """Nothing to do."""
        return 0

    def check(self) -> None:
        """Always there."""

    def doctor(self) -> list[str]:
        """Nothing to say."""
        return []

    def close(self) -> None:
        """Nothing to close."""
