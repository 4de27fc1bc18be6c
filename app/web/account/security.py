"""Sign-in and security: every way somebody has of signing in, each behind its own page."""

from flask import Flask, Response

from app.web import new_account
from app.web.account import sections, shell


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/security", "account_security", _security, methods=["GET"])


def _security() -> Response:
    found = shell.entered("account_security")
    if isinstance(found, Response):
        return found
    return shell.render(
        "account/security.html",
        found,
        "/account/security",
        sections=[
            each
            for each in sections.present(sections.SECURITY)
            if each[0].path != "/account/password" or new_account.asks_for_password(found.where)
        ],
        signed_in=found.session.auth_time,
        recent_seconds=found.where.settings.sessions.reauthenticate_for.get("security"),
    )
