"""People's passwords: argon2id in a bounded pool, so that a storm of sign-ins cannot starve everything else."""

import base64
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from argon2 import PasswordHasher, Type

from app.infra.passwords import schemes
from app.infra.passwords.pool import Pool
from app.kernel.errors import Problem

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32

MAX_PASSWORD_BYTES = 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and the hash to store instead where the stored one is not of our own making."""

    ok: bool
    better: str | None = None


def normalise(password: str) -> str:
    """The password as it is compared: the OpaqueString profile (RFC 8265 section 4.2.2).

    Spaces of every script become U+0020, then NFC. Raises `Problem` (`password.invalid`) when it is empty, longer
    than `MAX_PASSWORD_BYTES` in UTF-8, or holds control characters.
    """
    if len(password) > MAX_PASSWORD_BYTES:
        raise Problem("password.invalid", f"A password has at most {MAX_PASSWORD_BYTES} bytes.")
    spaced = "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    prepared = unicodedata.normalize("NFC", spaced)
    if not prepared or _CONTROL.search(prepared):
        raise Problem("password.invalid", "A password is not empty and has no control characters.")
    try:
        too_long = len(prepared.encode("utf-8")) > MAX_PASSWORD_BYTES
    except UnicodeEncodeError:
        raise Problem("password.invalid", "A password is valid Unicode text.") from None
    if too_long:
        raise Problem("password.invalid", f"A password has at most {MAX_PASSWORD_BYTES} bytes.")
    return prepared


class Passwords:
    """Hashes and verifies, `max_concurrent` at once, each on a thread of the pool; see `pool.Pool`.

    Each takes some 20 to 40 ms of a core and 19 MiB of memory; an imported hash may take `schemes.MAX_COST_MS`.
    """

    def __init__(self, max_concurrent: int = 2, *, max_waiting: int = 16, wait_seconds: float = 2.0) -> None:
        self._pool = Pool(max_concurrent, max_waiting=max_waiting, wait_seconds=wait_seconds)
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, HASH_BYTES, SALT_BYTES, type=Type.ID)
        self._dummy = _unmatchable()

    def hash(self, password: str) -> str:
        """What to store (PHC string). Raises `Problem` as `normalise` does, `Unavailable` (`passwords.busy`)."""
        prepared = normalise(password)
        return self._pool.run(lambda: self._hasher.hash(prepared))

    def verify(self, password: str, stored: str) -> Verdict:
        """Whether `password` is the one of `stored`. Raises `Unavailable` (`passwords.busy`) when too many ask.

        A password no policy would have let in is as wrong as any other, and takes as long.
        """
        prepared, readable = None, schemes.read(stored)
        try:
            prepared = normalise(password)
        except Problem:
            readable = None
        if readable is None or prepared is None:
            dummy = self._dummy
            self._pool.run(lambda: _matches(schemes.read(dummy), "-", "-"))
            return Verdict(ok=False)
        known, right = readable, prepared
        return self._pool.run(lambda: self._judge(known, right, password, stored))

    def verify_dummy(self, password: str) -> Verdict:
        """What `verify` costs, for a person who does not exist. Never ok."""
        return self.verify(password, self._dummy)

    def any_matches(self, password: str, stored: tuple[str, ...]) -> bool:
        """Whether one of these hashes is the password's: each is compared, in turns of the pool."""
        return any(self.verify(password, one).ok for one in stored)

    def look_for_room(self) -> None:
        """Raises `Unavailable` (`passwords.busy`) where `admitted` would: whoever is to be turned away in a storm is
        best turned away before anything is done for them."""
        self._pool.look()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Room for somebody who signs in, from the question to the answer: waiting, hashing, and the time a refusal
        takes. Raises `Unavailable` (`passwords.busy`) at once where there is none, so that people who sign in never
        hold all the threads that answer requests."""
        with self._pool.admitted():
            yield

    def _judge(self, readable: schemes.Readable, prepared: str, typed: str, stored: str) -> Verdict:
        if not _matches(readable, prepared, typed):
            return Verdict(ok=False)
        if readable.scheme == "argon2" and is_own(stored):
            return Verdict(ok=True)
        return Verdict(ok=True, better=self._hasher.hash(prepared))


def _matches(readable: schemes.Readable | None, prepared: str, typed: str) -> bool:
    """argon2 may be our own, of normalised text. Other systems hashed what was typed."""
    if readable is None:
        return False
    return readable.matches((prepared if readable.scheme == "argon2" else typed).encode("utf-8"))


def accepts(stored: str) -> bool:
    """Whether a stored or imported hash is one `verify` can check, at a bounded cost."""
    return schemes.read(stored) is not None


def is_own(stored: str) -> bool:
    """Whether the hash has the parameters of those made here."""
    return stored.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")


def cost_ms(stored: str | None) -> int:
    """What checking a hash takes on a slow core, in milliseconds; 0 for one made here."""
    if stored is None or is_own(stored):
        return 0
    readable = schemes.read(stored)
    return 0 if readable is None else max(1, round(readable.cost_ms))


def checked_hash(stored: str) -> str:
    """`stored` itself, when it may be imported. Raises `Problem` (`password.hash_unsupported`) otherwise."""
    if not accepts(stored):
        raise Problem(
            "password.hash_unsupported",
            "This password hash cannot be verified here: argon2, bcrypt ($2b$...) of cost 14 at most, scrypt, "
            "PBKDF2, Firebase's scrypt, {SSHA} and its like, or phpass is wanted, in a documented shape, at a cost "
            f"of about {schemes.MAX_COST_MS / 1000:g} seconds and {schemes.MAX_MEMORY_KIB // 1024} MiB at most. "
            "Without one, the person sets a new password.",
        )
    return stored


def _unmatchable() -> str:
    """A well-formed hash of our own cost that is the hash of nothing: random where the digest stands."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).rstrip(b"=").decode("ascii") for size in (SALT_BYTES, HASH_BYTES)
    )
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"
