"""What a new password has to look like (contracts, `authentication.password.preset`)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.domain.tenants import PasswordSettings
from app.infra.passwords import normalise
from app.kernel.errors import Problem

NIST_CHARACTERS = 15
NIST_CHARACTERS_WITH_SECOND_FACTOR = 8
"""NIST SP 800-63B-4 section 3.1.1.2: 15 where the password is all there is, 8 as one factor of several."""

_OWN_REST_CHARACTERS = 8
_OWN_CHARACTERS = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """A preset spelled out. Lengths are in characters."""

    min_length: int
    uppercase: bool = False
    lowercase: bool = False
    digit: bool = False
    special: bool = False


def rules(settings: PasswordSettings, *, second_factor: bool = False) -> Rules:
    """The rules of a tenant's preset, for a person who signs in with a second factor or without."""
    if settings.preset == "nist":
        return Rules(NIST_CHARACTERS_WITH_SECOND_FACTOR if second_factor else NIST_CHARACTERS)
    if settings.preset == "custom":
        return Rules(
            settings.min_length,
            settings.require_uppercase,
            settings.require_lowercase,
            settings.require_digit,
            settings.require_special,
        )
    length = {"classic-8": 8, "classic-12": 12}[settings.preset]
    return Rules(length, uppercase=True, lowercase=True, digit=True, special=True)


def describe(wanted: Rules) -> list[str]:
    """The rules as sentences for the page that asks for a password."""
    return [f"At least {wanted.min_length} characters.", *(text for text, _ in _classes(wanted))]


def check(
    password: str, settings: PasswordSettings, *, own: Iterable[str | None] = (), second_factor: bool = False
) -> None:
    """Refuse a password that breaks the tenant's rules, or is little more than one of `own`: the person's user name,
    e-mail address and names.

    Raises `Problem` (`password.policy`) whose public text names every rule broken, and `password.invalid`.
    """
    prepared = normalise(password)
    wanted = rules(settings, second_factor=second_factor)
    faults = [f"At least {wanted.min_length} characters."] if len(prepared) < wanted.min_length else []
    faults += [text for text, holds in _classes(wanted) if not any(map(holds, prepared))]
    if _is_own(prepared, own):
        faults.append("Not your own name or e-mail address with little added.")
    if faults:
        raise Problem("password.policy", " ".join(["This password cannot be used.", *faults]))


def _classes(wanted: Rules) -> list[tuple[str, Callable[[str], bool]]]:
    return [
        (text, holds)
        for asked, text, holds in (
            (wanted.uppercase, "An upper-case letter.", str.isupper),
            (wanted.lowercase, "A lower-case letter.", str.islower),
            (wanted.digit, "A digit.", str.isdigit),
            (wanted.special, "A character that is neither letter nor digit.", lambda c: not c.isalnum()),
        )
        if asked
    ]


def _is_own(prepared: str, own: Iterable[str | None]) -> bool:
    rest = whole = prepared.casefold()
    names = {part for name in own if name for part in (name.casefold(), name.casefold().partition("@")[0])}
    # The longest first: the address before the name within it.
    for name in sorted(names, key=len, reverse=True):
        if len(name) >= _OWN_CHARACTERS:
            rest = rest.replace(name, "")
    return rest != whole and len(rest) < _OWN_REST_CHARACTERS
