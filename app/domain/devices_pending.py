"""Devices that wait to be let in (RFC 8628): what is remembered between their request and their tokens.

The device holds a code of 256 bits, under whose hash everything lies. The person types a short one, which somebody
could try to guess: it is stored under a hash with a key, lives ten minutes, leads to one decision, and guesses are
counted.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.domain.codes import CodeRecord
from app.infra.state import Delete, Get, Increment, Key, Op, Put, PutIfAbsent, Replace, StateStore
from app.kernel import clock
from app.kernel.secrets import b64url, keyed_hash, lookup_hash, new_secret

LIFETIME_SECONDS = 600
INTERVAL_SECONDS = 5
"""How long a device waits between two questions, at first. Each time it does not, that becomes five seconds more."""
TOMBSTONE_SECONDS = 600
"""So long is a device told that its code expired, was used, or was refused, rather than that there is none."""

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Twenty consonants: no words, nothing that looks like something else, no digits (RFC 8628 section 6.1)."""
LENGTH = 8
"""20^8: 34 bits, of which an attacker may try a few thousand while a code lives."""

PENDING, ALLOWED, DENIED = "pending", "allowed", "denied"
_KIND = "device"
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class PendingDevice:
    """A device's request, and what became of it. Times are NumericDates."""

    id: str
    """The hash of its device code."""
    client_id: str
    request: dict[str, Any]
    """The checked authorization request."""
    user_code: str
    """Where the person's code lies: its hash."""
    ip: str
    """Where the request came from, for the person to judge."""
    user_agent: str
    created_at: int
    expires_at: int
    status: str = PENDING
    record: dict[str, Any] | None = None
    """What tokens are made of, once it was allowed."""

    def to_bytes(self) -> bytes:
        """As stored."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "PendingDevice":
        """As it was stored."""
        return cls(**json.loads(data))

    @property
    def expired(self) -> bool:
        """Whether it is too late to decide, or to collect what was decided."""
        return clock.timestamp(clock.now()) >= self.expires_at

    @property
    def code_record(self) -> CodeRecord:
        """What the tokens depend on."""
        return CodeRecord.from_bytes(json.dumps(self.record).encode())


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device's codes, in the clear this once."""

    device_code: str
    user_code: str
    """With its hyphen."""


class DevicesPending:
    """Where waiting devices are kept. `key` is a secret every process knows."""

    def __init__(self, state: StateStore, key: Callable[[], bytes]) -> None:
        self._state = state
        self._key = key

    def begin(
        self, tenant_id: str, client_id: str, request: dict[str, Any], *, ip: str, user_agent: str, event: Op
    ) -> NewDevice:
        """Keep a device's request; `event` goes along."""
        now = clock.timestamp(clock.now())
        for _ in range(_ATTEMPTS):
            device_code = new_secret()
            user_code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
            name = self._user_code(tenant_id, user_code)
            found = PendingDevice(
                id=lookup_hash(device_code),
                client_id=client_id,
                request=request,
                user_code=name.id,
                ip=ip,
                user_agent=user_agent[:400],
                created_at=now,
                expires_at=now + LIFETIME_SECONDS,
            )
            outcome = self._state.execute(
                PutIfAbsent(name, found.id.encode(), LIFETIME_SECONDS, required=True),
                Put(_name(tenant_id, found.id), found.to_bytes(), LIFETIME_SECONDS + TOMBSTONE_SECONDS),
                event,
            )
            if outcome.ok:
                return NewDevice(device_code, f"{user_code[:4]}-{user_code[4:]}")
        raise RuntimeError("no user code was free")

    def by_user_code(self, tenant_id: str, typed: str) -> PendingDevice | None:
        """The device that waits under what somebody typed: letters of any case, with or without hyphen and spaces."""
        code = normalized(typed)
        if code is None:
            return None
        device_id = self._state.execute(Get(self._user_code(tenant_id, code))).results[0]
        found = self.find(tenant_id, device_id.decode()) if device_id else None
        return found if found and found.status == PENDING and not found.expired else None

    def find(self, tenant_id: str, device_id: str) -> PendingDevice | None:
        """A device by its id, whatever became of it."""
        stored = self._state.execute(Get(_name(tenant_id, device_id))).results[0]
        return None if stored is None else PendingDevice.from_bytes(stored)

    def decide(self, tenant_id: str, found: PendingDevice, record: CodeRecord | None) -> bool:
        """Let a device in, or (without `record`) not. Of any number of decisions one counts: gives whether this one."""
        decided = replace(
            found, status=ALLOWED if record else DENIED, record=asdict(record) if record else None
        )
        ttl = max(1, found.expires_at - clock.timestamp(clock.now()) + TOMBSTONE_SECONDS)
        outcome = self._state.execute(
            Replace(_name(tenant_id, found.id), found.to_bytes(), decided.to_bytes(), ttl),
            Delete(Key(tenant_id, f"{_KIND}-user-code", found.user_code)),
        )
        return bool(outcome.results[0])

    def _user_code(self, tenant_id: str, code: str) -> Key:
        hashed = b64url(keyed_hash(self._key(), f"device user code\0{tenant_id}\0{code}"))
        return Key(tenant_id, f"{_KIND}-user-code", hashed)


def normalized(typed: str) -> str | None:
    """A user code as it is compared, or None for what cannot be one (RFC 8628 section 6.1)."""
    code = "".join(c for c in typed[:40].upper() if c not in "- \u2010\u2011\u2012\u2013\t")
    return code if len(code) == LENGTH and all(c in ALPHABET for c in code) else None


@dataclass(frozen=True, slots=True)
class Poll:
    """What one question of a device found."""

    found: PendingDevice | None
    too_early: bool
    slow_downs: int


def poll_ops(tenant_id: str, device_code: str) -> tuple[Op, ...]:
    """The operations of one question; their results are for `poll_of`."""
    device_id = lookup_hash(device_code)
    return (
        Get(_name(tenant_id, device_id)),
        Increment(Key(tenant_id, f"{_KIND}-polls", device_id), INTERVAL_SECONDS - 1),
        Get(Key(tenant_id, f"{_KIND}-slow", device_id)),
        Get(Key(tenant_id, f"{_KIND}-slow-downs", device_id)),
    )


def poll_of(results: tuple[Any, ...]) -> Poll:
    """What the results of `poll_ops` say."""
    stored, count, waiting, slow_downs = results
    found = None if stored is None else PendingDevice.from_bytes(stored)
    return Poll(found, count > 1 or waiting is not None, int(slow_downs or 0))


def slower(tenant_id: str, poll: Poll) -> tuple[Op, ...]:
    """What holds a device to its longer interval, after it asked (RFC 8628 section 3.5); nothing for a patient one.

    A second is given for the way: the device counts from when it got the answer.
    """
    if poll.found is None or not (poll.too_early or poll.slow_downs):
        return ()
    slow_downs = poll.slow_downs + poll.too_early
    wait = INTERVAL_SECONDS * (slow_downs + 1) - 1
    forget = LIFETIME_SECONDS + TOMBSTONE_SECONDS
    count = Increment(
        Key(tenant_id, f"{_KIND}-slow-downs", poll.found.id), forget, amount=int(poll.too_early)
    )
    return (count, Put(Key(tenant_id, f"{_KIND}-slow", poll.found.id), b"1", min(wait, forget)))


def _name(tenant_id: str, device_id: str) -> Key:
    return Key(tenant_id, _KIND, device_id)
