"""People's passwords: argon2id in a bounded pool, so that a storm of sign-ins cannot starve everything else."""

import base64
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bcrypt
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from app.infra import metrics
from app.kernel.errors import Problem, Unavailable

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32

MAX_PASSWORD_BYTES = 1024

# A stored hash names its own cost. These bounds keep an imported one from taking the server down, and below the time
# every failed sign-in takes (`Services.sign_in_floor_seconds`), so that it cannot be told from an unknown name.
_MAX_MEMORY_KIB = 131_072
_MAX_WORK_KIB = 262_144
"""Memory times passes: some seven times our own."""
_MAX_PASSES = 20
_MAX_LANES = 16
_MAX_STORED_CHARACTERS = 512
_MAX_BCRYPT_COST = 12

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES = 72
"""bcrypt never looked at what comes after; the library refuses to guess that for us."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password is right, and whether its stored hash should be made anew (other parameters)."""

    ok: bool
    needs_rehash: bool = False


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
    """Hashes and verifies, at most `max_concurrent` at once; a caller waits `wait_seconds` for its turn.

    Each takes some 40 ms of a core and 19 MiB of memory.
    """

    def __init__(self, max_concurrent: int = 2, *, wait_seconds: float = 2.0) -> None:
        self._slots = threading.BoundedSemaphore(max_concurrent)
        self._wait_seconds = wait_seconds
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, HASH_BYTES, SALT_BYTES, type=Type.ID)
        self._dummy = _unmatchable()

    def hash(self, password: str) -> str:
        """What to store (PHC string). Raises `Problem` as `normalise` does, `Unavailable` (`passwords.busy`)."""
        prepared = normalise(password)
        with self._slot():
            return self._hasher.hash(prepared)

    def verify(self, password: str, stored: str) -> Verdict:
        """Whether `password` is the one of `stored`. Raises `Unavailable` (`passwords.busy`) when too many ask.

        A password no policy would have let in is as wrong as any other, and takes as long.
        """
        try:
            prepared, usable = normalise(password), accepts(stored)
        except Problem:
            prepared, usable = "-", False
        with self._slot():
            ok = self._matches(prepared, stored if usable else self._dummy) and usable
        return Verdict(ok, ok and (_is_bcrypt(stored) or self._hasher.check_needs_rehash(stored)))

    def verify_dummy(self, password: str) -> Verdict:
        """What `verify` costs, for a person who does not exist. Never ok."""
        return self.verify(password, self._dummy)

    def _matches(self, prepared: str, stored: str) -> bool:
        if _is_bcrypt(stored):
            return bcrypt.checkpw(prepared.encode("utf-8")[:_BCRYPT_BYTES], stored.encode("ascii"))
        try:
            return self._hasher.verify(stored, prepared)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self._wait_seconds):
            metrics.hashing_refused()
            raise Unavailable("passwords.busy", detail="every hashing slot is taken", retry_after_seconds=2)
        metrics.hashing_started()
        try:
            yield
        finally:
            metrics.hashing_ended()
            self._slots.release()


def accepts(stored: str) -> bool:
    """Whether a stored or imported hash is one `verify` can check: argon2id or bcrypt, at a bounded cost."""
    if (found := _BCRYPT.fullmatch(stored)) is not None:
        return 4 <= int(found[1]) <= _MAX_BCRYPT_COST
    if not stored.startswith("$argon2id$") or len(stored) > _MAX_STORED_CHARACTERS:
        return False
    try:
        parameters = extract_parameters(stored)
    except (InvalidHashError, ValueError):
        return False
    return (
        parameters.memory_cost <= _MAX_MEMORY_KIB
        and parameters.memory_cost * parameters.time_cost <= _MAX_WORK_KIB
        and parameters.time_cost <= _MAX_PASSES
        and parameters.parallelism <= _MAX_LANES
    )


def _is_bcrypt(stored: str) -> bool:
    return stored.startswith("$2")


def checked_hash(stored: str) -> str:
    """`stored` itself, when it may be imported. Raises `Problem` (`password.hash_unsupported`) otherwise."""
    if not accepts(stored):
        raise Problem(
            "password.hash_unsupported",
            "This password hash cannot be verified here: an argon2id hash ($argon2id$v=19$m=...) of at most "
            f"{_MAX_MEMORY_KIB // 1024} MiB, or a bcrypt hash ($2b$...) of cost {_MAX_BCRYPT_COST} at most, is "
            "wanted. Without one, the person sets a new password.",
        )
    return stored


def _unmatchable() -> str:
    """A well-formed hash of our own cost that is the hash of nothing: random where the digest stands."""
    salt, digest = (
        base64.b64encode(os.urandom(size)).rstrip(b"=").decode("ascii") for size in (SALT_BYTES, HASH_BYTES)
    )
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"
