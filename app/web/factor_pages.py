"""The page that asks for a second factor: one view for each, the others a link away.

**A new view** is a row of `VIEWS` under the id of its factor: `values` gives what its part of the template shows,
`verify` answers its form. The template is `templates/login/factor_{template}.html`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from flask_babel import gettext as _
from flask_babel import ngettext

from app.domain import assurance, authenticators
from app.domain.assurance import Method
from app.domain.models import User
from app.infra import audit
from app.infra.audit import Event
from app.protocols.login.engine import Need
from app.protocols.login.factors import recovery, sent_codes, totp
from app.protocols.login.factors.attempts import Attempt, Attempts
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.protocols.login.factors.sent_codes import EMAIL_LIMITS, SMS_LIMITS, SentCodes
from app.web import errors, mails, pages, turns
from app.web.factor_forms import FactorForm
from app.web.i18n import later
from app.web.page_forms import make_token
from app.web.standings import Standing
from app.web.turns import Turn

TRUST = "trust"
"""In the interaction's data: the person wants this browser to go without."""

Outcome = Verified | Failed | Blocked


@dataclass(frozen=True, slots=True)
class View:
    """How one factor is asked for."""

    label: str
    """What the link to it says."""
    template: str
    values: Callable[[Turn, User], dict[str, Any]]
    verify: Callable[[Turn, User, str], Outcome]
    """Checks what was typed, or what the browser answered for the person."""
    send: Callable[[Turn, User], Blocked | None] | None = None
    """Sends the code, where one is sent."""


