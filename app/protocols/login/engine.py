"""What still stands between a person and what they came for: requirements, asked in order.

Each has a reason, the page that meets it, and the OAuth error a silent request (`prompt=none`) gets instead. Why
somebody sees a page is data.

**A new requirement** is one function and one row of `REQUIREMENTS`:

* the function takes a `Situation` and gives the reason (a code of `kernel.reasons`) why it does not hold, or None.
  It has to hold for nobody being signed in (`now.person is None`), and reads the tenant (`now.tenant`), the person's
  row (`now.person.user`), where they come from (`now.ip`) and, lazily, `now.facts`, whose methods read the database.
  A fact nobody else looks at is a new method there and in `web.standings`;
* the row's place in the tuple is its turn. Rows before `START` hold before there is a session, so that a person who
  does not meet them has none; they are asked of people with a session as well, whenever they come by;
* the page is a name of your own; `web.steps` says what shows and takes it. None: nothing the person does here helps,
  and they read why on a page (`access_denied`), or the client is told at once (any other error).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.domain import access_rules, new_passwords, terms
from app.domain.authenticators import Holdings
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.protocols.login import second_factor
from app.protocols.login.interactions import VALID_SECONDS
from app.protocols.login.second_factor import NOTHING, Demand

SIGN_IN = "sign-in"
FACTOR = "factor"
ENROL = "enrol"
RECOVERY_CODES = "recovery-codes"
START = "start"
"""No page: everything before it holds, so the session starts."""
CONSENT = "consent"
DEVICE = "device"
CHOOSE = "choose"
ANOTHER = "another"
"""Chosen instead of an account that is signed in."""
REGISTER = "register"
NEW_PASSWORD = "new-password"
VERIFY_EMAIL = "verify-email"
TERMS = "terms"
KEEP_ACCOUNT = "keep-account"

NO_WAY_IN = "account.no_way_in"
"""The reason for which somebody adds what they sign in with, not a second factor."""


class Asked(Protocol):
    """The part of an authorization request, or of a visit to a page of ours, that is about the person."""

    @property
    def prompt(self) -> frozenset[str]:
        """`none`, `login`, `consent`, `select_account` (OIDC Core section 3.1.2.1)."""

    @property
    def max_age(self) -> int | None:
        """Seconds since the sign-in that are still good enough."""

    @property
    def hinted_user_id(self) -> str | None:
        """Whom the client expects."""

    @property
    def unconfirmed_device(self) -> bool:
        """Whether a device waits whose code the person has not compared yet (RFC 8628)."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page of ours asks of whoever wants to see it."""

    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    hinted_user_id: str | None = None
    protects: bool = False
    """The page changes how the person signs in: whoever has a second factor shows it, in a trusted browser too."""
    wants: str | None = None
    """What the person wants to add: a view of the enrolment page."""

    @property
    def unconfirmed_device(self) -> bool:
        """Never: nothing waits but the person."""
        return False

    def to_json(self) -> dict[str, Any]:
        """As it is stored between pages."""
        return {
            "prompt": sorted(self.prompt),
            "max_age": self.max_age,
            "hinted_user_id": self.hinted_user_id,
            "protects": self.protects,
            "wants": self.wants,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any] | None) -> "Visit":
        """As it was stored."""
        values = dict(raw or {})
        return cls(**{**values, "prompt": frozenset(values.get("prompt", ()))})


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in in this browser, or on their way to it in this interaction."""

    user: User
    """Their row, read just now."""
    auth_time: datetime
    amr: tuple[str, ...]
    is_pending: bool
    """What they showed has made no session yet."""

    @property
    def user_id(self) -> str:
        """Their subject identifier."""
        return self.user.id


class Facts(Protocol):
    """What is read only when a requirement looks at it. Each costs at most one look, however often it is asked."""

    def roles(self) -> frozenset[str]:
        """The person's roles, by name."""

    def groups(self) -> frozenset[str]:
        """The person's groups, by name."""

    def holdings(self) -> Holdings:
        """What the person has for a second factor, in this deployment."""

    def trusts_device(self) -> bool:
        """Whether the person said that this browser goes without their second factor."""

    def consented(self) -> bool:
        """Whether standing consents of the person cover what is asked for."""

    def accounts_here(self) -> int:
        """How many accounts are signed in in this browser, the person's among them."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the requirements look at."""

    tenant: TenantContext
    asked: Asked
    person: Person | None
    facts: Facts
    ip: str
    """Where the person comes from."""
    signed_in_here: bool
    """The person signed in for this very request, not before."""
    chosen: str | None
    """The account chosen for this very request: `another`, the one at work (its session's id), or none yet."""
    allowed_here: bool
    """The person allowed this very request."""
    max_ages: Collection[int]
    """Of the sensitive scopes asked for: how recent the sign-in has to be, in seconds."""
    allowed_groups: frozenset[str]
    """Of the client; empty: everybody."""
    trusted_client: bool
    """The tenant's own application, or a page of ours, which needs no consent."""
    demand: Demand = NOTHING
    """The strength of authentication the request asks for."""
    client_demands: bool = False
    """The client demands a second factor of everybody."""
    client_trusts_no_device: bool = False
    """And in a browser the person trusted, too."""
    protects: bool = False
    """What the person came for changes how they sign in."""
    wants: str | None = None
    """What they came to add, until they did."""
    codes_unseen: bool = False
    """They got recovery codes here, and have not said that they are saved."""
    came_by_link: bool = False
    """The link that made their account, or gave it back, is all that lets them in so far."""


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


