"""The page where somebody adds a factor, on the way in or from their account: one view for each (`web.factors`)."""

from typing import Any

from flask import Response, request
from flask_babel import gettext as _

from app.protocols.login.engine import Need
from app.web import factors, pages
from app.web.factor_forms import EnrolForm
from app.web.factors.views import Adding, Enrolling
from app.web.i18n import later
from app.web.page_forms import make_token
from app.web.standings import Standing
from app.web.turns import Turn

_WHY = {
    "acr.wanted": later("The application asks for a second step, and you have none yet."),
    "mfa.client": later("The application asks everybody for a second step, and you have none yet."),
    "mfa.policy": later("Your organization asks for a second step, and you have none yet."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The view that was chosen, the only one, or the choice."""
    return _page(turn, standing, request.args.get("way", ""))


def take(turn: Turn, standing: Standing, form: EnrolForm) -> Response | Turn:
    """A step of adding one."""
    way = form.way.data or ""
    adding, enrolling = _offered(turn, standing).get(way), _enrolling(turn, standing)
    if adding is None or enrolling is None:
        return turn
    taken = adding.take(enrolling, form)
    return _page(turn, standing, way, fault=taken) if isinstance(taken, str) else taken


def _page(turn: Turn, standing: Standing, way: str, *, fault: str = "") -> Response:
    offered, enrolling = _offered(turn, standing), _enrolling(turn, standing)
    if enrolling is None:
        raise RuntimeError("a factor is added by somebody")
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    if len(offered) == 1:
        way = next(iter(offered))
    common: dict[str, Any] = {
        "action": turn.action,
        "csrf": make_token(turn.bound_to),
        "why": _(_WHY[reason]) if reason in _WHY else "",
        "fault": fault,
        "can_cancel": turn.asked is not None,
        "leave": pages.url(turn.found.return_to or "account") if enrolling.wanted else "",
    }
    if way not in offered:
        choices = [
            (_(adding.label), _(adding.says), f"{turn.action}?way={name}", name)
            for name, adding in offered.items()
        ]
        return pages.page("login/enrol.html", opener=True, choices=choices, part="", **common)
    values, changed = offered[way].values(enrolling)
    back = turn.action if len(offered) > 1 else ""
    response = pages.page(
        "login/enrol.html",
        400 if fault else 200,
        opener=True,
        way=way,
        part=f"login/enrol_{way.replace('-', '_')}.html",
        back=back,
        **common,
        **values,
    )
    return changed.deliver(response)


def _offered(turn: Turn, standing: Standing) -> dict[str, Adding]:
    """The views somebody may use: the one they came for, or all that count as a second factor."""
    wanted = _wanted(turn, standing)
    if wanted is not None:
        adding = factors.ADDED.get(wanted)
        return {wanted: adding} if adding is not None and adding.is_offered(turn.where) else {}
    return {
        name: adding
        for name, adding in factors.ADDED.items()
        if name != factors.RECOVERY and adding.is_offered(turn.where)
    }


def _wanted(turn: Turn, standing: Standing) -> str | None:
    is_wish = isinstance(standing.step, Need) and standing.step.reason == "factor.wanted"
    return str((turn.found.visit or {}).get("wants")) if is_wish else None


def _enrolling(turn: Turn, standing: Standing) -> Enrolling | None:
    before = standing.shown or standing.session
    if standing.user is None or before is None:
        return None
    return Enrolling(turn, standing.user, before, _wanted(turn, standing))