_WHY = {
    "acr.wanted": later("The application asks for more than you showed so far."),
    "mfa.client": later("The application asks everybody for a second step."),
    "mfa.policy": later("Your organization asks for a second step."),
    "mfa.enrolled": later("You protected your account with a second step."),
}
_FAULTS = {
    "factor.code_wrong": later("That code is not right."),
    "factor.code_used": later("That code was used already. Wait for the next one."),
    "factor.code_expired": later("That code is wrong or has expired. Send a new one."),
    "passkey.cloned": later("That passkey was not accepted."),
    "passkey.expired": later("That took too long. Try again."),
    "passkey.invalid": later("That passkey was not accepted."),
    "passkey.unknown": later("That passkey is not one of yours."),
    "password.wrong": later("That password is not right."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The view that was chosen, or the one the person probably likes best."""
    return page(turn, standing, request.args.get("way", ""))


def take(turn: Turn, standing: Standing, form: FactorForm) -> Response | Turn:
    """One try, or a code to be sent."""
    way, user = form.way.data or "", standing.user
    view = VIEWS.get(way) if way in standing.options else None
    before = standing.shown or standing.session
    if view is None or user is None or before is None:
        return turn
    if form.send.data and view.send is not None:
        blocked = view.send(turn, user)
        return (
            _blocked(turn, standing, way, blocked) if blocked else pages.see_other(f"{turn.action}?way={way}")
        )
    outcome = view.verify(turn, user, _typed(form, way))
    if isinstance(outcome, Blocked):
        return _blocked(turn, standing, way, outcome)
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "second factor refused")
        return page(
            turn,
            standing,
            way,
            fault=_(_FAULTS.get(outcome.reason, _FAULTS["factor.code_wrong"])),
            status=401,
        )
    data = turn.found.data
    if form.trust.data and can_trust(turn, standing):
        data = {**data, TRUST: True}
    return turns.adds(turn, before, outcome, data=data)


def _typed(form: FactorForm, way: str) -> str:
    field = {"password": form.password, "passkey": form.credential}.get(way, form.code)
    return field.data or ""


def page(turn: Turn, standing: Standing, way: str, *, fault: str = "", status: int = 200) -> Response:
    """The page, at the view `way` where the person has it."""
    if standing.user is None or not standing.options:
        raise RuntimeError("a second factor is asked of somebody who has one")
    way = way if way in standing.options else standing.options[0]
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    others = [
        (VIEWS[each].label, f"{turn.action}?way={each}", each) for each in standing.options if each != way
    ]
    return pages.page(
        "login/factor.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        way=way,
        part=f"login/factor_{VIEWS[way].template}.html",
        why=_(_WHY[reason]) if reason in _WHY else "",
        fault=fault,
        others=[(_(label), href, each) for label, href, each in others],
        trust_days=turn.where.settings.authentication.mfa.trusted_device_days
        if can_trust(turn, standing)
        else 0,
        can_cancel=turn.asked is not None,
        **VIEWS[way].values(turn, standing.user),
    )


def can_trust(turn: Turn, standing: Standing) -> bool:
    """Whether the browser may go without from now on: not where the request itself asks for the second factor."""
    more = standing.more
    return (
        turn.where.settings.authentication.mfa.trusted_device_days > 0
        and more is not None
        and more.reason != "acr.wanted"
        and standing.shown is not None
        and standing.shown.session is None
    )


def _blocked(turn: Turn, standing: Standing, way: str, blocked: Blocked) -> Response:
    errors.note(blocked.reason, "second factor refused before anything was checked")
    response = page(turn, standing, way, fault=wait(blocked.retry_after_seconds), status=429)
    response.headers["Retry-After"] = str(blocked.retry_after_seconds)
    return response


def wait(seconds: int) -> str:
    """Too many attempts, and how long it takes."""
    minutes = max(1, -(-seconds // 60))
    return ngettext(
        "Too many attempts. Wait a minute, then try again.",
        "Too many attempts. Wait %(num)s minutes, then try again.",
        minutes,
    )


def begin(turn: Turn, user_id: str, email: str | None, method: str, *, known: bool) -> Attempt | Blocked:
    """Count a try of somebody."""
    parts, at = pages.services(), turn.terminal
    attempts = Attempts(parts.state, floor_seconds=parts.sign_in_floor_seconds)
    return attempts.begin(
        turn.where,
        user_id,
        email,
        method,
        device_id=at.device.id,
        known_device=known,
        origin=at.origin,
    )


def end(attempt: Attempt, reason: str | None, user: User | None, method: Method) -> Verified | Failed:
    """What a counted try came to; `reason` says why it is not good."""
    parts = pages.services()
    attempts = Attempts(parts.state, floor_seconds=parts.sign_in_floor_seconds)
    if reason is not None or user is None:
        return attempts.failed(attempt, reason or "user.unknown")
    attempts.succeeded(attempt)
    return Verified(user.id, user.epoch, method, attempt.known_device)


def codes() -> SentCodes:
    """The codes that are sent."""
    parts = pages.services()
    return SentCodes(parts.state, parts.deployment_secrets.pepper())


def code_event(turn: Turn, user: User, method: str, purpose: str) -> Event:
    """That a code was sent to somebody."""
    origin = turn.terminal.origin
    return Event(
        "auth.code.sent",
        tenant_id=turn.where.id,
        outcome="success",
        user_id=user.id,
        email=user.email,
        ip=origin.ip,
        user_agent=origin.user_agent,
        client_id=origin.client_id,
        data={"method": method, "purpose": purpose},
    )


def _known(turn: Turn, user: User) -> bool:
    return turn.terminal.device.knows(user.id, user.password_changed_at)


def _nothing(turn: Turn, user: User) -> dict[str, Any]:
    return {}


def _verify_totp(turn: Turn, user: User, typed: str) -> Outcome:
    attempt = begin(turn, user.id, user.email, "totp", known=_known(turn, user))
    if isinstance(attempt, Blocked):
        return attempt
    parts = pages.services()
    with parts.tenancy.session(turn.where.id, write=True) as db:
        reason = totp.verify(db, parts.vault, turn.where.id, user.id, typed)
    return end(attempt, reason, user, assurance.TOTP)


def _verify_recovery(turn: Turn, user: User, typed: str) -> Outcome:
    attempt = begin(turn, user.id, user.email, "recovery", known=_known(turn, user))
    if isinstance(attempt, Blocked):
        return attempt
    parts, origin = pages.services(), turn.terminal.origin
    with parts.tenancy.session(turn.where.id, write=True) as db:
        reason = recovery.verify(db, parts.deployment_secrets.pepper(), user.id, typed)
        if reason is None:
            event = Event(
                "recovery.used",
                tenant_id=turn.where.id,
                outcome="success",
                user_id=user.id,
                email=user.email,
                ip=origin.ip,
                user_agent=origin.user_agent,
                data={"left": authenticators.recovery_codes_left(db, user.id)},
            )
            audit.record(db, event)
    return end(attempt, reason, user, assurance.RECOVERY)


def _recovery_values(turn: Turn, user: User) -> dict[str, Any]:
    with pages.services().tenancy.session(turn.where.id) as db:
        return {"codes_left": authenticators.recovery_codes_left(db, user.id)}


def _verify_sent(purpose: str, method: Method) -> Callable[[Turn, User, str], Outcome]:
    def verify(turn: Turn, user: User, typed: str) -> Outcome:
        attempt = begin(turn, user.id, user.email, method.id, known=_known(turn, user))
        if isinstance(attempt, Blocked):
            return attempt
        subject = codes().check(turn.where.id, turn.found.id, purpose, typed)
        return end(attempt, None if subject == user.id else "factor.code_expired", user, method)

    return verify


def _send_email(turn: Turn, user: User) -> Blocked | None:
    where, parts, made = turn.where, pages.services(), codes()
    if blocked := made.allow(where.id, user.id, EMAIL_LIMITS, turn.terminal.origin):
        return blocked
    sent = made.make(where.id, turn.found.id, "email-factor", user.id)
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
        audit.record(db, code_event(turn, user, "email", "second factor"))
    return None


def _email_values(turn: Turn, user: User) -> dict[str, Any]:
    waiting = codes().is_waiting(turn.where.id, turn.found.id, "email-factor")
    return {"is_sent": waiting, "sent_to": masked_address(user.email or "")}


def masked_address(address: str) -> str:
    """An e-mail address as its owner knows it again, and nobody learns it."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def send_text(turn: Turn, user: User, number: str, purpose: str, subject: str) -> Blocked | None:
    """Send a code to a telephone, unless too many were."""
    where, parts, made = turn.where, pages.services(), codes()
    if blocked := made.allow(where.id, user.id, SMS_LIMITS, turn.terminal.origin):
        return blocked
    sent = made.make(where.id, turn.found.id, purpose, subject)
    text = _("%(code)s is your code for %(tenant)s. Give it to nobody.", code=sent.code, tenant=where.name)
    with parts.tenancy.session(where.id, write=True) as db:
        parts.sms.send(db, tenant=where.id, to=number, text=text)
        audit.record(db, code_event(turn, user, "sms", purpose))
    return None


def _send_sms(turn: Turn, user: User) -> Blocked | None:
    number = _number(turn, user)
    return None if number is None else send_text(turn, user, number, "sms-factor", user.id)


def _sms_values(turn: Turn, user: User) -> dict[str, Any]:
    waiting = codes().is_waiting(turn.where.id, turn.found.id, "sms-factor")
    return {"is_sent": waiting, "sent_to": authenticators.masked(_number(turn, user) or "")}


def _number(turn: Turn, user: User) -> str | None:
    """The telephone that was used last, else the newest."""
    with pages.services().tenancy.session(turn.where.id) as db:
        rows = authenticators.of_user(db, user.id, authenticators.PHONE)
    return max(rows, key=lambda row: row.last_used_at or row.created_at).data["number"] if rows else None


def _verify_password(turn: Turn, user: User, typed: str) -> Outcome:
    parts, at = pages.services(), turn.terminal
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    outcome = factor.attempt(turn.where, user.username, typed, device=at.device, origin=at.origin)
    # A user name is one person's, but it may have become another's just now.
    if isinstance(outcome, Verified) and outcome.user_id != user.id:
        return Failed("password.wrong")
    return Failed("password.wrong") if isinstance(outcome, Failed) else outcome


def _passkey_values(turn: Turn, user: User) -> dict[str, Any]:
    from app.web import passkey_pages

    return passkey_pages.factor_options(turn, user)


def _verify_passkey(turn: Turn, user: User, typed: str) -> Outcome:
    from app.web import passkey_pages

    return passkey_pages.verify(turn, user, typed)


VIEWS: dict[str, View] = {
    "passkey": View(later("A passkey"), "passkey", _passkey_values, _verify_passkey),
    "totp": View(later("Code of your authenticator app"), "code", _nothing, _verify_totp),
    "sms": View(
        later("Code by text message"),
        "sent",
        _sms_values,
        _verify_sent("sms-factor", assurance.SMS),
        _send_sms,
    ),
    "email": View(
        later("Code by e-mail"),
        "sent",
        _email_values,
        _verify_sent("email-factor", assurance.EMAIL),
        _send_email,
    ),
    "password": View(later("Your password"), "password", _nothing, _verify_password),
    "recovery": View(later("A recovery code"), "recovery", _recovery_values, _verify_recovery),
}
