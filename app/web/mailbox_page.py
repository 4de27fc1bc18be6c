"""The development mailbox: what would have been sent, on a loopback server without SMTP.

It is for people at this machine, and for the networks of `WATCHWORD_TRUSTED_PROXIES`. A loopback base URL alone does
not see to that: a server that listens on every address is reached from elsewhere under any Host header, and what lies
here opens accounts.
"""

from flask import Flask, Response, make_response
from werkzeug.exceptions import NotFound

from app.infra.mail import kept, mailbox
from app.web import pages
from app.web.health import is_near

_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


def register(app: Flask) -> None:
    """Add the page. Called only where mail is kept rather than sent."""
    app.add_url_rule("/dev/mailbox", "mailbox", _show, methods=["GET"])
    app.add_url_rule("/dev/mailbox/<message_id>", "mailbox_html", _show_html, methods=["GET"])


def _show() -> Response:
    _require_near()
    with pages.services().tenancy.session(pages.tenant().id) as db:
        messages = mailbox(db)
    return pages.page("dev/mailbox.html", messages=messages)


def _show_html(message_id: str) -> Response:
    """The HTML of one message, as a mail program shows it: with its own style, and without scripts."""
    _require_near()
    with pages.services().tenancy.session(pages.tenant().id) as db:
        message = kept(db, message_id)
        html = message.html if message else None
    if html is None:
        raise NotFound
    response = make_response(html)
    response.headers["Content-Security-Policy"] = _MAIL_POLICY
    return response


def _require_near() -> None:
    parts = pages.services()
    if not parts.mailer.uses_mailbox or not is_near(pages.origin().ip, parts.settings.trusted_proxies):
        raise NotFound
