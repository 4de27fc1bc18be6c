"""How a page asks for a factor, and how it adds one: what each factor's own module fills in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response

from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.interactions import Shown
from app.web.factor_forms import EnrolForm
from app.web.turns import Turn

Outcome = Verified | Failed | Blocked
Before = Shown | BrowserSession


@dataclass(frozen=True, slots=True)
class Asking:
    """How one factor is asked for."""

    label: str
    """What the link to it says."""
    template: str
    """Its part of the page is `templates/login/factor_{template}.html`."""
    values: Callable[[Turn, User], dict[str, Any]]
    """What that part shows."""
    verify: Callable[[Turn, User, str], Outcome]
    """Checks what was typed, or what the browser answered for the person."""
    send: Callable[[Turn, User], Blocked | None] | None = None
    """Sends the code, where one is sent."""


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Somebody who adds a factor."""

    turn: Turn
    user: User
    before: Before
    """What they showed so far."""
    wanted: str | None
    """What they came for, where nothing demands it."""
    is_first: bool = False
    """It is what they sign in with from now on: they came by a link."""


@dataclass(frozen=True, slots=True)
class Adding:
    """How one factor is added. Its part of the page is `templates/login/enrol_{id}.html`."""

    label: str
    says: str
    title: str
    """The heading of its page."""
    is_offered: Callable[[TenantContext], bool]
    values: Callable[[Enrolling], tuple[dict[str, Any], Turn]]
    """What that part shows; may change the turn."""
    take: Callable[[Enrolling, EnrolForm], Response | Turn | str]
    """Answers its form: with the turn to go on with, a redirect, or what was wrong."""


def nothing(turn: Turn, user: User) -> dict[str, Any]:
    """What a part shows that needs nothing."""
    return {}
