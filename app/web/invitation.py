"""The page behind an invitation: whoever has the link makes the account it speaks of."""

from flask import Flask, Response
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import assurance, invitations, one_time_links, users
from app.domain.models import OneTimeLink, User
from app.domain.registration import Newcomer
from app.domain.tenants import TenantContext
from app.web import email_pages, links, login, new_account, pages, turns
from app.web.new_account import Page


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/invitation/<token>", "invitation", _open, methods=["GET"])
    app.add_url_rule("/invitation/<token>", "invitation_step", _accept, methods=["POST"])


def _open(token: str) -> Response:
    link = links.find(one_time_links.INVITATION, token)
    return links.gone() if link is None else new_account.show(_page(link, token))


def _accept(token: str) -> Response:
    link = links.find(one_time_links.INVITATION, token)
    if link is None:
        return links.gone()
    where = pages.tenant()

    def make(db: Session, newcomer: Newcomer) -> User:
        user, found = invitations.accept(db, where, token, newcomer)
        links.record(
            db,
            "invitation.accepted",
            user,
            roles=list(found.roles),
            groups=list(found.groups),
            invited_by=found.created_by,
        )
        return user

    made = new_account.take(_page(link, token), make)
    if isinstance(made, Response):
        return made
    if made.method is assurance.LINK and "passkey" not in where.settings.authentication.methods:
        return _confirm_first(where, made.user_id)
    return login.go_on(turns.begin(where, "start", verified=made))


def _confirm_first(where: TenantContext, user_id: str) -> Response:
    """Of who signs in by mail alone, and came by a link that was handed over: nobody knows yet whose the address is."""
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, user_id)
        if user is not None:
            db.expunge(user)
    if user is not None and pages.services().mailer.can_send:
        email_pages.send_confirmation(where, user)
    return pages.page("login/look_in_mail.html", kind="registration", back=pages.url("sign_in"))


def _page(link: OneTimeLink, token: str) -> Page:
    return Page(
        action=pages.url("invitation_step", token=token),
        token=token,
        email=link.data["email"],
        title=_("Accept the invitation"),
        lead=_("You are invited to have an account at %(tenant)s.", tenant=pages.tenant().name),
    )
