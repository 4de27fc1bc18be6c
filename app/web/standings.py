"""Where somebody stands: the requirements of `protocols.login.engine`, asked with one look at the database at most."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from app.domain import assurance, authenticators, consents, passkey_models, users
from app.domain.access import rbac
from app.domain.authenticators import Holdings
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.protocols.login import engine, second_factor
from app.protocols.login.engine import Done, Need, Person, Refuse, Situation, Visit
from app.protocols.login.interactions import VALID_SECONDS, Interaction, Shown
from app.protocols.login.second_factor import Demand, More
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import i18n, pages, terminal
from app.web.terminal import Terminal

DONE = "done"
"""In the interaction's data, under the name of the enrolment page: what the person came to add was added."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is next for whoever is signed in, or on their way to it."""

    step: Need | Refuse | Done
    person: Person | None
    session: BrowserSession | None
    """The session of this browser, which may be somebody else's than the pending person's."""
    shown: Shown | None
    """What the person showed in this interaction, as long as it counts and made no session."""
    more: More | None = None
    """What has to be reached beyond that, where a second factor is next."""
    options: tuple[str, ...] = ()
    """The factors with which the person can, the best first."""
    has_second_factor: bool = False
    """Where one is to be added: whether the person has one already."""
    seen: "_Seen | None" = field(default=None, repr=False, compare=False)

    @property
    def user(self) -> User | None:
        """The person's row."""
        return self.person.user if self.person else None


@dataclass(slots=True)
class _Seen:
    """What was read of a person. It does not grow old within one request, which their sign-in may make twice."""

    user: User | None = None
    roles: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    holdings: Holdings | None = None


class _Facts:
    """`engine.Facts` of whoever `seen` is, over a database session that is opened when something has to be read."""

    def __init__(
        self,
        where: TenantContext,
        asked: AuthorizationRequest | None,
        client: ClientRecord | None,
        at: Terminal,
    ) -> None:
        self._at = at
        self._where = where
        self._asked = asked
        self._client = client
        self._opened: Session | None = None
        self._stack = ExitStack()
        self.seen = _Seen()

    @classmethod
    @contextmanager
    def open(
        cls,
        where: TenantContext,
        asked: AuthorizationRequest | None,
        client: ClientRecord | None,
        at: Terminal,
    ) -> Iterator["_Facts"]:
        """They end with the block."""
        found = cls(where, asked, client, at)
        with found._stack:
            yield found

    @property
    def db(self) -> Session:
        """The session."""
        if self._opened is None:
            self._opened = self._stack.enter_context(pages.services().tenancy.session(self._where.id))
        return self._opened

    @property
    def user(self) -> User | None:
        """Whom the facts are about."""
        return self.seen.user

    def look(self, user_id: str) -> None:
        """Read somebody's row: the facts are about them from now on."""
        user = users.get(self.db, user_id)
        if user is not None:
            self.db.expunge(user)
        self.seen = _Seen(user)

    def roles(self) -> frozenset[str]:
        if self.seen.roles is None:
            self.seen.roles = rbac.roles_of(self.db, self._user_id)
        return self.seen.roles

    def groups(self) -> frozenset[str]:
        if self.seen.groups is None:
            self.seen.groups = rbac.groups_of(self.db, self._user_id)
        return self.seen.groups

    def consented(self) -> bool:
        asked, client = self._asked, self._client
        # Anybody on the machine can pretend to be a native public client, so consent to it is not remembered
        # (RFC 8252 section 8.6).
        if asked is None or client is None or client.is_native_public or self.user is None:
            return False
        details = asked.authorization_details
        types = pages.services().details_types.all(self._where.id) if details else {}
        if any(d["type"] not in types or types[d["type"]].always_ask for d in details):
            return False
        found = consents.covering(self.db, self._user_id, client.client_id, wanted(asked), details=details)
        return found is not None

    def holdings(self) -> Holdings:
        if self.seen.holdings is None:
            parts, passkeys = pages.services(), self._where.settings.authentication.passkeys
            report = parts.attestation_trust.report_on
            found = passkey_models.holdings(self.db, passkeys, self.user, report) if self.user else Holdings()
            self.seen.holdings = found if parts.sms.is_on else replace(found, phones=0)
        return self.seen.holdings

    def trusts_device(self) -> bool:
        mfa, device = self._where.settings.authentication.mfa, self._at.device
        if self.user is None or not mfa.trusted_device_days:
            return False
        knows = device.knows(self.user.id, self.user.password_changed_at)
        return knows and authenticators.is_trusted(self.db, self.user, device.id)

    def accounts_here(self) -> int:
        found = (users.get(self.db, session.user_id) for session in self._at.sessions())
        return sum(user is not None and user.disabled_at is None for user in found)

    @property
    def _user_id(self) -> str:
        if self.user is None:
            raise RuntimeError("facts about nobody")
        return self.user.id


