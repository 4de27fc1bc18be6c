"""Recovery codes: one of them instead of another factor, and new ones."""

from functools import partial
from typing import Any

from flask import Response
from flask_babel import gettext as _

from app.domain import assurance, authenticators
from app.domain.models import User
from app.infra import audit
from app.protocols.login import engine
from app.protocols.login.factors import recovery
from app.protocols.login.factors.outcome import Blocked
from app.web import pages, standings, turns
from app.web.factor_forms import EnrolForm
from app.web.factors import keeping, tries
from app.web.factors.views import Adding, Asking, Enrolling, Outcome
from app.web.i18n import later
from app.web.turns import Turn


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    attempt = tries.begin(turn, user.id, user.email, "recovery", known=tries.knows(turn, user))
    if isinstance(attempt, Blocked):
        return attempt
    parts = pages.services()
    with parts.tenancy.session(turn.where.id, write=True) as db:
        reason = recovery.verify(db, parts.deployment_secrets.pepper(), user.id, typed)
        if reason is None:
            left = authenticators.recovery_codes_left(db, user.id)
            audit.record(db, tries.event_of(turn, user, "recovery.used", left=left))
            keeping.tell_of_codes(db, turn.where, user, used=True)
    return tries.end(attempt, reason, user, assurance.RECOVERY)


def _left(turn: Turn, user: User) -> dict[str, Any]:
    with pages.services().tenancy.session(turn.where.id) as db:
        return {"codes_left": authenticators.recovery_codes_left(db, user.id)}


def _values(enrolling: Enrolling) -> tuple[dict[str, Any], Turn]:
    return _left(enrolling.turn, enrolling.user), enrolling.turn


def _take(enrolling: Enrolling, form: EnrolForm) -> Response | Turn | str:
    turn, user = enrolling.turn, enrolling.user
    with pages.services().tenancy.session(turn.where.id, write=True) as db:
        if not authenticators.holdings(db, user).second_factors:
            return _("Recovery codes stand in for a second step. Add one first.")
        codes = keeping.new_codes(db, user, partial(tries.event_of, turn, user))
        keeping.tell_of_codes(db, turn.where, user)
    waiting = keeping.sealed(turn, keeping.CODES, " ".join(codes))
    return turns.change(
        turn, data={**turn.found.data, engine.RECOVERY_CODES: waiting, engine.ENROL: standings.DONE}
    )


ASKING = Asking(later("A recovery code"), "recovery", _left, _verify)
ADDING = Adding(
    later("Recovery codes"),
    later("For the day you lose your phone."),
    later("Make new recovery codes"),
    lambda where: True,
    _values,
    _take,
)
