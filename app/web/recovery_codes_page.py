"""The page that shows new recovery codes, until the person says that they are saved."""

from flask import Response, make_response
from flask_babel import gettext as _

from app.kernel import clock
from app.protocols.login import engine
from app.web import pages, turns
from app.web.factor_forms import CodesForm
from app.web.factors import keeping
from app.web.page_forms import make_token
from app.web.standings import Standing
from app.web.turns import Turn


def show(turn: Turn, standing: Standing) -> Response:
    """The new codes."""
    return pages.page(
        "login/recovery_codes.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        codes=_codes(turn),
        username=standing.user.username if standing.user else "",
        issuer=turn.where.issuer,
        made_at=clock.now(),
    )


def take(turn: Turn, standing: Standing, form: CodesForm) -> Response | Turn:
    """The codes as a file, or on."""
    if form.answer.data == "download":
        title = _("Recovery codes for %(tenant)s", tenant=turn.where.name)
        lines = [title, turn.where.issuer, "", *_codes(turn), "", _("Each code works once.")]
        response = make_response("\n".join(lines) + "\n")
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.headers["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
        return response
    if form.answer.data != "saved":
        return turn
    rest = {name: value for name, value in turn.found.data.items() if name != engine.RECOVERY_CODES}
    return turns.change(turn, data=rest)


def _codes(turn: Turn) -> list[str]:
    return keeping.opened(turn, keeping.CODES, turn.found.data[engine.RECOVERY_CODES]).split()
