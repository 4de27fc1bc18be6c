"""Whether somebody has to show more than they did, and why: what the tenant, the client or the request demands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain import assurance
from app.domain.assurance import ONE_FACTOR, PHISHING_RESISTANT, TWO_FACTOR
from app.domain.authenticators import Holdings
from app.domain.tenant_settings import AuthenticationSettings
from app.protocols.login import factors

if TYPE_CHECKING:
    from app.protocols.login.engine import Person, Situation


@dataclass(frozen=True, slots=True)
class Demand:
    """The `acr` a request asks for: any of `values` will do, the earlier ones are liked better."""

    values: tuple[str, ...] = ()
    is_essential: bool = False
    """The request fails without (OIDC Core section 5.5.1.1); else it is a wish (section 3.1.2.1)."""


NOTHING = Demand()


@dataclass(frozen=True, slots=True)
class More:
    """What has to be reached, and the reason."""

    acr: str
    reason: str


def more(now: "Situation") -> More | None:
    """What is to be reached beyond what the person showed."""
    if now.person is None:
        return None
    reached = assurance.acr_of(now.person.amr)
    if not _is_met(now.demand, reached):
        acr = _reachable(now)
        if acr is not None:
            return More(acr, "acr.wanted")
    if reached != ONE_FACTOR:
        return None
    reason = _reason(now, now.person)
    if reason is None:
        return None
    trust_counts = not (now.protects or now.client_trusts_no_device)
    return None if trust_counts and now.facts.trusts_device() else More(TWO_FACTOR, reason)


def options(now: "Situation", wanted: More) -> tuple[str, ...]:
    """The factors with which the person can reach it, the best first."""
    amr = now.person.amr if now.person else ()
    if wanted.acr == PHISHING_RESISTANT:
        return ("passkey",)
    return _left(now, amr)


def due(now: "Situation") -> str | None:
    """A second factor has to be shown, and the person has one."""
    wanted = more(now)
    return wanted.reason if wanted is not None and options(now, wanted) else None


def lacking(now: "Situation") -> str | None:
    """A second factor has to be shown, and the person has none yet."""
    wanted = more(now)
    return wanted.reason if wanted is not None and not options(now, wanted) else None


def out_of_reach(now: "Situation") -> str | None:
    """The request cannot do without what the person cannot show."""
    if now.person is None or not now.demand.is_essential:
        return None
    met = _is_met(now.demand, assurance.acr_of(now.person.amr)) or _reachable(now) is not None
    return None if met else "acr.unmet"


def is_required(now: "Situation") -> bool:
    """Whether the tenant demands a second factor of the person, whoever the client is."""
    mfa = now.tenant.settings.authentication.mfa
    # Roles are read only where they decide.
    return mfa.is_demanded_of(now.facts.roles() if mfa.required == "roles" else ())


def _is_met(demand: Demand, reached: str) -> bool:
    return not demand.values or any(assurance.satisfies(reached, acr) for acr in demand.values)


def _reachable(now: "Situation") -> str | None:
    """The demanded class the person can reach, the one liked best: two factors by adding one, the other as they are."""
    for acr in now.demand.values:
        if acr == TWO_FACTOR or (acr == PHISHING_RESISTANT and now.facts.holdings().good_passkeys):
            return acr
    return None


def _reason(now: "Situation", person: "Person") -> str | None:
    if now.client_demands:
        return "mfa.client"
    if is_required(now):
        return "mfa.policy"
    authentication = now.tenant.settings.authentication
    if not (person.is_pending or now.protects) or not is_registered(authentication, now.facts.holdings()):
        return None
    if not _left(now, person.amr) and assurance.POSSESSION in assurance.kinds(person.amr):
        # They began with the very passkey that is all they have.
        return None
    return "mfa.enrolled"


def is_registered(authentication: AuthenticationSettings, held: Holdings) -> bool:
    """Whether somebody registered a second factor: a passkey is none where it only begins a sign-in."""
    only_begins = "passkey" in authentication.methods and "passkey" not in authentication.mfa.methods
    return held.second_factors > (held.passkeys if only_begins else 0)


def _left(now: "Situation", amr: tuple[str, ...]) -> tuple[str, ...]:
    """What makes two factors of it; where nothing does, what they have besides. Nobody adds a factor to an account
    before they showed more than one of those it has: a key that was found in the street is not its owner."""
    settings, held = now.tenant.settings.authentication, now.facts.holdings()
    return factors.usable(settings, held, amr) or factors.unshown(settings, held, amr)
