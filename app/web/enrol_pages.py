"""The page where somebody adds a second factor, on the way in or from their account, and the one with recovery codes.

**A new view** is a row of `VIEWS` under the id of its factor: `values` gives what its part of the template
(`templates/login/enrol_{id}.html`) shows and may change the turn, `take` answers its form.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response, make_response, request
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash
from app.protocols.login import engine
from app.protocols.login.engine import Need
from app.protocols.login.factors import totp
from app.protocols.login.factors.outcome import Blocked, Verified
from app.protocols.login.interactions import Shown
from app.web import errors, factor_pages, mails, pages, passkey_pages, qr, standings, turns
from app.web.factor_forms import CodesForm, EnrolForm
from app.web.i18n import later
from app.web.page_forms import make_token
from app.web.standings import Standing
from app.web.turns import Turn

SECRET, NUMBER = "totp-secret", "phone-number"
"""In the interaction's data: what is being added. The secret is sealed."""
PURPOSE = "enrolment"
SMS = "sms-enrolment"
"""What a code is for that is sent to a telephone to be added."""
RECOVERY = "recovery-codes"
UNNAMED_APP = later("Authenticator app")
"""What an app is called that was given no name. Kept in English, and said in the reader's language."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

Before = Shown | BrowserSession


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Somebody who adds a factor."""

    turn: Turn
    user: User
    before: Before
    """What they showed so far."""
    wanted: str | None
    """What they came for, where nothing demands it."""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """How one factor is added."""

    label: str
    says: str
    is_offered: Callable[[TenantContext], bool]
    values: Callable[[Enrolling], tuple[dict[str, Any], Turn]]
    take: Callable[[Enrolling, EnrolForm], "Response | Turn | str"]
    """The turn to go on with, a redirect, or what was wrong."""


