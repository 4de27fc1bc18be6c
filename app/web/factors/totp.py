"""An authenticator app: a code of it, and its key to be scanned or typed."""

from typing import Any

from flask import Response
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.models import User
from app.protocols.login.factors import totp
from app.protocols.login.factors.outcome import Blocked
from app.web import pages, qr, turns
from app.web.factor_forms import EnrolForm
from app.web.factors import keeping, tries
from app.web.factors.views import Adding, Asking, Enrolling, Outcome, nothing
from app.web.i18n import later
from app.web.turns import Turn

UNNAMED = later("Authenticator app")
"""What an app is called that was given no name. Kept in English, and said in the reader's language."""


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    attempt = tries.begin(turn, user.id, user.email, "totp", known=tries.knows(turn, user))
    if isinstance(attempt, Blocked):
        return attempt
    parts = pages.services()
    with parts.tenancy.session(turn.where.id, write=True) as db:
        reason = totp.verify(db, parts.vault, turn.where.id, user.id, typed)
    return tries.end(attempt, reason, user, assurance.TOTP)


def _values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    turn, user = enrolling.turn, enrolling.user
    waiting = turn.found.data.get(keeping.SECRET)
    if waiting is None:
        secret = totp.new_secret()
        data = {**turn.found.data, keeping.SECRET: keeping.sealed(turn, keeping.SECRET, secret)}
        changed = turns.change(turn, data=data)
        turn = turn if isinstance(changed, Response) else changed
    else:
        secret = keeping.opened(turn, keeping.SECRET, waiting)
    uri = totp.uri(secret, account=user.email or user.username, issuer=turn.where.name)
    groups = [secret[at : at + 4] for at in range(0, len(secret), 4)]
    drawn = Markup(qr.svg(uri, is_document=False))  # noqa: S704  # squares alone: what the address says is not in it
    return {"picture": drawn, "groups": groups, "uri": uri}, turn


def _take(enrolling: Enrolling, form: EnrolForm) -> Response | Turn | str:
    turn, parts = enrolling.turn, pages.services()
    waiting = turn.found.data.get(keeping.SECRET)
    if waiting is None:
        return turn
    secret = keeping.opened(turn, keeping.SECRET, waiting)
    step = totp.step_of(secret, form.code.data or "")
    if step is None:
        return _("That code is not right. Look at the app again.")
    name = form.name.data or UNNAMED

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_totp(
            db, parts.vault, turn.where.id, enrolling.user.id, name=name, secret=secret, step=step
        )
        return row.id, row.name

    return keeping.kept(enrolling, add, assurance.TOTP)


ASKING = Asking(later("Code of your authenticator app"), "code", nothing, _verify)
ADDING = Adding(
    UNNAMED,
    later("Six digits from an app on your phone."),
    later("Add an authenticator app"),
    lambda where: "totp" in where.settings.authentication.mfa.methods,
    _values,
    _take,
)
