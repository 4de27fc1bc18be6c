"""Leaving: the account is deleted after some days, in which signing in keeps it."""

from flask import Flask, Response
from flask_babel import gettext as _

from app.domain import account_deletion, session_notices, users
from app.infra import audit
from app.kernel.errors import Problem
from app.protocols.oauth import frontchannel_logout
from app.web import i18n, mails, pages
from app.web.account import shell
from app.web.account.shell import Visitor
from app.web.page_forms import checked
from app.web.people_forms import LeaveForm

PATH = "/account/delete"
AREA = "security"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule(PATH, "account_leave", _show, methods=["GET"])
    app.add_url_rule(PATH, "account_leave_step", _leave, methods=["POST"])


def _show() -> Response:
    found = shell.entered("account_leave", area=AREA)
    return found if isinstance(found, Response) else _page(found)


def _leave() -> Response:
    """Take everything back at once and sign out; the account goes when the days are over."""
    form = checked(LeaveForm, shell.bound_here())
    found = shell.acting("account_leave", area=AREA)
    if isinstance(found, Response):
        return found
    if users.normalize(form.username.data or "") != users.normalize(found.user.username):
        return _page(found, typed=form.username.data or "", fault=_("This is not your user name."))
    where, parts = found.where, pages.services()
    try:
        with parts.tenancy.session(where.id, write=True) as db:
            user = users.get(db, found.user.id)
            if user is None:
                return pages.see_other(pages.url("start"))
            grace = where.settings.people.deletion_grace_days
            took_part = session_notices.parts(db, where.id, user.id, (found.session.sid,))
            delete_at = account_deletion.request(db, user, grace_days=grace, revocations=parts.revocations)
            told = {"target": user.id, "name": user.username, "delete_at": delete_at.isoformat()}
            audit.record(db, found.event("account.deletion.requested", **told))
            if user.email is not None and parts.mailer.can_send:
                link = mails.link(where, "sign_in")
                language = mails.language_of(user)
                mails.send(
                    db, where, "deletion_requested", user.email, language, delete_at=delete_at, link=link
                )
    except Problem as problem:
        if problem.code != "account.last_admin":
            raise
        return _page(found, typed=form.username.data or "", fault=_(problem.public), status=409)
    response = pages.page(
        "login/email_done.html",
        frames=frontchannel_logout.frames(where, parts.clients, took_part),
        title=_("Your account is going to be deleted"),
        text=_(
            "It is deleted for good on %(when)s. To keep it, sign in before that day.",
            when=i18n.in_words(delete_at),
        ),
        home=pages.url("start"),
    )
    pages.cookies().delete(response, where)
    return response


def _page(found: Visitor, *, typed: str = "", fault: str = "", status: int = 400) -> Response:
    return shell.render(
        "account/leave.html",
        found,
        PATH,
        status if fault else 200,
        action=pages.url("account_leave_step"),
        username=found.user.username,
        days=found.where.settings.people.deletion_grace_days,
        typed=typed,
        fault=fault,
    )
