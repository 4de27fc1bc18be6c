"""What the account console has: the rail, and the ways to sign in that its security page leads to.

A row counts when its path is a page of this application, so no link leads nowhere.
"""

from dataclasses import dataclass

from flask import current_app

from app.web import pages
from app.web.i18n import later


@dataclass(frozen=True, slots=True)
class Section:
    """A page of the console."""

    path: str
    label: str
    says: str = ""
    """What one does there, in a sentence. Both are translated where they are said."""


RAIL: tuple[Section, ...] = (
    Section("/", later("Start")),
    Section("/account", later("Your account")),
    Section("/account/profile", later("Profile"), later("Your name, picture and other details")),
    Section(
        "/account/security", later("Sign-in and security"), later("Password, passkeys and second factors")
    ),
    Section("/account/sessions", later("Sessions"), later("Where you are signed in")),
    Section("/account/applications", later("Applications"), later("What you allowed, and how to remove it")),
    Section("/account/data", later("Your data"), later("A copy of everything stored about you")),
)

SECURITY: tuple[Section, ...] = (
    Section("/account/password", later("Password"), later("Change it, or set one")),
    Section("/account/passkeys", later("Passkeys"), later("Sign in with this device or a security key")),
    Section(
        "/account/factors",
        later("Second factors"),
        later("Authenticator app, text messages and recovery codes"),
    ),
    Section(
        "/account/factors/trusted-devices",
        later("Trusted browsers"),
        later("Browsers that skip the second factor"),
    ),
    Section("/account/email", later("E-mail address"), later("Where links and notices go")),
)

LEAVING: tuple[Section, ...] = (
    Section("/account/delete", later("Delete your account"), later("With time to change your mind")),
)
"""Reached from the data page."""

_PARENTS = {
    **dict.fromkeys((row.path for row in SECURITY), "/account/security"),
    LEAVING[0].path: "/account/data",
}
"""The page of the rail that leads to a page which is not on it."""


def parent(path: str) -> Section | None:
    """The page that leads to a page, unless the rail does."""
    return next((row for row in RAIL if row.path == _PARENTS.get(path)), None)


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
