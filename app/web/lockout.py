"""Telling people that sign-in to their account was paused, once a day at most."""

from app.domain import users
from app.domain.tenants import TenantContext
from app.infra import limits, page_slots
from app.protocols.login.factors.outcome import Blocked
from app.web import mails, pages


def tell(where: TenantContext, outcome: Blocked, started: float) -> None:
    """Write to the owner, if there is one. Takes the least time of a refusal from `started` on (a monotonic instant),
    so that a name nobody has is not told from one that is paused."""
    if outcome.reason != "account.locked":
        return
    parts = pages.services()
    if outcome.user_id is not None and parts.mailer.can_send:
        counted = parts.state.execute(limits.LOCKOUT_NOTICE.count(where.id, outcome.user_id))
        if counted.ok:
            _write(where, outcome.user_id)
    page_slots.rest_until(started + parts.sign_in_floor_seconds)


def _write(where: TenantContext, user_id: str) -> None:
    with pages.services().tenancy.session(where.id, write=True) as db:
        user = users.get(db, user_id)
        if user is not None and user.email is not None and user.disabled_at is None:
            link = mails.link(where, "forgot")
            mails.send(db, where, "account_locked", user.email, mails.language_of(user), link=link)
