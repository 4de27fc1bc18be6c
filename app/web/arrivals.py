"""What a new session brings about: there is room for so many, and its person hears of a browser they never used."""

from collections.abc import Iterable

from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from app.domain import user_agents
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Origin
from app.web import errors, i18n, mails, pages
from app.web.terminal import Terminal

_SIGNED_IN = (
    update(User)
    .where(User.id == bindparam("who"))
    .values(last_signed_in_at=bindparam("now"), updated_at=User.updated_at)
    .execution_options(synchronize_session=False)
)


def settle(
    db: Session,
    where: TenantContext,
    user: User,
    session: BrowserSession,
    crowded_out: Iterable[BrowserSession],
    at: Terminal,
) -> None:
    """In the transaction that puts the sign-in on record, before the browser is known for its person.

    `crowded_out` are sessions of other accounts this browser has no room for any more.
    """
    parts = pages.services()
    for other in crowded_out:
        parts.sessions.end(db, where, other)
        audit.record(db, _ended(where, other, "accounts", at.origin))
    for oldest in parts.sessions.make_room(db, where, session):
        audit.record(db, _ended(where, oldest, "max_active", at.origin))
    if user.last_signed_in_at is not None and user.id not in at.device.people:
        _tell(db, where, user, session)
    db.execute(_SIGNED_IN, {"who": user.id, "now": clock.now()})


def _tell(db: Session, where: TenantContext, user: User, session: BrowserSession) -> None:
    """A mail to an address that is certainly theirs. A sign-in does not fail for want of it."""
    parts = pages.services()
    if not user.email or not user.email_verified or not parts.mailer.can_send:
        return
    language = mails.language_of(user)
    agent = user_agents.describe(session.user_agent)
    try:
        mails.send(
            db,
            where,
            "new_device",
            user.email,
            language,
            when=clock.now(),
            device=", ".join(filter(None, (agent.browser, agent.system, agent.device))) or "?",
            ip=session.ip,
            place=parts.places.name(session.ip, i18n.best_for(where, (language,))),
            link=mails.link(where, "account_sessions"),
        )
    except Problem as problem:
        errors.note(problem.code, "no notice of a new device")


def _ended(where: TenantContext, session: BrowserSession, via: str, origin: Origin) -> Event:
    return Event(
        "session.revoked",
        tenant_id=where.id,
        outcome="success",
        user_id=session.user_id,
        ip=origin.ip,
        user_agent=origin.user_agent,
        session_id=session.sid,
        data={"target": session.sid, "via": via},
    )
