"""The account console: who somebody is here, how they sign in, where they are signed in, and what they allowed.

A page is a file with `register`, listed here, and a row of `sections.RAIL` that puts it on the rail.
"""

from flask import Flask

from app.web.account import (
    applications,
    data,
    email,
    factors,
    leave,
    overview,
    passkeys,
    password,
    profile,
    security,
    sessions,
    start,
    switcher,
)
from app.web.account.shell import binding

__all__ = ["binding", "register"]

_PAGES = (
    start,
    overview,
    security,
    password,
    passkeys,
    factors,
    sessions,
    applications,
    data,
    profile,
    email,
    leave,
    switcher,
)


def register(app: Flask) -> None:
    """Add the pages."""
    for part in _PAGES:
        part.register(app)
