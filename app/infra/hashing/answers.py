"""The one question about a password, and its answer. All that is dear about passwords happens here."""

import base64
import os
from dataclasses import dataclass
from typing import NamedTuple

from argon2 import PasswordHasher, Type

from app.infra.hashing import schemes

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32

_HASHER = PasswordHasher(PASSES, MEMORY_KIB, LANES, HASH_BYTES, SALT_BYTES, type=Type.ID)


class Question(NamedTuple):
    """Whether a password is the one of a stored hash; without one, what to store for it."""

    prepared: str
    """As passwords are compared here (`passwords.normalise`)."""
    typed: str
    """As it was typed: other systems hashed that."""
    stored: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and the hash to store instead where the stored one is not of our own making."""

    ok: bool
    better: str | None = None


def answer(question: Question) -> Verdict:
    """The answer. Takes some 20 to 40 ms of a core and 19 MiB; an imported hash as much as `schemes.MAX_COST_MS`."""
    prepared, typed, stored = question
    if stored is None:
        return Verdict(ok=True, better=_HASHER.hash(prepared))
    readable = schemes.read(stored)
    # argon2 may be our own, of prepared text.
    if readable is None or not readable.matches(
        (prepared if readable.scheme == "argon2" else typed).encode()
    ):
        return Verdict(ok=False)
    return Verdict(ok=True, better=None if is_own(stored) else _HASHER.hash(prepared))


def is_own(stored: str) -> bool:
    """Whether the hash has the parameters of those made here."""
    return stored.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")


def unmatchable() -> str:
    """A well-formed hash of our own cost that is the hash of nothing: random where the digest stands."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).rstrip(b"=").decode("ascii") for size in (SALT_BYTES, HASH_BYTES)
    )
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"