def _chosen(now: Situation) -> str | None:
    if now.signed_in_here or now.chosen is not None:
        return None
    wanted = "select_account" in now.asked.prompt
    if not wanted and now.person is not None:
        return None
    if now.facts.accounts_here() == 0:
        return None
    return "prompt.select_account" if wanted else "session.unchosen"


def _signed_in_anew(now: Situation) -> str | None:
    return "prompt.select_account" if now.chosen == ANOTHER and not now.signed_in_here else None


def _device_compared(now: Situation) -> str | None:
    # Before anything else: whoever followed somebody's link should not sign in first (RFC 10027).
    return "device.unconfirmed" if now.asked.unconfirmed_device else None


def _present(now: Situation) -> str | None:
    return "session.missing" if now.person is None else None


def _expected(now: Situation) -> str | None:
    hinted = now.asked.hinted_user_id
    return "session.other_person" if now.person and hinted and now.person.user_id != hinted else None


def _not_another(now: Situation) -> str | None:
    # Whoever signed in here after all is somebody else (OIDC Core section 3.1.2.1, id_token_hint).
    return _expected(now) and ("session.other_person" if now.signed_in_here else None)


def _fresh(now: Situation) -> str | None:
    if now.person is None:
        return None
    age = (clock.now() - now.person.auth_time).total_seconds()
    # Whoever keeps a request open does not keep its sign-in young.
    if now.signed_in_here and age <= VALID_SECONDS:
        return None
    if "login" in now.asked.prompt:
        return "prompt.login"
    limits = [*now.max_ages, *([] if now.asked.max_age is None else [now.asked.max_age])]
    return "session.too_old" if limits and age > min(limits) else None


def _account_made(now: Situation) -> str | None:
    """Initiating User Registration via OpenID Connect 1.0 section 4: whoever is signed in already makes one all the
    same."""
    return "prompt.create" if "create" in now.asked.prompt and not now.signed_in_here else None


def _staying(now: Situation) -> str | None:
    return "account.leaving" if now.person and now.person.user.delete_at is not None else None


def _password_good(now: Situation) -> str | None:
    if now.person is None or now.person.user.password_hash is None:
        return None
    if "password" not in now.tenant.settings.authentication.methods:
        return None
    if now.person.user.must_change_password:
        return "password.must_change"
    # Whoever signed in without it is not kept up by it.
    is_old = new_passwords.is_too_old(now.person.user, now.tenant.settings.authentication.password)
    return "password.too_old" if is_old and "pwd" in now.person.amr else None


def _confirmed(now: Situation) -> str | None:
    if now.person is None or not now.tenant.settings.authentication.require_verified_email:
        return None
    user = now.person.user
    return "email.unverified" if user.email is not None and not user.email_verified else None


def _terms_agreed(now: Situation) -> str | None:
    if now.person is None or not terms.are_due(now.tenant.settings.terms, now.person.user):
        return None
    return "terms.unmet"


def _in_bounds(now: Situation) -> str | None:
    if now.person is None:
        return None
    return access_rules.check(now.tenant.settings, now.ip, clock.now(), amr=now.person.amr)


def _comes_again(now: Situation) -> str | None:
    """A link is good once: whoever came by one adds what signs them in from now on. A second factor they have already
    is shown before that."""
    if now.person is None or not now.came_by_link:
        return None
    has_shown = bool(now.person.amr) or not now.facts.holdings().second_factors
    return NO_WAY_IN if has_shown or second_factor.due(now) is None else None


def _codes_seen(now: Situation) -> str | None:
    return "recovery.unseen" if now.person is not None and now.codes_unseen else None


def _added(now: Situation) -> str | None:
    return "factor.wanted" if now.person is not None and now.wants is not None else None


def _started(now: Situation) -> str | None:
    return "session.missing" if now.person is not None and now.person.is_pending else None


def _member(now: Situation) -> str | None:
    if now.person is None or not now.allowed_groups or now.facts.groups() & now.allowed_groups:
        return None
    return "client.group_missing"


def _agreed(now: Situation) -> str | None:
    if now.allowed_here:
        return None
    if "consent" in now.asked.prompt:
        return "prompt.consent"
    return None if now.trusted_client or now.facts.consented() else "consent.missing"


REQUIREMENTS: tuple[Requirement, ...] = (
    # Whether they started it.
    Requirement(DEVICE, "interaction_required", _device_compared),
    # Who it is.
    Requirement(REGISTER, "interaction_required", _account_made),
    Requirement(CHOOSE, "account_selection_required", _chosen),
    Requirement(SIGN_IN, "login_required", _signed_in_anew),
    Requirement(SIGN_IN, "login_required", _present),
    Requirement(None, "login_required", _not_another),
    Requirement(SIGN_IN, "login_required", _expected),
    Requirement(SIGN_IN, "login_required", _fresh),
    Requirement(ENROL, "interaction_required", _comes_again),
    Requirement(None, "unmet_authentication_requirements", second_factor.out_of_reach),
    Requirement(FACTOR, "login_required", second_factor.due),
    Requirement(ENROL, "interaction_required", second_factor.lacking),
    Requirement(RECOVERY_CODES, "interaction_required", _codes_seen),
    # What their account has to be in order with.
    Requirement(KEEP_ACCOUNT, "interaction_required", _staying),
    Requirement(NEW_PASSWORD, "interaction_required", _password_good),
    Requirement(VERIFY_EMAIL, "interaction_required", _confirmed),
    Requirement(TERMS, "interaction_required", _terms_agreed),
    # Where and when they may sign in.
    Requirement(None, "access_denied", _in_bounds),
    # From here on there is a session.
    Requirement(START, "login_required", _started),
    # What they came for, at a page of ours.
    Requirement(ENROL, "interaction_required", _added),
    # What they may do for this client.
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
