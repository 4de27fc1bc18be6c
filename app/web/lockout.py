"""Telling people that sign-in to their account was paused, once a day at most."""

from typing import Any

from app.domain import users
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import limits, page_slots
from app.infra.limits import Limit
from app.protocols.login.factors.outcome import Blocked
from app.protocols.login.interactions import Shown
from app.web import mails, pages


def tell(where: TenantContext, outcome: Blocked, started: float) -> None:
    """Write to the owner, if there is one. Takes the least time of a refusal from `started` on (a monotonic instant),
    so that a name nobody has is not told from one that is paused."""
    if outcome.reason != "account.locked":
        return
    _write(where, outcome.user_id, limits.LOCKOUT_NOTICE, "account_locked", link=mails.link(where, "forgot"))
    page_slots.rest_until(started + pages.services().sign_in_floor_seconds)


def tell_of_second(
    where: TenantContext, outcome: Blocked, way: str, before: Shown | BrowserSession | None
) -> None:
    """Write to whoever's second step was guessed at: somebody got past the first, which `before` says by what."""
    if outcome.reason != "account.locked" or before is None:
        return
    if way == "password":
        notice, template, values = limits.LOCKOUT_NOTICE, "account_locked", {}
    else:
        knows_password = "pwd" in before.amr
        notice, template, values = (
            limits.SECOND_STEP_NOTICE,
            "second_step_guessed",
            {"by_password": knows_password},
        )
    _write(where, outcome.user_id, notice, template, link=mails.link(where, "forgot"), **values)


def _write(where: TenantContext, user_id: str | None, notice: Limit, template: str, **values: Any) -> None:
    parts = pages.services()
    if user_id is None or not parts.mailer.can_send:
        return
    if not parts.state.execute(notice.count(where.id, user_id)).ok:
        return
    with parts.tenancy.session(where.id, write=True) as db:
        user: User | None = users.get(db, user_id)
        if user is not None and user.email is not None and user.disabled_at is None:
            mails.send(db, where, template, user.email, mails.language_of(user), **values)
