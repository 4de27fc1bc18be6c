"""How surely somebody was authenticated: the `acr` we issue, weakest first, and the `amr` it stands on (RFC 8176).

`docs/explanation/assurance.md` has the table of every combination; a test reads it.
"""

from dataclasses import dataclass

KNOWLEDGE = "knowledge"
POSSESSION = "possession"
MAILBOX = "mailbox"
"""Reading somebody's mail is neither: no thing one holds (NIST SP 800-63B-4 section 3.1.3.1), nothing to remember."""

ONE_FACTOR = "urn:watchword:acr:one-factor"
TWO_FACTOR = "urn:watchword:acr:two-factor"
PHISHING_RESISTANT = "phr"
"""A passkey that verified who uses it (OpenID Connect Extended Authentication Profile, ACR Values section 2)."""

ACR_VALUES = (ONE_FACTOR, TWO_FACTOR, PHISHING_RESISTANT)
"""Weakest first. Published as `acr_values_supported`: exactly what can be in a token."""

_ORDER = ("pwd", "swk", "hwk", "otp", "sms", "user", "mfa")
_KINDS = {"pwd": KNOWLEDGE, "sms": POSSESSION, "swk": POSSESSION, "hwk": POSSESSION}


@dataclass(frozen=True, slots=True)
class Method:
    """One way of showing who one is: what it says in `amr`, and what kind of proof it is."""

    id: str
    amr: tuple[str, ...]
    kind: str


PASSWORD = Method("password", ("pwd",), KNOWLEDGE)
TOTP = Method("totp", ("otp",), POSSESSION)
RECOVERY = Method("recovery", ("otp",), POSSESSION)
SMS = Method("sms", ("sms",), POSSESSION)
EMAIL = Method("email", ("otp",), MAILBOX)
LINK = Method("link", (), MAILBOX)
"""The link an account was made or given back by. It says nothing by itself, as nobody signs in by it a second time."""


def passkey(*, synced: bool, verified: bool) -> Method:
    """A passkey: of a synced or a device-bound key, and whether it verified who used it."""
    return Method("passkey", ("swk" if synced else "hwk", *(("user", "mfa") if verified else ())), POSSESSION)


def kinds(amr: tuple[str, ...]) -> frozenset[str]:
    """The kinds of proof behind an `amr` without `mfa`, which has one. `otp` that is alone was sent by e-mail: of
    everything that gives `otp`, nothing else begins a sign-in."""
    found = frozenset(_KINDS[method] for method in amr if method in _KINDS)
    return found or (frozenset({MAILBOX}) if "otp" in amr else found)


def united(amr: tuple[str, ...], method: Method) -> tuple[str, ...]:
    """The `amr` after one more method was shown: two kinds of proof are `mfa` (RFC 8176 section 2)."""
    found = {*amr, *method.amr}
    if len(kinds(amr) | {method.kind}) > 1:
        found.add("mfa")
    return tuple(sorted(found, key=_ORDER.index))


def acr_of(amr: tuple[str, ...]) -> str:
    """The `acr` of an authentication by these methods."""
    if "user" in amr:
        return PHISHING_RESISTANT
    return TWO_FACTOR if "mfa" in amr else ONE_FACTOR


def has_second_factor(amr: tuple[str, ...]) -> bool:
    """Whether more than one factor was shown: `mfa` says so (RFC 8176 section 2)."""
    return "mfa" in amr


def satisfies(acr: str, wanted: str) -> bool:
    """Whether an authentication of class `acr` is at least as sure as `wanted`. One of no class of ours never is."""
    known = acr in ACR_VALUES and wanted in ACR_VALUES
    return known and ACR_VALUES.index(acr) >= ACR_VALUES.index(wanted)
