"""One try at a factor: counted before anything is checked, and what it came to."""

from flask_babel import ngettext

from app.domain.assurance import Method
from app.domain.models import User
from app.infra.audit import Event
from app.protocols.login.factors import failures
from app.protocols.login.factors.attempts import Attempt, Attempts
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.factors.sent_codes import SentCodes
from app.web import pages
from app.web.factors.views import Outcome
from app.web.turns import Turn


def begin(
    turn: Turn, user_id: str, email: str | None, method: str, *, known: bool, kind: str = failures.FACTOR
) -> Attempt | Blocked:
    """Count a try of somebody; `kind` is what it counts as."""
    at = turn.terminal
    return _attempts().begin(
        turn.where,
        user_id,
        email,
        method,
        device_id=at.device.id,
        known_device=known,
        origin=at.origin,
        kind=kind,
    )


def end(attempt: Attempt, reason: str | None, user: User | None, method: Method) -> Verified | Failed:
    """What a counted try came to; `reason` says why it is not good."""
    if reason is not None or user is None:
        return _attempts().failed(attempt, reason or "user.unknown")
    _attempts().succeeded(attempt)
    return Verified(user.id, user.epoch, method, attempt.known_device)


def knows(turn: Turn, user: User) -> bool:
    """Whether somebody signed in with this browser before."""
    return turn.terminal.device.knows(user.id, user.password_changed_at)


def code_of(turn: Turn, user: User, purpose: str, typed: str, method: Method) -> Outcome:
    """One try at a code that was sent to somebody."""
    attempt = begin(turn, user.id, user.email, method.id, known=knows(turn, user))
    if isinstance(attempt, Blocked):
        return attempt
    subject = codes().check(turn.where.id, turn.found.id, purpose, typed)
    return end(attempt, None if subject == user.id else "factor.code_expired", user, method)


def codes() -> SentCodes:
    """The codes that are sent."""
    parts = pages.services()
    return SentCodes(parts.state, parts.deployment_secrets.pepper())


def code_event(turn: Turn, user: User, method: str, purpose: str) -> Event:
    """That a code was sent to somebody."""
    return event_of(turn, user, "auth.code.sent", method=method, purpose=purpose)


def event_of(turn: Turn, user: User, event: str, /, **data: object) -> Event:
    """What somebody did here with their factors."""
    origin = turn.terminal.origin
    return Event(
        event,
        tenant_id=turn.where.id,
        outcome="success",
        user_id=user.id,
        email=user.email,
        ip=origin.ip,
        user_agent=origin.user_agent,
        client_id=origin.client_id,
        data=data,
    )


def wait(seconds: int) -> str:
    """Too many attempts, and how long it takes."""
    minutes = max(1, -(-seconds // 60))
    return ngettext(
        "Too many attempts. Wait a minute, then try again.",
        "Too many attempts. Wait %(num)s minutes, then try again.",
        minutes,
    )


def _attempts() -> Attempts:
    parts = pages.services()
    return Attempts(parts.state, floor_seconds=parts.sign_in_floor_seconds)
