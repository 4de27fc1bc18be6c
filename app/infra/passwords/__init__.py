"""People's passwords: argon2id in a bounded pool, so that a storm of sign-ins cannot starve everything else."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from app.infra.hashing import schemes
from app.infra.hashing.answers import Question, Verdict, answer
from app.infra.hashing.apart import HashingProcess
from app.infra.hashing.own import is_own, unmatchable
from app.infra.passwords.pool import Hand, Pool
from app.kernel.errors import Problem

__all__ = ["Passwords", "Verdict", "accepts", "checked_hash", "cost_ms", "is_own", "normalise"]

MAX_PASSWORD_BYTES = 1024

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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
    """Hashes and verifies, `max_concurrent` at once; see `pool.Pool`. What a question costs: `answers.answer`.

    With `apart` each of them in a process of its own, started when first needed: for a process that answers many. Else
    in the thread that asks.
    """

    def __init__(
        self,
        max_concurrent: int = 2,
        *,
        max_waiting: int = 16,
        wait_seconds: float = 2.0,
        apart: bool = False,
    ) -> None:
        self._processes = [HashingProcess() for _ in range(max_concurrent)] if apart else []
        hands: list[Hand] = [*self._processes] or [answer] * max_concurrent
        self._pool = Pool(hands, max_waiting=max_waiting, wait_seconds=wait_seconds)
        self._dummy = unmatchable()

    def hash(self, password: str) -> str:
        """What to store (PHC string). Raises `Problem` as `normalise` does, `Unavailable` (`passwords.busy`)."""
        found = self._pool.ask(Question(normalise(password), password, None))
        if found.better is None:
            raise RuntimeError("a new password has a hash")
        return found.better

    def verify(self, password: str, stored: str) -> Verdict:
        """Whether `password` is the one of `stored`. Raises `Unavailable` (`passwords.busy`) when too many ask.

        A password no policy would have let in is as wrong as any other, and takes as long.
        """
        try:
            prepared = normalise(password)
        except Problem:
            prepared = ""
        if not prepared or not accepts(stored):
            self._pool.ask(Question("-", "-", self._dummy))
            return Verdict(ok=False)
        return self._pool.ask(Question(prepared, password, stored))

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

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.close()


def accepts(stored: str) -> bool:
    """Whether a stored or imported hash is one `verify` can check, at a bounded cost."""
    return schemes.read(stored) is not None


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
