"""Taking back everything a person has in hand: when they are disabled, get a new password, or ask to be deleted."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.domain import grants, one_time_links
from app.domain.models import Authenticator, Consent, Grant, RecoveryCode, TrustedDevice, User
from app.domain.revocation import Revocations
from app.kernel import clock


def take_back(session: Session, user: User, reason: str, *, revocations: Revocations) -> int:
    """End the person's sessions and trusted devices, revoke their tokens and grants, and withdraw what they consented
    to. Gives how many grants.

    It holds once the session commits. Sessions end by the person's epoch, so that none is missed. Whoever was in the
    account may have allowed an application of their own, which would get in again by a link the owner opens.
    """
    revocations.revoke_user(session, user.tenant_id, user.id)
    standing = session.scalars(select(Grant.id).where(Grant.user_id == user.id, Grant.revoked_at.is_(None)))
    revoked = [
        grants.revoke(session, user.tenant_id, grant_id, reason, log=revocations)
        for grant_id in standing.all()
    ]
    for statement in (
        update(Consent)
        .where(Consent.user_id == user.id, Consent.withdrawn_at.is_(None))
        .values(withdrawn_at=clock.now()),
        delete(TrustedDevice).where(TrustedDevice.user_id == user.id),
    ):
        session.execute(statement.execution_options(synchronize_session=False))
    return sum(revoked)


def disable(session: Session, user: User, *, revocations: Revocations) -> int:
    """Close an account until it is enabled: nothing issued to the person works any more. Gives how many grants."""
    if user.disabled_at is None:
        user.disabled_at = clock.now()
    one_time_links.withdraw_of(session, user.id)
    return take_back(session, user, "user_disabled", revocations=revocations)


def enable(user: User) -> None:
    """Open a disabled account. The person signs in anew."""
    user.disabled_at = None


def forget_factors(session: Session, user: User) -> None:
    """Remove every second factor, passkeys too: the person lost them and enrols new ones."""
    for model in (Authenticator, RecoveryCode):
        session.execute(
            delete(model).where(model.user_id == user.id).execution_options(synchronize_session=False)
        )
