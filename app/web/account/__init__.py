"""The account console: who somebody is here, how they sign in, where they are signed in, and what they allowed.

A page is a file with `register`, listed here, and a row of `sections.SECTIONS` that puts it on the rail.
"""

from flask import Flask

from app.web.account import applications, data, email, leave, overview, profile, security, sessions, start
from app.web.account.shell import binding

__all__ = ["binding", "register"]

_PAGES = (start, overview, security, sessions, applications, data, profile, email, leave)


def register(app: Flask) -> None:
    """Add the pages."""
    for part in _PAGES:
        part.register(app)
