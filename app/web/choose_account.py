"""The page on which somebody says as whom they go on, where several accounts are signed in."""

from flask import Response

from app.protocols.login import engine
from app.web import browser, consent_page, i18n, pages, turns
from app.web.page_forms import ChooseForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn


def show(turn: Turn, standing: Standing) -> Response:
    """The accounts of this browser, and another one."""
    client, present = turn.client, browser.people(turn.where, browser.accounts(turn.where))
    return pages.page(
        "login/choose.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        client_name=i18n.client_name(client) if client else "",
        accounts=[(account.session.sid, consent_page.person_view(user)) for account, user in present],
        another=engine.ANOTHER,
        can_cancel=turn.asked is not None,
    )


def take(turn: Turn, standing: Standing, form: ChooseForm) -> Response | Turn:
    """Go on as one of them, or sign in with another account."""
    chosen = form.account.data or ""
    if chosen != engine.ANOTHER and browser.switch(turn.where, chosen) is None:
        # It was signed out meanwhile.
        return pages.see_other(turn.action)
    return turns.change(turn, data={**turn.found.data, engine.CHOOSE: chosen}, shown=None)
