"""Passkeys on the pages: what the browser is asked, and what its answer is worth.

Signing in with one is a part of `web.sign_in`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators, passkey_models, users
from app.domain.assurance import Method
from app.domain.models import Authenticator, User
from app.domain.tenant_settings import PasskeySettings
from app.domain.tenants import TenantContext
from app.infra.attestation_trust import AttestationTrust
from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login.factors import failures, passkey
from app.protocols.login.factors.outcome import Blocked
from app.protocols.login.factors.passkey import New
from app.web import errors, pages
from app.web.factor_forms import EnrolForm
from app.web.factors import keeping, tries
from app.web.factors.views import Adding, Asking, Enrolling, Outcome
from app.web.i18n import later
from app.web.turns import Turn

WAY = "passkey"
REFUSED_MODEL = later("Passkeys of this kind are not accepted here any more. Sign in another way.")


def is_offered(where: TenantContext) -> bool:
    """Whether a sign-in may begin with one."""
    return WAY in where.settings.authentication.methods


def sign_in_options(turn: Turn) -> str:
    """What the sign-in page asks of the browser: any passkey of this place."""
    challenge = _challenges().make(turn.where.id, turn.found.id, passkey.SIGN_IN)
    return passkey.request_options(turn.where, challenge)


def _shown(turn: Turn, user: User) -> dict[str, Any]:
    """What the page of second factors asks: one of the person's."""
    challenge = _challenges().make(turn.where.id, turn.found.id, passkey.SECOND)
    with pages.services().tenancy.session(turn.where.id) as db:
        rows = authenticators.of_user(db, user.id, authenticators.PASSKEY)
        # Those that count. Who has no such is told so when they show one.
        rows = passkey_models.accepted(_settings(turn.where), rows, _trust().report_on) or rows
        return {"options": passkey.request_options(turn.where, challenge, rows)}


def creation_options(turn: Turn, user: User, *, alone: bool = False) -> str:
    """What the browser is asked to make; `alone`: it is all somebody signs in with."""
    challenge = _challenges().make(turn.where.id, turn.found.id, passkey.ENROL)
    with pages.services().tenancy.session(turn.where.id) as db:
        rows = authenticators.of_user(db, user.id, authenticators.PASSKEY)
        return passkey.creation_options(turn.where, challenge, user, _handle(user), rows, alone=alone)


def accepted_signals(where: TenantContext, user: User, rows: Sequence[Authenticator]) -> str:
    """What a page of somebody's own tells the browser about their passkeys, as JSON."""
    return json.dumps(passkey.accepted_signals(where, user, _handle(user), rows))


def unknown_signals(where: TenantContext, answer: str) -> str:
    """What the page tells the browser that refused a passkey nobody has, as JSON; nothing where other tenants share
    the host, as it may be one of theirs."""
    mine = passkey.rp_id(where)
    shares = any(
        each.id != where.id and passkey.rp_id(each) == mine for each in pages.services().tenants.all()
    )
    told = {} if shares else passkey.unknown_signals(where, answer)
    return json.dumps(told) if told else ""


def made(turn: Turn, user: User, answer: str, *, alone: bool = False) -> New:
    """The passkey that was made. Raises `Problem`: `passkey.invalid`, `passkey.not_allowed`, `passkey.compromised`,
    `passkey.expired`."""
    challenge = _challenges().take(turn.where.id, turn.found.id, passkey.ENROL)
    if challenge is None:
        raise Problem("passkey.expired", "That took too long. Try again.")
    return passkey.check_new(turn.where, challenge, answer, _handle(user), _trust(), alone=alone)


def keep(db: Session, user: User, new: New, name: str) -> Authenticator:
    """Keep a new passkey. Raises `Problem` (`factor.too_many`, `passkey.invalid` where somebody has it already)."""
    mine = select(func.count()).where(
        Authenticator.user_id == user.id, Authenticator.kind == authenticators.PASSKEY
    )
    if (db.scalar(mine) or 0) >= authenticators.MAX_OF_A_KIND:
        raise Problem("factor.too_many", "You have as many of these as one may have.", status=409)
    if db.scalar(select(Authenticator.id).where(Authenticator.lookup == new.lookup)) is not None:
        raise Problem("passkey.invalid", "This passkey could not be added.", detail="it is known already")
    row = Authenticator(
        user_id=user.id,
        kind=authenticators.PASSKEY,
        name=name,
        lookup=new.lookup,
        data=new.data,
        counter=new.counter,
        confirmed_at=clock.now(),
    )
    db.add(row)
    db.flush()
    return row


