"""Where somebody stands: the requirements of `protocols.login.engine`, asked with one look at the database."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.domain import consents, users
from app.domain.access.rbac import Access, access_of
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.protocols.login import engine
from app.protocols.login.engine import Done, Need, Person, Refuse, Situation, Visit
from app.protocols.login.interactions import VALID_SECONDS, Interaction, Shown
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import i18n, pages


@dataclass(frozen=True, slots=True)
class Standing:
    """What is next for whoever is signed in, or on their way to it."""

    step: Need | Refuse | Done
    person: Person | None
    session: BrowserSession | None
    """The session of this browser, which may be somebody else's than the pending person's."""
    shown: Shown | None
    """What the person showed in this interaction, as long as it counts and made no session."""

    @property
    def user(self) -> User | None:
        """The person's row."""
        return self.person.user if self.person else None


class _Facts:
    """`engine.Facts` over an open database session. Ends with it."""

    def __init__(self, db: Session, asked: AuthorizationRequest | None, client: ClientRecord | None) -> None:
        self._db = db
        self._asked = asked
        self._client = client
        self._access: Access | None = None
        self.user: User | None = None

    def access(self) -> Access:
        if self._access is None:
            self._access = access_of(self._db, self._user_id)
        return self._access

    def consented(self) -> bool:
        asked, client = self._asked, self._client
        # Anybody on the machine can pretend to be a native public client, so consent to it is not remembered
        # (RFC 8252 section 8.6).
        if asked is None or client is None or client.is_native_public or self.user is None:
            return False
        return consents.covering(self._db, self._user_id, client.client_id, wanted(asked)) is not None

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
    allowed_here: bool = False,
) -> Standing:
    """Ask the requirements, in order, for an authorization request or, without one, for a page of ours."""
    shown = _counting(found, session)
    with pages.services().tenancy.session(where.id) as db:
        facts = _Facts(db, asked, client)
        person = _person(db, session, shown)
        facts.user = person.user if person else None
        now = Situation(
            tenant=where,
            asked=asked or Visit.from_json(found.visit if found else None),
            person=person,
            facts=facts,
            ip=pages.origin().ip,
            signed_in_here=_signed_in_here(person, session, found),
            allowed_here=allowed_here,
            max_ages=_max_ages(where, asked),
            allowed_groups=client.allowed_groups if client else frozenset(),
            trusted_client=client.first_party if client else True,
        )
        step = engine.next_step(now)
        if person is not None:
            i18n.prefer(person=person.user.claims.get("locale"))
            db.expunge(person.user)
    return Standing(step, person, session, shown if person is not None and person.is_pending else None)


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


def _person(db: Session, session: BrowserSession | None, shown: Shown | None) -> Person | None:
    """Whoever is on their way to a session goes before whoever has one."""
    if shown is not None:
        user = users.get(db, shown.user_id)
        if user is not None and user.disabled_at is None and user.epoch == shown.user_epoch:
            return Person(user, _instant(shown.at), shown.amr, is_pending=True)
        return None
    user = users.get(db, session.user_id) if session else None
    if session is None or user is None or user.disabled_at is not None:
        return None
    return Person(user, session.auth_time, session.amr, is_pending=False)


def _signed_in_here(person: Person | None, session: BrowserSession | None, found: Interaction | None) -> bool:
    if person is None or person.is_pending:
        return person is not None
    return session is not None and found is not None and found.signed_in_session == session.sid


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
