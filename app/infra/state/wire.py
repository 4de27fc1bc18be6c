"""How a batch of operations is written for Redis, and how its answer is read. No input or output here."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.infra.state import (
    Append,
    Delete,
    Get,
    Increment,
    Key,
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
)

BATCH = (Path(__file__).parent / "batch.lua").read_bytes()
READ_STREAM = (Path(__file__).parent / "read.lua").read_bytes()
READ = b"#!lua flags=allow-oom\nreturn redis.call('MGET', unpack(KEYS))"
"""Several plain `Get` at once. Not marked `no-writes`, so that a replica, which may be stale, refuses it."""


def sha(script: bytes) -> bytes:
    """The name `EVALSHA` knows a script by."""
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()


_BATCH_SHA, _READ_SHA = sha(BATCH), sha(READ)


def name_of(key: Key) -> bytes:
    """A key's bytes, in every store."""
    return f"{{{key.tenant_id}}}:{key.kind}:{key.id}".encode("utf-8", "surrogatepass")


def stream_of(tenant_id: str, stream: str) -> bytes:
    """A stream's name, in every store."""
    return f"{{{tenant_id}}}:stream:{stream}".encode()


def pack(*words: bytes) -> bytes:
    """A command in the wire protocol: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def _flag(wanted: bool) -> bytes:
    return b"1" if wanted else b"0"


_ARGUMENTS: dict[type[Any], Callable[[Any], tuple[bytes, ...]]] = {
    Get: lambda op: (b"g", _flag(op.required)),
    Put: lambda op: (b"p", op.value, b"%d" % op.ttl_seconds),
    PutIfAbsent: lambda op: (b"n", op.value, b"%d" % op.ttl_seconds, _flag(op.required)),
    Replace: lambda op: (b"c", op.expected, op.value, b"%d" % op.ttl_seconds),
    TakeOnce: lambda op: (b"t", _flag(op.required)),
    Delete: lambda op: (b"d",),
    Increment: lambda op: (
        b"i",
        b"%d" % op.amount,
        b"%d" % op.window_seconds,
        b"" if op.limit is None else b"%d" % op.limit,
    ),
    Raise: lambda op: (b"r", b"%d" % op.number, b"%d" % op.ttl_seconds),
    SetAdd: lambda op: (b"s", op.member.encode("utf-8", "surrogatepass"), b"%d" % op.ttl_seconds),
    SetRemove: lambda op: (b"x", op.member.encode("utf-8", "surrogatepass")),
    SetMembers: lambda op: (b"m",),
    Append: lambda op: (b"a", op.entry),
}

_RESULTS: dict[type[Any], Callable[[Any], Any]] = {
    Put: bool,
    PutIfAbsent: bool,
    Replace: bool,
    Delete: bool,
    SetAdd: bool,
    SetRemove: bool,
    SetMembers: lambda found: members_of(found),
    Append: bytes.decode,
}


def members_of(found: Sequence[bytes]) -> tuple[str, ...]:
    """A set's members as every store gives them."""
    return tuple(sorted(member.decode("utf-8", "surrogatepass") for member in found))


def is_plain_get(operations: Sequence[Op]) -> bool:
    """Whether the batch only asks, so that nothing in it can be refused."""
    return all(type(op) is Get and not op.required for op in operations)


def encode(operations: Sequence[Op], *, whole_script: bool = False) -> bytes:
    """The one command that carries the batch. With `whole_script` it carries the script too.

    One `Get` is a `GETEX`: reading, yet refused by a replica.
    """
    plain = is_plain_get(operations)
    if plain and len(operations) == 1:
        return pack(b"GETEX", name_of(operations[0].key))  # type: ignore[union-attr]
    keys: list[bytes] = []
    arguments: list[bytes] = []
    for op in operations:
        keys.append(stream_of(op.tenant_id, op.stream) if type(op) is Append else name_of(op.key))  # type: ignore[union-attr]
        if not plain:
            arguments += _ARGUMENTS[type(op)](op)
    script, digest = (READ, _READ_SHA) if plain else (BATCH, _BATCH_SHA)
    head = (b"EVAL", script) if whole_script else (b"EVALSHA", digest)
    return pack(*head, b"%d" % len(keys), *keys, *arguments)


def decode(operations: Sequence[Op], answer: Any) -> Outcome:
    """The outcome an answer to `encode` tells."""
    if is_plain_get(operations):
        return Outcome((answer,) if len(operations) == 1 else tuple(answer))
    refused, wait, *found = answer
    results = []
    for op, result in zip(operations, found, strict=False):
        read = _RESULTS.get(type(op))
        results.append(read(result) if read else result)
    if refused < 0:
        return Outcome(tuple(results))
    return Outcome(tuple(results), refused, max(1, -(-wait // 1000)) if wait else None)