def verify(turn: Turn, user: User | None, answer: str) -> Outcome:
    """One try: of `user` for a second factor, or of whoever it is that signs in."""
    where, parts = turn.where, pages.services()
    with parts.tenancy.session(where.id) as db:
        row = passkey.find(db, answer)
        owner = users.get(db, row.user_id) if row is not None else None
        db.expunge_all()
    # Of whoever is tried, not of whose passkey it is: with a passkey of their own nobody guesses as on a known device.
    subject = user or owner
    known = subject is not None and tries.knows(turn, subject)
    attempt = tries.begin(
        turn,
        subject.id if subject else "?passkey:" + turn.found.id[:16],
        subject.email if subject else None,
        WAY,
        known=known,
        kind=failures.PASSKEY if user is None else failures.FACTOR,
    )
    if isinstance(attempt, Blocked):
        return attempt
    purpose = passkey.SIGN_IN if user is None else passkey.SECOND
    challenge = _challenges().take(where.id, turn.found.id, purpose)
    reason, method = _judged(where, challenge, answer, row, owner, user)
    if method is None or owner is None:
        return tries.end(attempt, reason, owner, assurance.passkey(synced=False, verified=False))
    return tries.end(attempt, None, owner, method)


def _judged(
    where: TenantContext,
    challenge: bytes | None,
    answer: str,
    row: Authenticator | None,
    owner: User | None,
    expected: User | None,
) -> tuple[str, Method | None]:
    if challenge is None:
        return "passkey.expired", None
    if row is None or owner is None or (expected is not None and owner.id != expected.id):
        return "passkey.unknown", None
    try:
        shown = passkey.check(where, challenge, answer, row, names_itself=expected is None)
        if owner.disabled_at is not None:
            return "user.disabled", None
        # The policy may have changed since it was added, or more be known of its model.
        reason = passkey_models.refusal(_settings(where), row.data, _trust().report_on)
        if reason is not None:
            return reason, None
        with pages.services().tenancy.session(where.id, write=True) as db:
            passkey.used(db, shown)
    except Problem as problem:
        if not problem.code.startswith("passkey."):
            raise
        errors.note(problem.code, problem.detail)
        return problem.code, None
    return "", shown.method


def _handle(user: User) -> bytes:
    return passkey.handle_of(pages.services().deployment_secrets.pepper(), user)


def _settings(where: TenantContext) -> PasskeySettings:
    return where.settings.authentication.passkeys


def _trust() -> AttestationTrust:
    return pages.services().attestation_trust


def _challenges() -> passkey.Challenges:
    return passkey.Challenges(pages.services().state)


def _values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    options = creation_options(enrolling.turn, enrolling.user, alone=enrolling.is_first)
    return {"options": options}, enrolling.turn


def _take(enrolling: Enrolling, form: EnrolForm) -> Response | Turn | str:
    user = enrolling.user
    try:
        new = made(enrolling.turn, user, form.credential.data or "", alone=enrolling.is_first)

        def add(db: Session) -> tuple[str, str]:
            row = keep(db, user, new, authenticators.named(form.name.data or _("Passkey")))
            return row.id, row.name

        return keeping.kept(enrolling, add, new.method)
    except Problem as problem:
        if not problem.code.startswith("passkey."):
            raise
        errors.note(problem.code, problem.detail)
        return _(_FAULTS[problem.code])


_FAULTS = {
    "passkey.expired": later("That took too long. Try again."),
    "passkey.invalid": later("This passkey could not be added."),
    "passkey.not_allowed": later("Passkeys of this kind are not accepted here."),
    "passkey.compromised": later("Passkeys of this kind are not accepted here."),
}

ASKING = Asking(later("A passkey"), "passkey", _shown, verify)
ADDING = Adding(
    later("Passkey"),
    later("Your device's lock, or a security key. Nobody can trick you out of it."),
    later("Add a passkey"),
    lambda where: WAY in (*where.settings.authentication.methods, *where.settings.authentication.mfa.methods),
    _values,
    _take,
)
FIRST = replace(ADDING, is_offered=is_offered)
