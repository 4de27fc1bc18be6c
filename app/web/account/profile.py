"""The profile: what the tenant knows of somebody, and what of it they may change."""

from flask import Flask, Response, request
from flask_babel import gettext as _

from app.domain import profile, users
from app.domain.profile import ProfileFaults
from app.infra import audit
from app.web import pages, profile_fields
from app.web.account import shell
from app.web.account.shell import Visitor
from app.web.page_forms import PageForm, checked

PATH = "/account/profile"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule(PATH, "account_profile", _show, methods=["GET"])
    app.add_url_rule(PATH, "account_profile_step", _save, methods=["POST"])


def _show() -> Response:
    found = shell.entered("account_profile")
    if isinstance(found, Response):
        return found
    return _page(found, notice=_("Your profile is saved.") if "saved" in request.args else "")


def _save() -> Response:
    """Change what was sent; what the person may not change is refused, and nothing is kept."""
    checked(PageForm, shell.bound_here())
    found = shell.acting("account_profile")
    if isinstance(found, Response):
        return found
    attributes, sent = found.where.settings.people.attributes, profile_fields.sent(found.where)
    try:
        with pages.services().tenancy.session(found.where.id, write=True) as db:
            user = users.get(db, found.user.id)
            if user is None:
                return pages.see_other(pages.url("start"))
            claims = profile.changed(attributes, user.claims, sent, by=profile.PERSON)
            changes = sorted(
                name for name in {*claims, *user.claims} if claims.get(name) != user.claims.get(name)
            )
            if changes:
                user.claims = claims
                audit.record(
                    db, found.event("user.updated", target=user.id, name=user.username, changes=changes)
                )
    except ProfileFaults as fault:
        return _page(found, faults=fault.faults, status=400)
    return pages.see_other(pages.url("account_profile", saved=""))


def _page(
    found: Visitor, *, faults: dict[str, str] | None = None, notice: str = "", status: int = 200
) -> Response:
    typed = profile_fields.sent(found.where) if faults else None
    return shell.render(
        "account/profile.html",
        found,
        PATH,
        status,
        action=pages.url("account_profile_step"),
        fields=profile_fields.fields(found.where, found.user.claims, faults, typed),
        has_faults=bool(faults),
        notice=notice,
    )
