"""The page that asks for a second factor: one view for each (`web.factors`), the others a link away."""

from flask import Response, request
from flask_babel import gettext as _

from app.protocols.login.engine import Need
from app.protocols.login.factors.outcome import Blocked, Failed
from app.web import errors, factors, lockout, pages, turns
from app.web.factor_forms import FactorForm
from app.web.factors import tries
from app.web.factors.passkey import REFUSED_MODEL
from app.web.i18n import later
from app.web.page_forms import make_token
from app.web.standings import Standing
from app.web.turns import Turn

TRUST = "trust"
"""In the interaction's data: the person wants this browser to go without."""

_WHY = {
    "acr.wanted": later("The application asks for more than you showed so far."),
    "mfa.client": later("The application asks everybody for a second step."),
    "mfa.policy": later("Your organization asks for a second step."),
    "mfa.enrolled": later("You protected your account with a second step."),
}
_FAULTS = {
    "factor.code_wrong": later("That code is not right."),
    "factor.code_used": later("That code was used already. Wait for the next one."),
    "factor.code_expired": later("That code is wrong or has expired. Send a new one."),
    "passkey.cloned": later("That passkey was not accepted."),
    "passkey.compromised": REFUSED_MODEL,
    "passkey.expired": later("That took too long. Try again."),
    "passkey.invalid": later("That passkey was not accepted."),
    "passkey.not_allowed": REFUSED_MODEL,
    "passkey.unknown": later("That passkey is not one of yours."),
    "password.wrong": later("That password is not right."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The view that was chosen, or the one the person probably likes best."""
    return _page(turn, standing, request.args.get("way", ""))


def take(turn: Turn, standing: Standing, form: FactorForm) -> Response | Turn:
    """One try, or a code to be sent."""
    way, user = form.way.data or "", standing.user
    asking = factors.ASKED.get(way) if way in standing.options else None
    before = standing.shown or standing.session
    if asking is None or user is None or before is None:
        return turn
    if form.send.data and asking.send is not None:
        blocked = asking.send(turn, user)
        return (
            _blocked(turn, standing, way, blocked) if blocked else pages.see_other(f"{turn.action}?way={way}")
        )
    outcome = asking.verify(turn, user, _typed(form, way))
    if isinstance(outcome, Blocked):
        lockout.tell_of_second(turn.where, outcome, way, before)
        return _blocked(turn, standing, way, outcome)
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "second factor refused")
        fault = _(_FAULTS.get(outcome.reason, _FAULTS["factor.code_wrong"]))
        return _page(turn, standing, way, fault=fault, status=401)
    data = turn.found.data
    if form.trust.data and _can_trust(turn, standing):
        data = {**data, TRUST: True}
    return turns.adds(turn, before, outcome, data=data)


def _typed(form: FactorForm, way: str) -> str:
    field = {"password": form.password, "passkey": form.credential}.get(way, form.code)
    return field.data or ""


def _page(turn: Turn, standing: Standing, way: str, *, fault: str = "", status: int = 200) -> Response:
    if standing.user is None or not standing.options:
        raise RuntimeError("a second factor is asked of somebody who has one")
    way = way if way in standing.options else standing.options[0]
    asking = factors.ASKED[way]
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    others = [
        (_(factors.ASKED[each].label), f"{turn.action}?way={each}", each)
        for each in standing.options
        if each != way
    ]
    mfa = turn.where.settings.authentication.mfa
    return pages.page(
        "login/factor.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        way=way,
        part=f"login/factor_{asking.template}.html",
        why=_(_WHY[reason]) if reason in _WHY else "",
        fault=fault,
        others=others,
        trust_days=mfa.trusted_device_days if _can_trust(turn, standing) else 0,
        can_cancel=turn.asked is not None,
        **asking.values(turn, standing.user),
    )


def _can_trust(turn: Turn, standing: Standing) -> bool:
    """Whether the browser may go without from now on: not where the request itself asks for the second factor."""
    more = standing.more
    return (
        turn.where.settings.authentication.mfa.trusted_device_days > 0
        and more is not None
        and more.reason != "acr.wanted"
        and standing.shown is not None
        and standing.shown.session is None
    )


def _blocked(turn: Turn, standing: Standing, way: str, blocked: Blocked) -> Response:
    errors.note(blocked.reason, "second factor refused before anything was checked")
    response = _page(turn, standing, way, fault=tries.wait(blocked.retry_after_seconds), status=429)
    response.headers["Retry-After"] = str(blocked.retry_after_seconds)
    return response
