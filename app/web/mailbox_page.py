"""The development mailbox: what would have been sent, on a loopback server without SMTP.

It is for people at this machine, and for the networks of `WATCHWORD_TRUSTED_PROXIES`. A loopback base URL alone does
not see to that: a server that listens on every address is reached from elsewhere under any Host header, and what lies
here opens accounts.
"""

from flask import Flask, Response
from werkzeug.exceptions import NotFound

from app.infra.mail import mailbox
from app.web import pages
from app.web.health import is_near


def register(app: Flask) -> None:
    """Add the page. Called only where mail is kept rather than sent."""
    app.add_url_rule("/dev/mailbox", "mailbox", _show, methods=["GET"])


def _show() -> Response:
    parts = pages.services()
    if not parts.mailer.uses_mailbox or not is_near(pages.origin().ip, parts.settings.trusted_proxies):
        raise NotFound
    with parts.tenancy.session(pages.tenant().id) as db:
        messages = mailbox(db)
    return pages.page("dev/mailbox.html", messages=messages)