def find(
    where: TenantContext,
    asked: AuthorizationRequest | None,
    client: ClientRecord | None,
    session: BrowserSession | None,
    found: Interaction | None = None,
    *,
    visit: Visit | None = None,
    allowed_here: bool = False,
    before: Standing | None = None,
) -> Standing:
    """Ask the requirements, in order, for an authorization request or, without one, for a page of ours. What that page
    demands is in the interaction, or, where there is none, in `visit`. `before`: where the person stood when they were
    asked earlier in this very request, so that nothing has to be read of them again."""
    at = terminal.of_browser(where, asked.client_id if asked else None)
    standing = ask(
        where, asked, client, session, found, at=at, visit=visit, allowed_here=allowed_here, before=before
    )
    if standing.user is not None:
        i18n.prefer(person=standing.user.claims.get("locale"))
    return standing


def ask(
    where: TenantContext,
    asked: AuthorizationRequest | None,
    client: ClientRecord | None,
    session: BrowserSession | None,
    found: Interaction | None = None,
    *,
    at: Terminal,
    visit: Visit | None = None,
    allowed_here: bool = False,
    before: Standing | None = None,
) -> Standing:
    """The same for whoever sits at `at`."""
    shown = _counting(found, session)
    visit = visit or Visit.from_json(found.visit if found else None)
    with _Facts.open(where, asked, client, at) as facts:
        person = _person(facts, session, shown, before.seen if before else None)
        now = Situation(
            tenant=where,
            asked=asked or visit,
            person=person,
            facts=facts,
            ip=at.origin.ip,
            signed_in_here=_signed_in_here(person, session, found),
            chosen=_chosen(session, found),
            allowed_here=allowed_here,
            max_ages=_max_ages(where, asked),
            allowed_groups=client.allowed_groups if client else frozenset(),
            trusted_client=client.first_party if client else True,
            demand=_demand(asked, client),
            client_demands=client is not None and bool(client.metadata.get("require_mfa")),
            client_trusts_no_device=client is not None and client.metadata.get("require_mfa") == "always",
            protects=visit.protects,
            wants=_still_wanted(visit, found),
            codes_unseen=found is not None and engine.RECOVERY_CODES in found.data,
            came_by_link=person is not None and _came_by_link(shown),
        )
        step = engine.next_step(now)
        more, options, has_one = _ways(now, step)
    return Standing(
        step,
        person,
        session,
        shown if person is not None and person.is_pending else None,
        more,
        options,
        has_one,
        facts.seen,
    )


def wanted(asked: AuthorizationRequest) -> dict[str, frozenset[str]]:
    """What is to be consented to: scopes by resource."""
    return {resource: frozenset(scopes) for resource, scopes in asked.by_resource.items()}


