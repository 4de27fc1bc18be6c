"""Another e-mail address: it takes the old one's place once somebody read mail there, and the old one hears of it."""

import time

from flask import Flask, Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import one_time_links, registration, users
from app.infra import audit, limits, page_slots
from app.kernel.errors import Problem
from app.web import mails, pages
from app.web.account import shell
from app.web.account.shell import Visitor
from app.web.page_forms import checked
from app.web.people_forms import EmailForm

PATH = "/account/email"
AREA = "security"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule(PATH, "account_email", _show, methods=["GET"])
    app.add_url_rule(PATH, "account_email_step", _ask, methods=["POST"])


def _show() -> Response:
    found = shell.entered("account_email", area=AREA)
    if isinstance(found, Response):
        return found
    notice = _("A link is on its way to the new address. Open it there.") if "sent" in request.args else ""
    return _page(found, notice=notice)


def _ask() -> Response:
    """The same answer in the same time whether the address is taken or not: only mail that is read tells."""
    started = time.monotonic()
    form = checked(EmailForm, shell.bound_here())
    found = shell.acting("account_email", area=AREA)
    if isinstance(found, Response):
        return found
    where, parts = found.where, pages.services()
    typed = (form.email.data or "").strip()
    try:
        address = registration.address(typed)
    except Problem as problem:
        return _page(found, typed=typed, fault=_(problem.public))
    if found.user.email_verified and users.normalize(address) == found.user.email_key:
        return _page(found, typed=typed, fault=_("This is your address already."))
    outcome = parts.state.execute(limits.EMAIL_CHANGES.count(where.id, found.user.id))
    limits.require(outcome, limits.EMAIL_CHANGES)
    with parts.tenancy.session(where.id, write=True) as db:
        if shell.held(db, found) is None:
            # Signed out by a new password a moment ago: what was asked before it is not done after it.
            return pages.see_other(pages.url("account_email"))
        if not _is_others(db, found, address):
            token = one_time_links.create(
                db, one_time_links.CHANGE_EMAIL, user_id=found.user.id, data={"email": address}
            )
            target = mails.link(where, "email_link", action="change", token=token)
            mails.send(db, where, "change_email", address, mails.language_of(found.user), link=target)
        event = found.event("email.change.requested", target=found.user.id, name=found.user.username)
        audit.record(db, event)
    page_slots.rest_until(started + parts.sign_in_floor_seconds)
    return pages.see_other(pages.url("account_email", sent=""))


def _is_others(db: Session, found: Visitor, address: str) -> bool:
    other = users.find_by_login(db, address)
    return other is not None and other.id != found.user.id


def _page(found: Visitor, *, typed: str = "", fault: str = "", notice: str = "") -> Response:
    return shell.render(
        "account/email.html",
        found,
        PATH,
        400 if fault else 200,
        action=pages.url("account_email_step"),
        email=found.user.email,
        is_verified=found.user.email_verified,
        typed=typed,
        fault=fault,
        notice=notice,
        can_send=pages.services().mailer.can_send,
    )
