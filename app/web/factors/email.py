"""A code sent by e-mail, as a second factor. Signing in by one is `web.email_sign_in`'s."""

from typing import Any

from app.domain import assurance
from app.domain.models import User
from app.infra import audit
from app.protocols.login.factors import sent_codes
from app.protocols.login.factors.outcome import Blocked
from app.protocols.login.factors.sent_codes import EMAIL_LIMITS
from app.web import mails, pages
from app.web.factors import tries
from app.web.factors.views import Asking, Outcome
from app.web.i18n import later
from app.web.turns import Turn

_SECOND = "email-factor"


def _send(turn: Turn, user: User) -> Blocked | None:
    where, parts, made = turn.where, pages.services(), tries.codes()
    if blocked := made.allow(where.id, user.id, EMAIL_LIMITS, turn.terminal.origin):
        return blocked
    sent = made.make(where.id, turn.found.id, _SECOND, user.id)
    with parts.tenancy.session(where.id, write=True) as db:
        mails.send(
            db,
            where,
            "sign_in_code",
            user.email or "",
            mails.language_of(user),
            secret=sent.code,
            minutes=sent_codes.MINUTES,
        )
        audit.record(db, tries.code_event(turn, user, "email", "second factor"))
    return None


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    return tries.code_of(turn, user, _SECOND, typed, assurance.EMAIL)


def _shown(turn: Turn, user: User) -> dict[str, Any]:
    waiting = tries.codes().is_waiting(turn.where.id, turn.found.id, _SECOND)
    return {"is_sent": waiting, "sent_to": _masked(user.email or "")}


def _masked(address: str) -> str:
    """An e-mail address as its owner knows it again, and nobody learns it."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


ASKING = Asking(later("Code by e-mail"), "sent", _shown, _verify, _send)
