"""The password, of somebody who began with something else."""

from app.domain.models import User
from app.protocols.login.factors.outcome import Failed, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.web import pages
from app.web.factors.views import Asking, Outcome, nothing
from app.web.i18n import later
from app.web.turns import Turn


def _verify(turn: Turn, user: User, typed: str) -> Outcome:
    parts, at = pages.services(), turn.terminal
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    outcome = factor.attempt(turn.where, user.username, typed, device=at.device, origin=at.origin)
    # A user name is one person's, but it may have become another's just now.
    if isinstance(outcome, Verified) and outcome.user_id != user.id:
        return Failed("password.wrong")
    return Failed("password.wrong") if isinstance(outcome, Failed) else outcome


ASKING = Asking(later("Your password"), "password", nothing, _verify)
