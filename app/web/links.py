"""What the pages behind one-time links share: finding the link, the form bound to it, and what to say when it is gone.

A link does nothing when it is opened, only when its form is sent: mail programs open links to look at them.
"""

from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import one_time_links, users
from app.domain.models import OneTimeLink, User
from app.infra import audit, limits
from app.infra.audit import Event
from app.kernel.errors import Problem
from app.web import errors, pages


def find(purpose: str, token: str) -> OneTimeLink | None:
    """The link, detached, while it can be used. Raises `RateLimited` for a network that tries links out."""
    where, parts = pages.tenant(), pages.services()
    with parts.tenancy.session(where.id) as db:
        if (link := one_time_links.find(db, purpose, token)) is not None:
            db.expunge(link)
            return link
    network = limits.network_of(pages.origin().ip)
    limits.require(parts.state.execute(limits.LINK_GUESSES.count(where.id, network)), limits.LINK_GUESSES)
    return None


def person(db: Session, link: OneTimeLink) -> User:
    """Whom a link is for. Raises `Problem` (`link.invalid`, 404) where they are gone or disabled."""
    user = users.get(db, link.user_id or "")
    if user is None or user.disabled_at is not None:
        raise Problem("link.invalid", "This link was used before or has expired.", status=404)
    return user


def count(token: str) -> None:
    """One more form from behind a link that costs a hash or tells something. Raises `RateLimited`."""
    tenant_id, of_network = pages.tenant().id, limits.LINK_FORMS_NETWORK
    outcome = pages.services().state.execute(
        limits.LINK_FORMS.count(tenant_id, token),
        *limits.by_network(of_network, tenant_id, pages.origin().ip),
    )
    limits.require(outcome, limits.LINK_FORMS, of_network, of_network)


def bound_to(token: str) -> str:
    """What the form behind a link is bound to: whoever knows the link may send it."""
    return f"link:{token}"


def gone() -> Response:
    """The link was used, has expired, or never was."""
    return errors.error_page(
        404,
        title=_("This link cannot be used"),
        text=_("It was used before, or it has expired."),
        advice=_("Ask for a new one where you asked for this one."),
    )


def record(db: Session, name: str, user: User | None, /, *, by: str | None = None, **data: Any) -> None:
    """Put on record, in the caller's transaction, what happened to a person's account on a page.

    `by` acted, if it was not the person.
    """
    origin = pages.origin()
    about = {"target": user.id, "name": user.username, "via": "page"} if user is not None else {}
    audit.record(
        db,
        Event(
            name,
            tenant_id=pages.tenant().id,
            outcome="success",
            user_id=by or (user.id if user else None),
            email=user.email if user and by is None else None,
            ip=origin.ip,
            user_agent=origin.user_agent,
            data={**about, **data},
        ),
    )


def record_own(db: Session, name: str, user: User, **data: Any) -> None:
    """The same for an event that is about its person alone, and names no target."""
    origin = pages.origin()
    audit.record(
        db,
        Event(
            name,
            tenant_id=pages.tenant().id,
            outcome="success",
            user_id=user.id,
            email=user.email,
            ip=origin.ip,
            user_agent=origin.user_agent,
            data=data,
        ),
    )