_WHY = {
    "acr.wanted": later("The application asks for a second step, and you have none yet."),
    "mfa.client": later("The application asks everybody for a second step, and you have none yet."),
    "mfa.policy": later("Your organization asks for a second step, and you have none yet."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The view that was chosen, the only one, or the choice."""
    return _page(turn, standing, request.args.get("way", ""))


def take(turn: Turn, standing: Standing, form: EnrolForm) -> Response | Turn:
    """A step of adding one."""
    way = form.way.data or ""
    view, enrolling = _offered(turn, standing).get(way), _enrolling(turn, standing)
    if view is None or enrolling is None:
        return turn
    taken = view.take(enrolling, form)
    return _page(turn, standing, way, fault=taken) if isinstance(taken, str) else taken


def _page(turn: Turn, standing: Standing, way: str, *, fault: str = "") -> Response:
    offered, enrolling = _offered(turn, standing), _enrolling(turn, standing, fault)
    if enrolling is None:
        raise RuntimeError("a factor is added by somebody")
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    if len(offered) == 1:
        way = next(iter(offered))
    common: dict[str, Any] = {
        "action": turn.action,
        "csrf": make_token(turn.bound_to),
        "why": _(_WHY[reason]) if reason in _WHY else "",
        "fault": fault,
        "can_cancel": turn.asked is not None,
        "leave": pages.url(turn.found.return_to or "account") if enrolling.wanted else "",
    }
    if way not in offered:
        choices = [
            (_(view.label), _(view.says), f"{turn.action}?way={name}", name) for name, view in offered.items()
        ]
        return pages.page("login/enrol.html", opener=True, choices=choices, part="", **common)
    values, changed = offered[way].values(enrolling)
    back = turn.action if len(offered) > 1 else ""
    response = pages.page(
        "login/enrol.html",
        400 if fault else 200,
        opener=True,
        way=way,
        part=f"login/enrol_{way.replace('-', '_')}.html",
        back=back,
        **common,
        **values,
    )
    return changed.deliver(response)


def _offered(turn: Turn, standing: Standing) -> dict[str, View]:
    """The views somebody may use: the one they came for, or all that count as a second factor."""
    wanted = _wanted(turn, standing)
    if wanted is not None:
        view = VIEWS.get(wanted)
        return {wanted: view} if view is not None and view.is_offered(turn.where) else {}
    return {name: view for name, view in VIEWS.items() if name != RECOVERY and view.is_offered(turn.where)}


def _wanted(turn: Turn, standing: Standing) -> str | None:
    is_wish = isinstance(standing.step, Need) and standing.step.reason == "factor.wanted"
    return str((turn.found.visit or {}).get("wants")) if is_wish else None


def _enrolling(turn: Turn, standing: Standing, fault: str = "") -> Enrolling | None:
    before = standing.shown or standing.session
    if standing.user is None or before is None:
        return None
    return Enrolling(turn, standing.user, before, _wanted(turn, standing), fault)


def added(
    enrolling: Enrolling, add: Callable[[Session], tuple[str, str]], method: assurance.Method
) -> Response | Turn:
    """Keep a factor somebody just showed to have: with recovery codes, a record and a mail, in one transaction.

    `add` writes it and gives its id and name. What was shown with it counts for this sign-in. Raises what `add` raises.
    """
    turn, user, parts = enrolling.turn, enrolling.user, pages.services()
    where, data = turn.where, dict(turn.found.data)
    with parts.tenancy.session(where.id, write=True) as db:
        codes = write(db, where, user, add, method, partial(_event, turn, user))
    if codes:
        data[engine.RECOVERY_CODES] = _sealed(turn, RECOVERY, " ".join(codes))
    for name in (SECRET, NUMBER):
        data.pop(name, None)
    if enrolling.wanted is not None:
        data[engine.ENROL] = standings.DONE
    return turns.adds(turn, enrolling.before, Verified(user.id, user.epoch, method), data=data)


def write(
    db: Session,
    where: TenantContext,
    user: User,
    add: Callable[[Session], tuple[str, str]],
    method: assurance.Method,
    event: Callable[..., Event],
) -> list[str]:
    """Write a factor, the record of it, which `event` makes, and a mail. Gives new recovery codes where the person had
    none."""
    target, name = add(db)
    audit.record(db, event("factor.added", method=method.id, name=name, target=target))
    codes: list[str] = []
    if not authenticators.recovery_codes_left(db, user.id):
        codes = _new_codes(db, user, event)
    tell(db, where, user, name or method.id, added=True)
    return codes


def tell(db: Session, where: TenantContext, user: User, name: str, *, added: bool) -> None:
    """Write to somebody that a way to sign in was added or removed, where mail can reach them."""
    if user.email and pages.services().mailer.can_send:
        mails.send(
            db,
            where,
            "factor_changed",
            user.email,
            mails.language_of(user),
            added=added,
            name=name,
            when=clock.now(),
            link=mails.link(where, "account_factors"),
        )


def show_codes(turn: Turn, standing: Standing) -> Response:
    """The new codes, until the person says that they are saved."""
    return pages.page(
        "login/recovery_codes.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        codes=_codes(turn),
    )


def take_codes(turn: Turn, standing: Standing, form: CodesForm) -> Response | Turn:
    """The codes as a file, or on."""
    if form.answer.data == "download":
        title = _("Recovery codes for %(tenant)s", tenant=turn.where.name)
        lines = [title, turn.where.issuer, "", *_codes(turn), "", _("Each code works once.")]
        response = make_response("\n".join(lines) + "\n")
        response.headers["Content-Type"] = "text/plain; charset=utf-8"
        response.headers["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
        return response
    if form.answer.data != "saved":
        return turn
    rest = {name: value for name, value in turn.found.data.items() if name != engine.RECOVERY_CODES}
    return turns.change(turn, data=rest)


def _codes(turn: Turn) -> list[str]:
    sealed = base64.b64decode(turn.found.data[engine.RECOVERY_CODES])
    return pages.services().vault.open(PURPOSE, sealed, **_place(turn, RECOVERY)).decode().split()


def _new_codes(db: Session, user: User, event: Callable[..., Event]) -> list[str]:
    parts = pages.services()
    made = authenticators.new_recovery_codes(db, parts.deployment_secrets.pepper(), user.id)
    audit.record(db, event("recovery.generated", count=len(made)))
    return made


def _sealed(turn: Turn, column: str, text: str) -> str:
    sealed = pages.services().vault.seal(PURPOSE, text.encode(), **_place(turn, column))
    return base64.b64encode(sealed).decode("ascii")


def _place(turn: Turn, column: str) -> dict[str, str]:
    row = lookup_hash(turn.found.id)
    return {"tenant": turn.where.id, "table": "interactions", "column": column, "row": row}


def _event(turn: Turn, user: User, event: str, /, **data: Any) -> Event:
    origin = pages.origin(turn.asked.client_id if turn.asked else None)
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


def _totp_values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    turn, user = enrolling.turn, enrolling.user
    kept = turn.found.data.get(SECRET)
    if kept is None:
        secret = totp.new_secret()
        changed = turns.change(turn, data={**turn.found.data, SECRET: _sealed(turn, SECRET, secret)})
        turn = turn if isinstance(changed, Response) else changed
    else:
        secret = _secret(turn, kept)
    uri = totp.uri(secret, account=user.email or user.username, issuer=turn.where.name)
    groups = [secret[at : at + 4] for at in range(0, len(secret), 4)]
    drawn = Markup(qr.svg(uri, is_document=False))  # noqa: S704  # squares alone: what the address says is not in it
    return {"picture": drawn, "groups": groups, "uri": uri}, turn


def _secret(turn: Turn, kept: str) -> str:
    return pages.services().vault.open(PURPOSE, base64.b64decode(kept), **_place(turn, SECRET)).decode()


def _take_totp(enrolling: Enrolling, form: EnrolForm) -> "Response | Turn | str":
    turn, parts = enrolling.turn, pages.services()
    kept = turn.found.data.get(SECRET)
    if kept is None:
        return turn
    secret = _secret(turn, kept)
    step = totp.step_of(secret, form.code.data or "")
    if step is None:
        return _("That code is not right. Look at the app again.")
    name = form.name.data or UNNAMED_APP

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_totp(
            db, parts.vault, turn.where.id, enrolling.user.id, name=name, secret=secret, step=step
        )
        return row.id, row.name

    return _kept(enrolling, add, assurance.TOTP)


def _phone_values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    number = enrolling.turn.found.data.get(NUMBER, "")
    return {"number": "" if request.args.get("other") else number}, enrolling.turn


def _take_phone(enrolling: Enrolling, form: EnrolForm) -> "Response | Turn | str":
    turn, user = enrolling.turn, enrolling.user
    if form.answer.data == "send":
        return _send_to(turn, user, form.number.data or "")
    number = str(turn.found.data.get(NUMBER, ""))
    attempt = factor_pages.begin(turn, user.id, user.email, "sms", known=True)
    if isinstance(attempt, Blocked):
        return factor_pages.wait(attempt.retry_after_seconds)
    subject = factor_pages.codes().check(turn.where.id, turn.found.id, SMS, form.code.data or "")
    reason = None if number and subject == f"{user.id} {number}" else "factor.code_expired"
    factor_pages.end(attempt, reason, user, assurance.SMS)
    if reason is not None:
        return _("That code is wrong or has expired. Send a new one.")

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_phone(db, user.id, number=number)
        return row.id, row.name

    return _kept(enrolling, add, assurance.SMS)


def number_of(typed: str) -> str | None:
    """A telephone number in international form, as people write it."""
    number = re.sub(r"[\s().\-/]", "", typed)
    number = "+" + number[2:] if number.startswith("00") else number
    return number if _E164.fullmatch(number) else None


def _send_to(turn: Turn, user: User, typed: str) -> "Response | Turn | str":
    number = number_of(typed)
    if number is None:
        errors.note("phone.invalid", "not a number in international form")
        return _("Write the number with its country code, such as +49 170 1234567.")
    if blocked := factor_pages.send_text(turn, user, number, SMS, f"{user.id} {number}"):
        return factor_pages.wait(blocked.retry_after_seconds)
    changed = turns.change(turn, data={**turn.found.data, NUMBER: number})
    return changed if isinstance(changed, Response) else pages.see_other(f"{turn.action}?way=sms")


def _kept(
    enrolling: Enrolling, add: Callable[[Session], tuple[str, str]], method: assurance.Method
) -> "Response | Turn | str":
    try:
        return added(enrolling, add, method)
    except Problem as problem:
        if problem.code != "factor.too_many":
            raise
        return _("You have as many of these as one may have.")


def _codes_values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    with pages.services().tenancy.session(enrolling.turn.where.id) as db:
        return {"codes_left": authenticators.recovery_codes_left(db, enrolling.user.id)}, enrolling.turn


def _take_codes(enrolling: Enrolling, form: EnrolForm) -> "Response | Turn | str":
    turn, user = enrolling.turn, enrolling.user
    with pages.services().tenancy.session(turn.where.id, write=True) as db:
        if not authenticators.holdings(db, user).second_factors:
            return _("Recovery codes stand in for a second step. Add one first.")
        codes = _new_codes(db, user, partial(_event, turn, user))
    # Sealed, as the interaction keeps them until they were seen.
    sealed = _sealed(turn, RECOVERY, " ".join(codes))
    return turns.change(
        turn, data={**turn.found.data, engine.RECOVERY_CODES: sealed, engine.ENROL: standings.DONE}
    )


def _passkey_values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    return {"options": passkey_pages.creation_options(enrolling.turn, enrolling.user)}, enrolling.turn


def _take_passkey(enrolling: Enrolling, form: EnrolForm) -> "Response | Turn | str":
    user = enrolling.user
    try:
        new = passkey_pages.made(enrolling.turn, user, form.credential.data or "")

        def add(db: Session) -> tuple[str, str]:
            row = passkey_pages.keep(db, user, new, authenticators.named(form.name.data or _("Passkey")))
            return row.id, row.name

        return _kept(enrolling, add, new.method)
    except Problem as problem:
        if not problem.code.startswith("passkey."):
            raise
        errors.note(problem.code, problem.detail)
        return _(_PASSKEY_FAULTS[problem.code])


_PASSKEY_FAULTS = {
    "passkey.expired": later("That took too long. Try again."),
    "passkey.invalid": later("This passkey could not be added."),
    "passkey.not_allowed": later("Passkeys of this kind are not accepted here."),
}

VIEWS: dict[str, View] = {
    "passkey": View(
        later("Passkey"),
        later("Your device's lock, or a security key. Nobody can trick you out of it."),
        lambda where: "passkey" in where.settings.authentication.mfa.methods,
        _passkey_values,
        _take_passkey,
    ),
    "totp": View(
        UNNAMED_APP,
        later("Six digits from an app on your phone."),
        lambda where: "totp" in where.settings.authentication.mfa.methods,
        _totp_values,
        _take_totp,
    ),
    "sms": View(
        later("Text message"),
        later("A code sent to your phone. Anybody who takes over your number gets it."),
        lambda where: "sms" in where.settings.authentication.mfa.methods and pages.services().sms.is_on,
        _phone_values,
        _take_phone,
    ),
    RECOVERY: View(
        later("Recovery codes"),
        later("For the day you lose your phone."),
        lambda where: True,
        _codes_values,
        _take_codes,
    ),
}
