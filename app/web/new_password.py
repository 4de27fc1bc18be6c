"""The page somebody meets whose password has to be another one: an administrator said so, or it is too old."""

from dataclasses import replace

from flask import Response
from flask_babel import gettext as _

from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login.engine import Need
from app.protocols.login.factors.outcome import Blocked, Failed
from app.web import errors, new_account, own_password, pages, strength, turns
from app.web.i18n import later
from app.web.page_forms import make_token
from app.web.people_forms import OwnPasswordForm
from app.web.standings import Standing
from app.web.turns import Turn

_WHY = {
    "password.must_change": later("Your administrator asks you to set a new password."),
    "password.too_old": later("Your password is so old that it has to be replaced."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The form."""
    return _page(turn, standing, {})


def take(turn: Turn, standing: Standing, form: OwnPasswordForm) -> Response | Turn:
    """Set it. Whoever did not sign in just now shows first that they know the present one."""
    user = standing.user
    if user is None:
        return turn
    password = form.password.data or ""
    if _asks_for_current(standing):
        outcome = own_password.prove(turn.where, user, form.current.data or "")
        if isinstance(outcome, Blocked | Failed):
            errors.note(outcome.reason, "the current password was not shown")
            status = 429 if isinstance(outcome, Blocked) else 400
            return _page(turn, standing, {"current": _("This is not your current password.")}, status=status)
    session = standing.session
    keep = session.sid if session is not None and session.user_id == user.id else None
    try:
        own_password.change(turn.where, user, password, keep=keep)
    except Problem as problem:
        if problem.code == "password.changed":
            return turn
        if problem.code not in own_password.FAULTS:
            raise
        return _page(turn, standing, {"password": new_account.said(problem)}, password=password, status=400)
    if standing.shown is None:
        return turn
    # Whoever sets a password knows it: what was shown with the former one counts as shown now.
    return turns.change(turn, shown=replace(standing.shown, at=clock.timestamp(clock.now())))


def _page(
    turn: Turn, standing: Standing, faults: dict[str, str], *, password: str = "", status: int = 200
) -> Response:
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    return pages.page(
        "login/change_password.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        why=_(_WHY[reason]) if reason in _WHY else "",
        asks_for_current=_asks_for_current(standing),
        hint=own_password.hint(turn.where, standing.user) if standing.user else "",
        username=standing.user.username if standing.user else "",
        faults=faults,
        **strength.meter(password),
    )


def _asks_for_current(standing: Standing) -> bool:
    person = standing.person
    return person is not None and not person.is_pending and person.user.password_hash is not None
