"""What still stands between a person and an authorization: requirements, asked in order.

Each has a reason, the page that meets it, and the OAuth error a silent request (`prompt=none`) gets instead. Why
somebody sees a page is data.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.kernel import clock

SIGN_IN = "sign-in"
CONSENT = "consent"


class Asked(Protocol):
    """The part of an authorization request that is about the person."""

    @property
    def prompt(self) -> frozenset[str]:
        """`none`, `login`, `consent`, `select_account` (OIDC Core section 3.1.2.1)."""

    @property
    def max_age(self) -> int | None:
        """Seconds since the sign-in that are still good enough."""

    @property
    def hinted_user_id(self) -> str | None:
        """Whom the client expects."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in in this browser."""

    user_id: str
    auth_time: datetime
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the requirements look at."""

    asked: Asked
    person: Person | None
    signed_in_here: bool
    """The person signed in for this very request, not before."""
    allowed_here: bool
    """The person allowed this very request."""
    max_ages: Collection[int]
    """Of the sensitive scopes asked for: how recent the sign-in has to be, in seconds."""
    allowed_groups: frozenset[str]
    """Of the client; empty: everybody."""
    trusted_client: bool
    """The tenant's own application, which needs no consent."""
    consented: Callable[[], bool]
    """Whether standing consents cover what is asked for."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that has to hold. `unmet` says why it does not, or None."""

    page: str | None
    """The page that can meet it; None: nothing the person can do here."""
    error: str
    unmet: Callable[[Situation], str | None]


@dataclass(frozen=True, slots=True)
class Need:
    """A page has to be shown first."""

    page: str
    reason: str
    error: str
    """What a silent request gets."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing the person does here will help."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every requirement holds."""


def _present(now: Situation) -> str | None:
    return "session.missing" if now.person is None else None


def _expected(now: Situation) -> str | None:
    hinted = now.asked.hinted_user_id
    return "session.other_person" if now.person and hinted and now.person.user_id != hinted else None


def _not_another(now: Situation) -> str | None:
    # Whoever signed in here after all is somebody else (OIDC Core section 3.1.2.1, id_token_hint).
    return _expected(now) and ("session.other_person" if now.signed_in_here else None)


def _fresh(now: Situation) -> str | None:
    if now.person is None or now.signed_in_here:
        return None
    if not now.asked.prompt.isdisjoint(("login", "select_account")):
        return "prompt.login"
    limits = [*now.max_ages, *([] if now.asked.max_age is None else [now.asked.max_age])]
    age = (clock.now() - now.person.auth_time).total_seconds()
    return "session.too_old" if limits and age > min(limits) else None


def _member(now: Situation) -> str | None:
    if now.person is None or not now.allowed_groups or now.person.groups & now.allowed_groups:
        return None
    return "client.group_missing"


def _agreed(now: Situation) -> str | None:
    if now.allowed_here:
        return None
    if "consent" in now.asked.prompt:
        return "prompt.consent"
    return None if now.trusted_client or now.consented() else "consent.missing"


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(SIGN_IN, "login_required", _present),
    Requirement(None, "login_required", _not_another),
    Requirement(SIGN_IN, "login_required", _expected),
    Requirement(SIGN_IN, "login_required", _fresh),
    Requirement(None, "access_denied", _member),
    Requirement(CONSENT, "consent_required", _agreed),
)


def next_step(now: Situation) -> Need | Refuse | Done:
    """The first requirement that does not hold, as what to do about it."""
    for requirement in REQUIREMENTS:
        if (reason := requirement.unmet(now)) is not None:
            if requirement.page is None:
                return Refuse(reason, requirement.error)
            return Need(requirement.page, reason, requirement.error)
    return Done()


def sensitive_max_ages(
    by_resource: Mapping[str, Collection[str]], max_age_of: Callable[[str, str], int | None]
) -> tuple[int, ...]:
    """How recent the sign-in has to be for each scope that says so."""
    found = (max_age_of(resource, scope) for resource, scopes in by_resource.items() for scope in scopes)
    return tuple(seconds for seconds in found if seconds is not None)
