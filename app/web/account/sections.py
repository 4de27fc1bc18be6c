"""What the account console has: the rail, and the ways to sign in that its security page leads to.

A row counts when its path is a page of this application, so no link leads nowhere.
"""

from dataclasses import dataclass
from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _

from app.web import pages


@dataclass(frozen=True, slots=True)
class Section:
    """A page of the console."""

    path: str
    label: Any
    """Translated when it is read."""
    says: Any = ""
    """What one does there, in a sentence."""


RAIL: tuple[Section, ...] = (
    Section("/", _("Start")),
    Section("/account", _("Overview")),
    Section("/account/profile", _("Profile"), _("Your name, picture and other details")),
    Section("/account/security", _("Sign-in and security"), _("Password, passkeys and second factors")),
    Section("/account/sessions", _("Sessions"), _("Where you are signed in")),
    Section("/account/applications", _("Applications"), _("What you allowed, and how to take it back")),
    Section("/account/data", _("Your data"), _("A copy of everything stored about you")),
)

SECURITY: tuple[Section, ...] = (
    Section("/account/password", _("Password"), _("Change it, or set one")),
    Section("/account/passkeys", _("Passkeys"), _("Sign in with this device or a security key")),
    Section(
        "/account/factors", _("Second factors"), _("Authenticator app, text messages and recovery codes")
    ),
    Section("/account/factors/totp", _("Authenticator app"), _("Six digits from an app on your phone")),
    Section("/account/factors/sms", _("Text messages"), _("A code sent to your phone")),
    Section("/account/factors/recovery-codes", _("Recovery codes"), _("For the day you lose your phone")),
    Section(
        "/account/factors/trusted-devices", _("Trusted devices"), _("Browsers that skip the second factor")
    ),
    Section("/account/email", _("E-mail address"), _("Where links and notices go")),
)

MORE: tuple[Section, ...] = (
    Section("/account/email", _("E-mail address"), _("Where links and notices go")),
    Section("/account/delete", _("Delete your account"), _("With time to change your mind")),
)
"""Reached from the overview."""


def present(rows: tuple[Section, ...]) -> list[tuple[Section, str]]:
    """The rows whose page exists, each with its address in this tenant."""
    known = _endpoints()
    return [(row, pages.url(known[row.path])) for row in rows if row.path in known]


def _endpoints() -> dict[str, str]:
    """The endpoint of every page that is read with GET and needs nothing more, by its path."""
    return {
        rule.rule: rule.endpoint
        for rule in current_app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.arguments
    }
