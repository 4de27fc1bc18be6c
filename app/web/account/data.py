"""Your data: a copy of everything stored about somebody, for those who just showed who they are."""

from flask import Flask, Response

from app.domain import personal_data
from app.infra import audit
from app.web import pages
from app.web.account import sections, sessions, shell
from app.web.page_forms import PageForm, checked

PAGE = "account_data"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/data", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/data", PAGE + "_step", _download, methods=["POST"])


def _show() -> Response:
    found = shell.entered(PAGE, area="security")
    if isinstance(found, Response):
        return found
    return shell.render(
        "account/data.html",
        found,
        "/account/data",
        action=pages.url(PAGE + "_step"),
        sections=sections.present(sections.LEAVING),
    )


def _download() -> Response:
    checked(PageForm, shell.bound_here())
    found = shell.acting(PAGE, area="security")
    if isinstance(found, Response):
        return found
    parts = pages.services()
    with parts.tenancy.session(found.where.id, write=True) as db:
        audit.record(db, found.event("user.exported"))
    pieces = personal_data.export(parts.tenancy, found.where.id, found.user.id, sessions.listed(found))
    response = Response(pieces, mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response
