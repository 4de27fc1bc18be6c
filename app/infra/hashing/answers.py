"""The one question about a password, and its answer. All that is dear about passwords happens here."""

from dataclasses import dataclass
from typing import NamedTuple

from app.infra.hashing import own, schemes


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
    """The answer. Takes some 10 to 30 ms of a core and 19 MiB; an imported hash as much as `schemes.MAX_COST_MS`."""
    prepared, typed, stored = question
    if stored is None:
        return Verdict(ok=True, better=own.make(prepared.encode()))
    readable = schemes.read(stored)
    # argon2 may be our own, of prepared text.
    if readable is None or not readable.matches(
        (prepared if readable.scheme == "argon2" else typed).encode()
    ):
        return Verdict(ok=False)
    return Verdict(ok=True, better=None if own.is_own(stored) else own.make(prepared.encode()))
