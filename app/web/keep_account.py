"""The page somebody meets at sign-in whose account is going to be deleted, as they asked."""

from flask import Response

from app.domain import account_deletion, users
from app.web import links, pages
from app.web.page_forms import PageForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn


def show(turn: Turn, standing: Standing) -> Response:
    """Until when, and a button to keep it."""
    user = standing.user
    return pages.page(
        "login/keep_account.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        delete_at=user.delete_at if user else None,
    )


def take(turn: Turn, standing: Standing, _form: PageForm) -> Response | Turn:
    """Keep it."""
    if standing.user is not None:
        with pages.services().tenancy.session(turn.where.id, write=True) as db:
            found = users.get(db, standing.user.id)
            if found is not None and found.delete_at is not None:
                account_deletion.keep(found)
                links.record(db, "account.deletion.withdrawn", found)
    return turn
