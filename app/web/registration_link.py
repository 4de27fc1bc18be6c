"""The page behind the link a registration sends: whoever opens it makes the account of the address it went to."""

from flask import Flask, Response
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import one_time_links, registration
from app.domain.models import OneTimeLink, User
from app.domain.registration import Newcomer
from app.domain.tenants import TenantContext
from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Verified
from app.protocols.login.interactions import Interactions
from app.web import links, login, new_account, pages, turns, way_back
from app.web.new_account import Page
from app.web.page_forms import make_token
from app.web.turns import Turn


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/register/<token>", "registration", _open, methods=["GET"])
    app.add_url_rule("/register/<token>", "registration_step", _make, methods=["POST"])


def _open(token: str) -> Response:
    link = links.find(one_time_links.REGISTRATION, token)
    if link is None:
        return links.gone()
    return new_account.show(_page(link, token)) if link.user_id is None else _resume_page(token)


def _make(token: str) -> Response:
    link = links.find(one_time_links.REGISTRATION, token)
    if link is None:
        return links.gone()
    where = pages.tenant()
    if link.user_id is not None:
        return way_back.take(link, token, _resume, recovers=False)

    def make(db: Session, newcomer: Newcomer) -> User:
        user = registration.complete(db, where, token, newcomer)
        links.record(db, "user.registered", user)
        return user

    made = new_account.take(_page(link, token), make)
    if isinstance(made, Response):
        return made
    return login.go_on(_go_back(where, link.data["interaction"], made))


def _resume_page(token: str) -> Response:
    return pages.page(
        "login/way_back.html",
        action=pages.url("registration_step", token=token),
        csrf=make_token(links.bound_to(token)),
        finishes=True,
    )


def _resume(db: Session, link: OneTimeLink, user: User, _grants: int) -> None:
    """Of an account that has nothing that signs in still. Raises `Problem` (`link.invalid`, 404)."""
    mine = registration.unfinished(db, pages.tenant(), link.data["email"])
    if mine is None or mine.id != user.id:
        raise Problem("link.invalid", "This link was used before or has expired.", status=404)
    if not user.email_verified:
        user.email_verified = True
        links.record(db, "email.verified", user)


def _go_back(where: TenantContext, interaction_id: str | None, made: Verified) -> Turn:
    """On with the application's request, where it is still waiting in this browser; else to the start page."""
    stub = pages.cookies().stub(where, interaction_id) if interaction_id else None
    found = Interactions(pages.services().state).find(where.id, interaction_id or "")
    if stub is not None and found is not None and found.is_for(stub.secret):
        shown = turns.shows(Turn(where, found, stub, is_new=False), made)
        if isinstance(shown, Turn):
            return shown
    return turns.begin(where, "start", verified=made)


def _page(link: OneTimeLink, token: str) -> Page:
    return Page(
        action=pages.url("registration_step", token=token),
        token=token,
        email=link.data["email"],
        title=_("Create your account"),
        lead="",
    )
