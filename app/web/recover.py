"""The page behind an administrator's recovery link: a new password or passkey, and no second factors any more."""

from flask import Flask, Response
from sqlalchemy.orm import Session

from app.domain import account_access, one_time_links
from app.domain.models import OneTimeLink, User
from app.web import links, pages, reset


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/recover/<token>", "recover", _open, methods=["GET"])
    app.add_url_rule("/recover/<token>", "recover_step", _recover, methods=["POST"])


def _open(token: str) -> Response:
    link = links.find(one_time_links.RECOVER, token)
    if link is None:
        return links.gone()
    return reset.page(pages.url("recover_step", token=token), link, token, recovers=True)


def _recover(token: str) -> Response:
    asked_by = links.find(one_time_links.RECOVER, token)
    if asked_by is None:
        return links.gone()

    def finish(db: Session, link: OneTimeLink, user: User, grants: int) -> None:
        account_access.forget_factors(db, user)
        # An administrator knows whose account it is; a former mailbox has no say in it any more.
        one_time_links.withdraw_of(db, user.id, one_time_links.UNDO_EMAIL)
        links.record(db, "account.recovered", user, grants=grants, created_by=link.created_by)

    action = pages.url("recover_step", token=token)
    return reset.take(asked_by, token, action, finish, recovers=True)
