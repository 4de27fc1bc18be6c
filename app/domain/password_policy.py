"""What a new password has to look like (contracts, `authentication.password.preset`)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.domain.tenant_settings import PasswordSettings
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


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a password: `length`, `uppercase`, `lowercase`, `digit`, `special`, `own`, `reused` or
    `breached`. `number` is the length that is wanted."""

    code: str
    number: int = 0


SENTENCES = {
    "length": "At least {} characters.",
    "uppercase": "An upper-case letter.",
    "lowercase": "A lower-case letter.",
    "digit": "A digit.",
    "special": "A character that is neither letter nor digit.",
    "own": "Not your own name or e-mail address with little added.",
    "reused": "Not one of your last passwords.",
    "breached": "Not one that is known to have leaked.",
}


class PolicyProblem(Problem):
    """A password that may not be used (`password.policy`); `faults` say all that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "password.policy", " ".join(["This password cannot be used.", *map(sentence, faults)])
        )


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


def demands(wanted: Rules) -> list[Fault]:
    """The rules, each as the fault of a password that breaks it."""
    return [Fault("length", wanted.min_length), *(Fault(code) for code, _ in _classes(wanted))]


def describe(wanted: Rules) -> list[str]:
    """The rules as sentences."""
    return [sentence(fault) for fault in demands(wanted)]


def sentence(fault: Fault) -> str:
    """What a fault asks for, in words."""
    return SENTENCES[fault.code].format(fault.number)


def check(
    password: str, settings: PasswordSettings, *, own: Iterable[str | None] = (), second_factor: bool = False
) -> None:
    """Refuse a password that breaks the tenant's rules, or is little more than one of `own`: the person's user name,
    e-mail address and names.

    Raises `PolicyProblem` (`password.policy`) whose public text names every rule broken, and `Problem`
    (`password.invalid`). What needs more than the password itself is `domain.new_passwords`.
    """
    prepared = normalise(password)
    wanted = rules(settings, second_factor=second_factor)
    faults = [Fault("length", wanted.min_length)] if len(prepared) < wanted.min_length else []
    faults += [Fault(code) for code, holds in _classes(wanted) if not any(map(holds, prepared))]
    if _is_own(prepared, own):
        faults.append(Fault("own"))
    if faults:
        raise PolicyProblem(faults)


def _classes(wanted: Rules) -> list[tuple[str, Callable[[str], bool]]]:
    return [
        (code, holds)
        for asked, code, holds in (
            (wanted.uppercase, "uppercase", str.isupper),
            (wanted.lowercase, "lowercase", str.islower),
            (wanted.digit, "digit", str.isdigit),
            (wanted.special, "special", lambda c: not c.isalnum()),
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
