"""The page somebody meets who has not agreed to the present version of the tenant's terms."""

from flask import Response
from flask_babel import gettext as _

from app.domain import terms, users
from app.kernel.errors import Problem
from app.protocols.oauth.steps import refusals
from app.web import endings, links, pages
from app.web.page_forms import make_token
from app.web.people_forms import TermsForm
from app.web.standings import Standing
from app.web.turns import Turn


def show(turn: Turn, standing: Standing, *, fault: str = "", status: int = 200) -> Response:
    """Where the terms are, what they are about, and whether the person agrees."""
    user = standing.user
    return pages.page(
        "login/terms.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        terms=turn.where.settings.terms,
        is_new=user is not None and user.terms_version is None,
        fault=fault,
    )


def take(turn: Turn, standing: Standing, form: TermsForm) -> Response | Turn:
    """Agreed, which is noted with the time; or not, and the client hears that access was denied."""
    current, user = turn.where.settings.terms, standing.user
    if current is None or user is None:
        return turn
    if form.answer.data != "agree":
        if turn.asked is not None:
            return endings.refuse(turn, turn.asked, refusals.ACCESS_DENIED)
        return show(turn, standing, fault=_("Without your consent you cannot go on here."), status=400)
    try:
        with pages.services().tenancy.session(turn.where.id, write=True) as db:
            found = users.get(db, user.id)
            if found is not None:
                terms.agree(current, found, form.agreed.data or "")
                links.record_own(db, "terms.agreed", found, version=current.version)
    except Problem as problem:
        if problem.code != "terms.changed":
            raise
        return show(turn, standing, fault=_(problem.public), status=409)
    return turn
