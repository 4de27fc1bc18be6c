"""The statements behind the operations, for SQLite and PostgreSQL alike."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from app.infra.state import (
    Append,
    Delete,
    Get,
    Increment,
    Op,
    Outcome,
    Put,
    PutIfAbsent,
    Raise,
    Replace,
    SetAdd,
    SetMembers,
    SetRemove,
    TakeOnce,
    wire,
)

ONE_STATEMENT = frozenset(
    {Put, PutIfAbsent, Replace, TakeOnce, Increment, Raise, SetRemove, SetMembers, Append, Get}
)
"""Operations that are atomic without a transaction around them. (A look, `Increment` by 0, is too.)"""


@dataclass(frozen=True, slots=True)
class Statements:
    """Each with `?` for an argument; `[]` is a list of them."""

    get: str = "SELECT value, number FROM state_values WHERE key = ? AND expires_at > ?"
    get_many: str = "SELECT key, value, number FROM state_values WHERE expires_at > ? AND key IN ([])"
    put: str = (
        "INSERT INTO state_values (key, value, expires_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
        " SET value = excluded.value, number = NULL, expires_at = excluded.expires_at"
    )
    put_if_absent: str = (
        "INSERT INTO state_values (key, value, expires_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE"
        " SET value = excluded.value, number = NULL, expires_at = excluded.expires_at"
        " WHERE state_values.expires_at <= ? RETURNING 1"
    )
    replace: str = (
        "UPDATE state_values SET value = ?, expires_at = ?"
        " WHERE key = ? AND value = ? AND expires_at > ? RETURNING 1"
    )
    take: str = "DELETE FROM state_values WHERE key = ? AND expires_at > ? RETURNING value, number"
    delete_members: str = "DELETE FROM state_members WHERE key = ? AND expires_at > ? RETURNING 1"
    look: str = "SELECT number, expires_at FROM state_values WHERE key = ? AND expires_at > ?"
    increment: str = (
        "INSERT INTO state_values (key, number, expires_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " number = CASE WHEN state_values.expires_at > ? THEN state_values.number + excluded.number"
        " ELSE excluded.number END,"
        " expires_at = CASE WHEN state_values.expires_at > ? THEN state_values.expires_at"
        " ELSE excluded.expires_at END, value = NULL RETURNING number, expires_at"
    )
    raise_: str = (
        "INSERT INTO state_values (key, number, expires_at) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " number = CASE WHEN state_values.expires_at > ? AND state_values.number > excluded.number"
        " THEN state_values.number ELSE excluded.number END,"
        " expires_at = CASE WHEN state_values.expires_at > excluded.expires_at THEN state_values.expires_at"
        " ELSE excluded.expires_at END, value = NULL RETURNING number"
    )
    drop_old_set: str = "DELETE FROM state_members WHERE key = ? AND expires_at <= ?"
    prolong_set: str = "UPDATE state_members SET expires_at = ? WHERE key = ?"
    add_member: str = (
        "INSERT INTO state_members (key, member, expires_at) VALUES (?, ?, ?)"
        " ON CONFLICT (key, member) DO UPDATE SET expires_at = excluded.expires_at"
    )
    remove_member: str = (
        "DELETE FROM state_members WHERE key = ? AND member = ? AND expires_at > ? RETURNING 1"
    )
    list_members: str = "SELECT member FROM state_members WHERE key = ? AND expires_at > ?"
    append: str = "INSERT INTO state_entries (stream, entry, leased_until) VALUES (?, ?, 0) RETURNING id"
    lease_entries: str = (
        "UPDATE state_entries SET consumer = ?, leased_until = ? WHERE leased_until <= ? AND id IN"
        " (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY stream ORDER BY id) AS place"
        " FROM state_entries WHERE leased_until <= ? AND stream IN ([])) AS free WHERE place <= ?)"
        " RETURNING id, stream, entry"
    )
    """The outer condition holds on PostgreSQL when another reader was faster."""
    forget_entries: str = "DELETE FROM state_entries WHERE stream = ? AND id IN ([]) RETURNING 1"
    purge_values: str = (
        "DELETE FROM state_values WHERE key IN"
        " (SELECT key FROM state_values WHERE expires_at <= ? LIMIT ?) RETURNING 1"
    )
    purge_members: str = (
        "DELETE FROM state_members WHERE (key, member) IN"
        " (SELECT key, member FROM state_members WHERE expires_at <= ? LIMIT ?) RETURNING 1"
    )
    probe: str = "SELECT 1 FROM state_values WHERE 1 = 0"
    mark: str = "?"

    def listing(self, statement: str, count: int) -> str:
        """`statement` with `[]` written out for so many arguments."""
        return statement.replace("[]", ", ".join([self.mark] * count))


@cache
def for_dialect(name: str) -> Statements:
    """The statements in a driver's parameter style."""
    if name == "sqlite":
        return Statements()
    plain = Statements()
    return Statements(**{f.name: getattr(plain, f.name).replace("?", "%s") for f in fields(plain)})


