"""One's own password: changed by whoever knows it, set by whoever has none, and given up for something else."""

from flask import Flask, Response, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Blocked, Failed
from app.web import errors, new_account, own_password, pages, strength
from app.web.account import shell
from app.web.account.shell import Visitor
from app.web.page_forms import checked
from app.web.people_forms import OwnPasswordForm

PAGE = "account_password"
AREA = "security"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/password", PAGE, _show, methods=["GET"])
    app.add_url_rule("/.well-known/change-password", "change_password_address", _address, methods=["GET"])
    app.add_url_rule("/account/password", PAGE + "_step", _change, methods=["POST"])


def _address() -> Response:
    """Where a password manager leads people (A Well-Known URL for Changing Passwords section 2)."""
    _require_passwords()
    return pages.see_other(pages.url(PAGE))


def _show() -> Response:
    """Whoever has a second factor showed it; and the first password of an account is set by a recent sign-in alone."""
    _require_passwords()
    found = shell.entered(PAGE, area=AREA)
    return found if isinstance(found, Response) else _page(found, {})


def _change() -> Response:
    _require_passwords()
    form = checked(OwnPasswordForm, shell.bound_here())
    found = shell.acting(PAGE, area=AREA)
    if isinstance(found, Response):
        return found
    if form.step.data == "remove":
        return _remove(found)
    where, user, password = found.where, found.user, form.password.data or ""
    if user.password_hash is not None:
        outcome = own_password.prove(where, user, form.current.data or "")
        if isinstance(outcome, Blocked | Failed):
            errors.note(outcome.reason, "the current password was not shown")
            if isinstance(outcome, Blocked):
                text = _("Too many attempts. Wait a while, then try again.")
                response = _page(found, {"current": text}, status=429)
                response.headers["Retry-After"] = str(outcome.retry_after_seconds)
                return response
            return _page(found, {"current": _("This is not your current password.")}, status=400)
    try:
        own_password.change(where, user, password, keep=found.session.sid)
    except Problem as problem:
        if problem.code == "password.changed":
            return pages.see_other(pages.url(PAGE))
        if problem.code not in own_password.FAULTS:
            raise
        return _page(found, {"password": new_account.said(problem)}, password=password, status=400)
    return _done(found, "changed")


def _remove(found: Visitor) -> Response:
    if found.user.password_hash is None:
        return pages.see_other(pages.url(PAGE))
    try:
        own_password.remove(found.where, found.user, keep=found.session.sid)
    except Problem as problem:
        if problem.code == "password.changed":
            return pages.see_other(pages.url(PAGE))
        if problem.code != "password.only_way":
            raise
        text = _("It is your only way to sign in. Add another one before you remove this.")
        return _page(found, {"removal": text}, status=409)
    return _done(found, "removed")


def _done(found: Visitor, what: str) -> Response:
    response = pages.see_other(pages.url(PAGE, done=what))
    rotated = pages.services().sessions.rotate(found.where, found.session)
    if rotated is not None:
        pages.cookies().set(response, found.where, rotated[1])
    return response


def _require_passwords() -> None:
    if not new_account.asks_for_password(pages.tenant()):
        raise NotFound


def _page(found: Visitor, faults: dict[str, str], *, password: str = "", status: int = 200) -> Response:
    said = {
        "changed": _("Your password was changed. Other browsers were signed out."),
        "removed": _("Your password was removed. Other browsers were signed out."),
    }
    with pages.services().tenancy.session(found.where.id) as db:
        can_go = found.user.password_hash is not None and own_password.can_go(db, found.where, found.user)
    return shell.render(
        "account/password.html",
        found,
        "/account/password",
        status,
        action=pages.url(PAGE + "_step"),
        has_one=found.user.password_hash is not None,
        hint=own_password.hint(found.where, found.user),
        username=found.user.username,
        faults=faults,
        can_go=can_go,
        notice=said.get(request.args.get("done", ""), "") if request.method == "GET" else "",
        **strength.meter(password),
    )
