"""The accounts of this browser: who else is signed in, and how to go on as them or as somebody new."""

from flask import Flask, Response

from app.protocols.login import engine
from app.web import browser, errors, pages, turns
from app.web.account import shell
from app.web.account.forms import AccountsForm
from app.web.page_forms import checked


def register(app: Flask) -> None:
    """Add where the menu's forms go."""
    app.add_url_rule("/account/switch", "account_switch", _switch, methods=["POST"])


def _switch() -> Response:
    form = checked(AccountsForm, shell.bound_here())
    where, step = pages.tenant(), form.step.data
    if step == "another":
        turn = turns.begin(where, "start")
        chosen = turns.change(turn, data={engine.CHOOSE: engine.ANOTHER})
        return chosen if isinstance(chosen, Response) else turn.deliver(pages.see_other(turn.action))
    if step != "switch":
        return errors.error_page(400)
    # An account that was signed out meanwhile leaves whoever is at work at work.
    browser.switch(where, form.session.data or "")
    return pages.see_other(pages.url("start"))