def lock_of(op: Op) -> int | None:
    """The number PostgreSQL's advisory lock on the operation's key has; an appended entry needs none."""
    if isinstance(op, Append):
        return None
    digest = hashlib.blake2b(wire.name_of(op.key), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class Refused(Exception):
    """Ends a batch. Carries the seconds to wait, where a limit refused."""

    def __init__(self, retry_after_seconds: int | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Run:
    """Carries out operations on a driver's connection, at one instant."""

    driver: Any
    statements: Statements
    now: float

    def batch(self, operations: Sequence[Op]) -> Outcome:
        """The outcome of the operations up to the first that is refused."""
        results: list[Any] = []
        for index, op in enumerate(operations):
            try:
                results.append(_ACTIONS[type(op)](self, op))
            except Refused as refusal:
                return Outcome(tuple(results), index, refusal.retry_after_seconds)
        return Outcome(tuple(results))

    def one(self, statement: str, *arguments: Any) -> Any:
        """The first row, or None. All are fetched, so that the statement is over."""
        rows = self.driver.execute(statement, arguments).fetchall()
        return rows[0] if rows else None

    def values(self, names: list[bytes]) -> tuple[bytes | None, ...]:
        """The values of several keys at one instant."""
        s = self.statements
        if len(names) == 1:
            return (_value(self.one(s.get, names[0], self.now)),)
        rows = self.driver.execute(s.listing(s.get_many, len(names)), (self.now, *names)).fetchall()
        found = {bytes(row[0]): _value(row[1:]) for row in rows}
        return tuple(found.get(name) for name in names)

    def get(self, op: Get) -> bytes | None:
        found = _value(self.one(self.statements.get, wire.name_of(op.key), self.now))
        if found is None and op.required:
            raise Refused
        return found

    def put(self, op: Put) -> bool:
        self.driver.execute(self.statements.put, (wire.name_of(op.key), op.value, self.now + op.ttl_seconds))
        return True

    def put_if_absent(self, op: PutIfAbsent) -> bool:
        name, until = wire.name_of(op.key), self.now + op.ttl_seconds
        was_set = self.one(self.statements.put_if_absent, name, op.value, until, self.now) is not None
        if op.required and not was_set:
            raise Refused
        return was_set

    def replace(self, op: Replace) -> bool:
        name, until = wire.name_of(op.key), self.now + op.ttl_seconds
        return self.one(self.statements.replace, op.value, until, name, op.expected, self.now) is not None

    def take(self, op: TakeOnce) -> bytes | None:
        found = _value(self.one(self.statements.take, wire.name_of(op.key), self.now))
        if found is None and op.required:
            raise Refused
        return found

    def delete(self, op: Delete) -> bool:
        name = wire.name_of(op.key)
        value = self.one(self.statements.take, name, self.now)
        member = self.one(self.statements.delete_members, name, self.now)
        return value is not None or member is not None

    def increment(self, op: Increment) -> int:
        name, until, now = wire.name_of(op.key), self.now + op.window_seconds, self.now
        if op.amount:
            row = self.one(self.statements.increment, name, op.amount, until, now, now)
        else:
            row = self.one(self.statements.look, name, now) or (0, now)
        count: int = row[0]
        if op.limit is not None and count > op.limit:
            raise Refused(max(1, math.ceil(row[1] - now)))
        return count

    def raise_(self, op: Raise) -> int:
        name, until = wire.name_of(op.key), self.now + op.ttl_seconds
        number: int = self.one(self.statements.raise_, name, op.number, until, self.now)[0]
        return number

    def set_add(self, op: SetAdd) -> bool:
        name, until = wire.name_of(op.key), self.now + op.ttl_seconds
        self.driver.execute(self.statements.drop_old_set, (name, self.now))
        self.driver.execute(self.statements.prolong_set, (until, name))
        self.driver.execute(self.statements.add_member, (name, _member(op.member), until))
        return True

    def set_remove(self, op: SetRemove) -> bool:
        name = wire.name_of(op.key)
        return self.one(self.statements.remove_member, name, _member(op.member), self.now) is not None

    def set_members(self, op: SetMembers) -> tuple[str, ...]:
        rows = self.driver.execute(self.statements.list_members, (wire.name_of(op.key), self.now)).fetchall()
        return wire.members_of([bytes(row[0]) for row in rows])

    def append(self, op: Append) -> str:
        return str(self.one(self.statements.append, wire.stream_of(op.tenant_id, op.stream), op.entry)[0])


_ACTIONS: dict[type[Any], Callable[[Run, Any], Any]] = {
    Get: Run.get,
    Put: Run.put,
    PutIfAbsent: Run.put_if_absent,
    Replace: Run.replace,
    TakeOnce: Run.take,
    Delete: Run.delete,
    Increment: Run.increment,
    Raise: Run.raise_,
    SetAdd: Run.set_add,
    SetRemove: Run.set_remove,
    SetMembers: Run.set_members,
    Append: Run.append,
}


def _value(row: Any) -> bytes | None:
    """A row's value; a counter's in decimal digits, as Redis gives it."""
    if row is None:
        return None
    value, number = row
    return b"%d" % number if value is None else bytes(value)


def _member(member: str) -> bytes:
    return member.encode("utf-8", "surrogatepass")
