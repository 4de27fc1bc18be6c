"""Keeping a factor somebody added: with recovery codes, a record and a mail, in one transaction.

What is being added waits in the interaction's data until it was shown to work, sealed where it is a secret.
"""

import base64
from collections.abc import Callable
from functools import partial

from flask import Response
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra import audit, limits
from app.infra.audit import Event
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash
from app.protocols.login import engine
from app.protocols.login.factors.outcome import Verified
from app.web import mails, pages, standings, turns
from app.web.factors import tries
from app.web.factors.views import Enrolling
from app.web.turns import Turn

SECRET, NUMBER = "totp-secret", "phone-number"
"""In the interaction's data: what is being added."""
CODES = "recovery-codes"
_PURPOSE = "enrolment"


def kept(
    enrolling: Enrolling, add: Callable[[Session], tuple[str, str]], method: assurance.Method
) -> Response | Turn | str:
    """Keep a factor somebody just showed to have; it counts for this sign-in. Gives what was wrong where they have as
    many as one may have.

    `add` writes it and gives its id and name. Raises what `add` raises besides.
    """
    try:
        return _kept(enrolling, add, method)
    except Problem as problem:
        if problem.code != "factor.too_many":
            raise
        return _("You have as many of these as one may have.")


def _kept(
    enrolling: Enrolling, add: Callable[[Session], tuple[str, str]], method: assurance.Method
) -> Response | Turn:
    turn, user, parts = enrolling.turn, enrolling.user, pages.services()
    where, data = turn.where, dict(turn.found.data)
    with parts.tenancy.session(where.id, write=True) as db:
        # Codes stand in for what is shown second; for what somebody begins with nothing does.
        codes = write(
            db,
            where,
            user,
            add,
            method,
            partial(tries.event_of, turn, user),
            with_codes=not enrolling.is_first,
        )
    if codes:
        data[engine.RECOVERY_CODES] = sealed(turn, CODES, " ".join(codes))
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
    *,
    with_codes: bool = True,
) -> list[str]:
    """Write a factor, the record of it, which `event` makes, and a mail. Gives new recovery codes where the person had
    none."""
    target, name = add(db)
    audit.record(db, event("factor.added", method=method.id, name=name, target=target))
    codes: list[str] = []
    if with_codes and not authenticators.recovery_codes_left(db, user.id):
        codes = new_codes(db, user, event)
    tell(db, where, user, name or method.id, added=True)
    return codes


def new_codes(db: Session, user: User, event: Callable[..., Event]) -> list[str]:
    """New recovery codes instead of those somebody had, and the record of it."""
    made = authenticators.new_recovery_codes(db, pages.services().deployment_secrets.pepper(), user.id)
    audit.record(db, event("recovery.generated", count=len(made)))
    return made


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


def tell_of_codes(db: Session, where: TenantContext, user: User, *, used: bool = False) -> None:
    """Write to somebody that recovery codes were made, or one was `used`, where mail can reach them."""
    parts = pages.services()
    if not user.email or not parts.mailer.can_send:
        return
    if parts.state.execute(limits.RECOVERY_NOTICE.count(where.id, user.id)).ok:
        mails.send(
            db,
            where,
            "recovery_codes",
            user.email,
            mails.language_of(user),
            used=used,
            left=authenticators.recovery_codes_left(db, user.id),
            when=clock.now(),
            link=mails.link(where, "account_factors"),
        )


def sealed(turn: Turn, column: str, text: str) -> str:
    """A secret as the interaction keeps it, for `opened`."""
    parts = pages.services()
    return base64.b64encode(parts.vault.seal(_PURPOSE, text.encode(), **_place(turn, column))).decode("ascii")


def opened(turn: Turn, column: str, text: str) -> str:
    """What was `sealed` for this interaction and column."""
    parts = pages.services()
    return parts.vault.open(_PURPOSE, base64.b64decode(text), **_place(turn, column)).decode()


def _place(turn: Turn, column: str) -> dict[str, str]:
    row = lookup_hash(turn.found.id)
    return {"tenant": turn.where.id, "table": "interactions", "column": column, "row": row}
