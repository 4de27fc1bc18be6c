"""The password: of somebody who began with something else, or has nothing to begin with yet."""

from typing import Any

from flask import Response, request

from app.domain import assurance
from app.domain.models import User
from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Failed, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.web import new_account, own_password, pages, strength, turns
from app.web.factor_forms import EnrolForm
from app.web.factors.views import Adding, Asking, Enrolling, Outcome
from app.web.i18n import later
from app.web.turns import Turn


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    parts, at = pages.services(), turn.terminal
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    outcome = factor.attempt(turn.where, user.username, typed, device=at.device, origin=at.origin)
    # A user name is one person's, but it may have become another's just now.
    if isinstance(outcome, Verified) and outcome.user_id != user.id:
        return Failed("password.wrong")
    return Failed("password.wrong") if isinstance(outcome, Failed) else outcome


def _shown(turn: Turn, user: User) -> dict[str, Any]:
    return {"username": user.username}


def _values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    user = enrolling.user
    found = {"hint": own_password.hint(enrolling.turn.where, user), "username": user.username}
    return {**found, **strength.meter(request.form.get("password", ""))}, enrolling.turn


def _take(enrolling: Enrolling, form: EnrolForm) -> Response | Turn | str:
    turn, user = enrolling.turn, enrolling.user
    try:
        own_password.change(turn.where, user, form.password.data or "", keep=None)
    except Problem as problem:
        if problem.code == "password.changed":
            return turn
        if problem.code not in own_password.FAULTS:
            raise
        return new_account.said(problem)
    return turns.adds(turn, enrolling.before, Verified(user.id, user.epoch, assurance.PASSWORD))


ASKING = Asking(later("Your password"), "password", _shown, _verify)
FIRST = Adding(
    later("Password"),
    later("Something only you know."),
    later("Choose a password"),
    lambda where: "password" in where.settings.authentication.methods,
    _values,
    _take,
)
