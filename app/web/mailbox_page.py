"""The development mailbox: what would have been sent, on a loopback server without SMTP."""

from flask import Flask, Response
from werkzeug.exceptions import NotFound

from app.infra.mail import mailbox
from app.web import pages


def register(app: Flask) -> None:
    """Add the page. Called only where mail is kept rather than sent."""
    app.add_url_rule("/dev/mailbox", "mailbox", _show, methods=["GET"])


def _show() -> Response:
    if not pages.services().mailer.uses_mailbox:
        raise NotFound
    with pages.services().tenancy.session(pages.tenant().id) as db:
        messages = mailbox(db)
    return pages.page("dev/mailbox.html", messages=messages)
