"""What every page of the console stands in: who is signed in, how recently, and the frame around it."""

from dataclasses import dataclass
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.domain import access_rules, users
from app.domain.access.rbac import Access, access_of
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.login.engine import Done, Visit
from app.web import browser, consent_page, i18n, login, oauth, pages, standings, turns
from app.web.account import sections
from app.web.page_forms import make_token


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at their account console."""

    where: TenantContext
    session: BrowserSession
    user: User
    """Detached from the database."""
    access: Access

    def event(self, name: str, /, *, client_id: str | None = None, **data: Any) -> Event:
        """That they did something here, for the record."""
        origin = pages.origin()
        return Event(
            name,
            tenant_id=self.where.id,
            outcome="success",
            user_id=self.user.id,
            email=self.user.email,
            ip=origin.ip,
            user_agent=origin.user_agent,
            session_id=self.session.sid,
            client_id=client_id,
            data={"via": "page", **data},
        )


def binding(session_secret: str) -> str:
    """What the forms of signed-in pages are bound to."""
    return f"session:{session_secret}"


def bound_here() -> str:
    """What the forms of this browser's signed-in pages are bound to: with another account they are worth nothing."""
    where, jar = pages.tenant(), pages.cookies()
    return binding(jar.read(where) or jar.read(where, browser.OTHERS) or "")


def visitor() -> Visitor | None:
    """Who is signed in, unless their account was closed, or they may not work from here or now: the sign-in page says
    so to them."""
    where = pages.tenant()
    session = oauth.current_session(where)
    if session is None:
        return None
    # Whoever took a session along is where the tenant's networks end, too.
    if access_rules.check(where.settings, pages.origin().ip, clock.now(), amr=session.amr) is not None:
        return None
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, session.user_id)
        if user is None or user.disabled_at is not None:
            return None
        access = access_of(db, user.id)
        db.expunge(user)
    i18n.prefer(person=user.claims.get("locale"))
    return Visitor(where, session, user, access)


def entered(return_to: str, *, area: str | None = None) -> Visitor | Response:
    """Whoever is signed in, for a page to show; else the sign-in page, which leads on to the page `return_to`.

    `area` is one of the tenant's `sessions.reauthenticate_for`: a sign-in too long ago for it is asked for once more,
    and whoever has a second factor shows it, in a trusted browser too.
    """
    found = visitor()
    if area is not None and (found is None or not has_proved(found, area)):
        return prove(return_to, area)
    return login.start_sign_in(return_to) if found is None else found


def acting(return_to: str, *, area: str | None = None) -> Visitor | Response:
    """The same for a form that was sent: to the page, which asks whoever has to sign in first."""
    found = visitor()
    if found is None or (area is not None and not has_proved(found, area)):
        return pages.see_other(pages.url(return_to))
    return found


def has_proved(found: Visitor, area: str) -> bool:
    """Whether the person showed all they have, recently enough for an area of the console.

    The sign-in family's requirements say so, and the same ones say what `prove` asks for.
    """
    standing = standings.find(found.where, None, None, found.session, visit=demands(area))
    return isinstance(standing.step, Done)


def prove(return_to: str, area: str) -> Response:
    """Have the person show what is missing for an area, then lead on to the page `return_to`."""
    return login.go_on(turns.begin(pages.tenant(), return_to, visit=demands(area)), after_post=False)


def demands(area: str, *, wants: str | None = None) -> Visit:
    """What an area of the console asks of whoever comes to it; `wants` is what they came to add."""
    most = pages.tenant().settings.sessions.reauthenticate_for.get(area)
    return Visit(max_age=most, protects=True, wants=wants)


def held(db: Session, found: Visitor) -> User | None:
    """The visitor's row, held until the transaction ends; None when the session has ended since the page was asked for.

    For what must not be done any more once somebody else ended the session, set a password or closed the account.
    """
    user, where = users.hold(db, found.user.id), found.where
    is_over = pages.services().revocations.is_session_over(db, where.id, found.session.sid)
    if user is None or user.disabled_at is not None or user.epoch != found.session.user_epoch or is_over:
        return None
    return user


def render(template: str, found: Visitor, path: str, status: int = 200, **values: Any) -> Response:
    """A page of the console. `path` is its own: a page that is not on the rail stands under the one that leads to it,
    and leads back there."""
    parent = sections.parent(path)
    current = {path: "page", parent.path: "true"} if parent else {path: "page"}
    return pages.page(
        template,
        status,
        rail=[(row.label, href, current.get(row.path, "")) for row, href in sections.present(sections.RAIL)],
        parent=sections.present((parent,))[0] if parent else None,
        person=consent_page.person_view(found.user),
        beside=_beside(found),
        switch=pages.url("account_switch"),
        sign_out=pages.url("logout"),
        confirmed="",
        csrf=make_token(bound_here()),
        **values,
    )


def _beside(found: Visitor) -> list[tuple[str, Any]]:
    """The other accounts of this browser: each session's public id, and whose it is."""
    others = [a for a in browser.accounts(found.where) if a.session.user_id != found.user.id]
    return [
        (account.session.sid, consent_page.person_view(user))
        for account, user in browser.people(found.where, others)
    ]
