"""A telephone: a code sent to it, and its number to be added."""

import re
from typing import Any
from urllib.parse import urlsplit

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.models import User
from app.infra import audit
from app.protocols.login.factors.outcome import Blocked
from app.protocols.login.factors.sent_codes import SMS_LIMITS
from app.web import errors, pages, turns
from app.web.factor_forms import EnrolForm
from app.web.factors import keeping, tries
from app.web.factors.views import Adding, Asking, Enrolling, Outcome
from app.web.i18n import later
from app.web.turns import Turn

ENROLMENT = "sms-enrolment"
"""What a code is for that is sent to a telephone to be added."""
_SECOND = "sms-factor"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def number_of(typed: str) -> str | None:
    """A telephone number in international form, as people write it."""
    number = re.sub(r"[\s().\-/]", "", typed)
    number = "+" + number[2:] if number.startswith("00") else number
    return number if _E164.fullmatch(number) else None


def send(turn: Turn, user: User, number: str, purpose: str, subject: str) -> Blocked | None:
    """Send a code to a telephone, unless too many were."""
    where, parts, made = turn.where, pages.services(), tries.codes()
    if blocked := made.allow(where.id, user.id, SMS_LIMITS, turn.terminal.origin):
        return blocked
    sent = made.make(where.id, turn.found.id, purpose, subject)
    text = _("%(code)s is your code for %(tenant)s. Give it to nobody.", code=sent.code, tenant=where.name)
    # Origin-bound one-time codes: telephones fill the code in at this host alone.
    text = f"{text}\n\n@{urlsplit(where.issuer).hostname} #{sent.code}"
    with parts.tenancy.session(where.id, write=True) as db:
        parts.sms.send(db, tenant=where.id, to=number, text=text)
        audit.record(db, tries.code_event(turn, user, "sms", purpose))
    return None


def _send(turn: Turn, user: User) -> Blocked | None:
    number = _number(turn, user)
    return None if number is None else send(turn, user, number, _SECOND, user.id)


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    return tries.code_of(turn, user, _SECOND, typed, assurance.SMS)


def _shown(turn: Turn, user: User) -> dict[str, Any]:
    waiting = tries.codes().is_waiting(turn.where.id, turn.found.id, _SECOND)
    return {"is_sent": waiting, "sent_to": authenticators.masked(_number(turn, user) or "")}


def _number(turn: Turn, user: User) -> str | None:
    """The telephone that was used last, else the newest."""
    with pages.services().tenancy.session(turn.where.id) as db:
        rows = authenticators.of_user(db, user.id, authenticators.PHONE)
    return max(rows, key=lambda row: row.last_used_at or row.created_at).data["number"] if rows else None


def _values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    number = enrolling.turn.found.data.get(keeping.NUMBER, "")
    # Of a number that was just typed and refused the page speaks, not of the one before it.
    is_other = request.args.get("other") or request.form.get("answer") == "send"
    return {"number": "" if is_other else number, "typed": request.form.get("number", "")}, enrolling.turn


def _take(enrolling: Enrolling, form: EnrolForm) -> Response | Turn | str:
    turn, user = enrolling.turn, enrolling.user
    if form.answer.data == "send":
        return _send_to(turn, user, form.number.data or "")
    number = str(turn.found.data.get(keeping.NUMBER, ""))
    attempt = tries.begin(turn, user.id, user.email, "sms", known=True)
    if isinstance(attempt, Blocked):
        return tries.wait(attempt.retry_after_seconds)
    subject = tries.codes().check(turn.where.id, turn.found.id, ENROLMENT, form.code.data or "")
    reason = None if number and subject == f"{user.id} {number}" else "factor.code_expired"
    tries.end(attempt, reason, user, assurance.SMS)
    if reason is not None:
        return _("That code is wrong or has expired. Send a new one.")

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_phone(db, user.id, number=number)
        return row.id, row.name

    return keeping.kept(enrolling, add, assurance.SMS)


def _send_to(turn: Turn, user: User, typed: str) -> Response | Turn | str:
    number = number_of(typed)
    if number is None:
        errors.note("phone.invalid", "not a number in international form")
        return _("Write the number with its country code, such as +49 170 1234567.")
    if blocked := send(turn, user, number, ENROLMENT, f"{user.id} {number}"):
        return tries.wait(blocked.retry_after_seconds)
    changed = turns.change(turn, data={**turn.found.data, keeping.NUMBER: number})
    return changed if isinstance(changed, Response) else pages.see_other(f"{turn.action}?way=sms")


ASKING = Asking(later("Code by text message"), "sent", _shown, _verify, _send)
ADDING = Adding(
    later("Text message"),
    later("A code sent to your phone. Anybody who takes over your number gets it."),
    later("Add a telephone number"),
    lambda where: "sms" in where.settings.authentication.mfa.methods and pages.services().sms.is_on,
    _values,
    _take,
)
