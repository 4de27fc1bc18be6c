"""The page where somebody adds a factor, on the way in or from their account: one view for each (`web.factors`)."""

from typing import Any

from flask import Response, request
from flask_babel import gettext as _

from app.protocols.login import engine
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
_OTHER_WAY = later("Choose another way")
_INSTEAD = {"passkey": later("Choose a password instead"), "password": later("Use a passkey instead")}
"""From one of the two somebody may sign in with to the other: by the view they are at."""


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
    if len(offered) == 1 or (enrolling.is_first and offered and way not in offered):
        way = next(iter(offered))
    common: dict[str, Any] = {
        "action": turn.action,
        "csrf": make_token(turn.bound_to),
        "why": _(_WHY[reason]) if reason in _WHY else "",
        "fault": fault,
        "can_cancel": turn.asked is not None,
        "leave": pages.url(turn.found.return_to or "account") if enrolling.wanted else "",
        "is_first": enrolling.is_first,
    }
    if way not in offered:
        choices = [
            (_(adding.label), _(adding.says), f"{turn.action}?way={name}", name)
            for name, adding in offered.items()
        ]
        title = _("Protect your account")
        return pages.page("login/enrol.html", opener=True, title=title, choices=choices, part="", **common)
    values, changed = offered[way].values(enrolling)
    others = [name for name in offered if name != way]
    back = (f"{turn.action}?way={others[0]}" if enrolling.is_first else turn.action) if others else ""
    response = pages.page(
        "login/enrol.html",
        400 if fault else 200,
        opener=True,
        title=_(offered[way].title),
        way=way,
        part=f"login/enrol_{way.replace('-', '_')}.html",
        back=back,
        back_label=_(_INSTEAD[way] if enrolling.is_first else _OTHER_WAY),
        name=request.form.get("name", ""),
        **common,
        **values,
    )
    return changed.deliver(response)


def _offered(turn: Turn, standing: Standing) -> dict[str, Adding]:
    """The views somebody may use: what signs in, where they have nothing that does; the one they came for; or all that
    count as a second factor."""
    if _is_first(standing):
        return {name: adding for name, adding in factors.FIRST.items() if adding.is_offered(turn.where)}
    wanted = _wanted(turn, standing)
    if wanted is not None:
        adding = factors.ADDED.get(wanted)
        return {wanted: adding} if adding is not None and adding.is_offered(turn.where) else {}
    counting = turn.where.settings.authentication.mfa.methods
    return {
        name: adding
        for name, adding in factors.ADDED.items()
        if name in counting and adding.is_offered(turn.where)
    }


def _is_first(standing: Standing) -> bool:
    return isinstance(standing.step, Need) and standing.step.reason == engine.NO_WAY_IN


def _wanted(turn: Turn, standing: Standing) -> str | None:
    is_wish = isinstance(standing.step, Need) and standing.step.reason == "factor.wanted"
    return str((turn.found.visit or {}).get("wants")) if is_wish else None


def _enrolling(turn: Turn, standing: Standing) -> Enrolling | None:
    before = standing.shown or standing.session
    if standing.user is None or before is None:
        return None
    return Enrolling(turn, standing.user, before, _wanted(turn, standing), _is_first(standing))
