"""Passkeys: which somebody has, what they are called, and taking one away. Adding is `web.enrol_page`'."""

from flask import Flask, Response, jsonify, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.domain import authenticators
from app.infra import audit
from app.kernel.errors import Problem
from app.web import errors, pages
from app.web.account import factors, shell
from app.web.account.forms import ID, PasskeysForm
from app.web.account.shell import Visitor
from app.web.factors import ADDED, passkey
from app.web.page_forms import checked

PAGE = "account_passkeys"


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/account/passkeys", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/passkeys", PAGE + "_step", _change, methods=["POST"])
    app.add_url_rule("/.well-known/webauthn", "webauthn", _related, methods=["GET"])


def _related() -> Response:
    """Where else this host's passkeys may be used (WebAuthn section 5.11); no such document without such a place, and
    none below the root of a host, where no browser asks."""
    where = pages.tenant()
    named = where.settings.authentication.passkeys.related_origins
    origins = [origin for origin in named if origin.startswith("https:")]
    if where.path or not origins:
        raise NotFound
    response: Response = jsonify(origins=origins)
    return response


def _show() -> Response:
    found = shell.entered(PAGE)
    if isinstance(found, Response):
        return found
    said = {"removed": _("The passkey was removed."), "renamed": _("The passkey has its new name.")}
    return _listed(found, notice=said.get(request.args.get("done", ""), ""))


def _listed(found: Visitor, *, notice: str = "", fault: str = "", status: int = 200) -> Response:
    with pages.services().tenancy.session(found.where.id) as db:
        rows = authenticators.of_user(db, found.user.id, authenticators.PASSKEY)
        db.expunge_all()
    counted = {row.id for row in factors.that_count(found.where, rows)}
    return shell.render(
        "account/passkeys.html",
        found,
        "/account/passkeys",
        status,
        action=pages.url(PAGE + "_step"),
        rows=rows,
        signals=passkey.accepted_signals(found.where, found.user, rows),
        refused={row.id for row in rows} - counted,
        add=pages.url("account_factors_passkey") if ADDED["passkey"].is_offered(found.where) else "",
        notice=notice,
        fault=fault,
    )


def _change() -> Response:
    form = checked(PasskeysForm, shell.bound_here())
    found = shell.acting(PAGE)
    if isinstance(found, Response):
        return found
    step, target = form.step.data, form.target.data or ""
    if step not in ("rename", "remove"):
        return errors.error_page(400)
    where = found.where
    with pages.services().tenancy.session(where.id) as db:
        mine = {row.id for row in authenticators.of_user(db, found.user.id, authenticators.PASSKEY)}
    if not ID.fullmatch(target) or target not in mine:
        raise NotFound
    if not shell.has_proved(found, factors.AREA):
        return shell.prove(PAGE, factors.AREA)
    try:
        with pages.services().tenancy.session(where.id, write=True) as db:
            if step == "remove":
                factors.remove(db, found, target)
            else:
                row = authenticators.rename(db, found.user.id, target, form.name.data or "")
                audit.record(db, found.event("factor.renamed", method=row.kind, name=row.name, target=row.id))
    except Problem as problem:
        if problem.code == "factor.name":
            return _listed(found, fault=_("A name is wanted."), status=400)
        return _listed(found, fault=factors.why_it_stays(problem), status=409)
    return pages.see_other(pages.url(PAGE, done="removed" if step == "remove" else "renamed"))