def _counting(found: Interaction | None, session: BrowserSession | None) -> Shown | None:
    """What was shown in the interaction, unless it is too old, or adds to a session that has ended."""
    shown = found.shown if found else None
    if shown is None or clock.timestamp(clock.now()) - shown.at > VALID_SECONDS:
        return None
    if shown.session is not None and (session is None or session.sid != shown.session):
        return None
    return shown


def _person(
    facts: _Facts, session: BrowserSession | None, shown: Shown | None, before: _Seen | None
) -> Person | None:
    """Whoever is on their way to a session goes before whoever has one. The facts are about them from now on."""
    user_id = shown.user_id if shown else session.user_id if session else None
    if user_id is None:
        return None
    if before is not None and before.user is not None and before.user.id == user_id:
        facts.seen = before
    else:
        facts.look(user_id)
    user = facts.user
    if user is None or user.disabled_at is not None or (shown is not None and _is_void(shown, user)):
        facts.seen = _Seen()
        return None
    if shown is not None:
        return Person(user, _instant(shown.at), shown.amr, is_pending=True)
    if session is None:
        return None
    return Person(user, session.auth_time, session.amr, is_pending=False)


def _is_void(shown: Shown, user: User) -> bool:
    """Whether everything the person had in hand was taken back since, or the password they showed replaced."""
    changed = user.password_changed_at
    is_former = changed is not None and "pwd" in shown.amr and shown.at < clock.timestamp(changed)
    return user.epoch != shown.user_epoch or is_former


def _signed_in_here(person: Person | None, session: BrowserSession | None, found: Interaction | None) -> bool:
    if person is None or person.is_pending:
        return person is not None
    return session is not None and found is not None and found.signed_in_session == session.sid


def _came_by_link(shown: Shown | None) -> bool:
    """Whether they showed nothing that signs in, after the link that made their account or gave it back."""
    if shown is None or assurance.LINK.id not in shown.methods:
        return False
    return {assurance.PASSWORD.id, authenticators.PASSKEY}.isdisjoint(shown.methods)


def _chosen(session: BrowserSession | None, found: Interaction | None) -> str | None:
    """The choice made in the interaction, as long as it is the account at work."""
    chosen = found.data.get(engine.CHOOSE) if found else None
    return chosen if chosen == engine.ANOTHER or (session is not None and chosen == session.sid) else None


def _demand(asked: AuthorizationRequest | None, client: ClientRecord | None) -> Demand:
    """What a request says of `acr`: an essential claim, else the claim or parameter, else the client's default."""
    if asked is None:
        return Demand()
    claim = asked.claims.get("id_token", {}).get("acr") or {}
    values = claim.get("values", [claim["value"]] if "value" in claim else [])
    if claim.get("essential") and values:
        return Demand(_known(values), is_essential=True)
    default = client.metadata.get("default_acr_values", ()) if client else ()
    return Demand(_known([*asked.acr_values, *values] or default))


def _known(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str) and value in assurance.ACR_VALUES)


def _still_wanted(visit: Visit, found: Interaction | None) -> str | None:
    is_done = found is not None and found.data.get(engine.ENROL) == DONE
    return None if is_done else visit.wants


def _ways(now: Situation, step: Need | Refuse | Done) -> tuple[More | None, tuple[str, ...], bool]:
    if not isinstance(step, Need) or step.page not in (engine.FACTOR, engine.ENROL):
        return None, (), False
    more = second_factor.more(now)
    options = second_factor.options(now, more) if more is not None else ()
    return more, options, now.facts.holdings().second_factors > 0


def _max_ages(where: TenantContext, asked: AuthorizationRequest | None) -> tuple[int, ...]:
    if asked is None:
        return ()
    resources = pages.services().resources.all(where.id)

    def max_age_of(resource: str, scope: str) -> int | None:
        record = resources.get(resource)
        return record.scopes[scope].max_age_seconds if record and scope in record.scopes else None

    return engine.sensitive_max_ages(asked.by_resource, max_age_of)


def _instant(timestamp: int) -> datetime:
    return clock.from_timestamp(timestamp)
