"""Leaving: somebody asks to be deleted, may change their mind for some days, and is then gone for good.

What the audit says of them stays as long as the tenant keeps its audit: the chain of hashes would not hold without it.
It names them by the random id nobody else ever gets; what is written after they are gone has no address any more.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.domain import account_access, one_time_links
from app.domain.access import rbac
from app.domain.models import User
from app.domain.revocation import Revocations
from app.kernel import clock
from app.kernel.errors import Problem


def request(session: Session, user: User, *, grace_days: int, revocations: Revocations) -> datetime:
    """Note the wish, and take everything back at once. Gives when the account goes.

    Raises `Problem` (`account.last_admin`, 409) for the last super_admin: nobody could run the tenant.
    """
    if rbac.holders(session, rbac.SUPER_ADMIN) == [user.id]:
        raise Problem(
            "account.last_admin",
            "You are the only one who may do everything here. Give the role super_admin to somebody else first.",
            status=409,
        )
    user.delete_at = clock.now() + timedelta(days=grace_days)
    one_time_links.withdraw_of(session, user.id)
    account_access.take_back(session, user, "account_leaving", revocations=revocations)
    return user.delete_at


def keep(user: User) -> None:
    """The person changed their mind, or it never was their wish."""
    user.delete_at = None


def is_due(session: Session) -> bool:
    """Whether there is anybody in the session's tenant whose time is up."""
    return session.scalar(select(User.id).where(*_due()).limit(1)) is not None


def next_due(session: Session) -> User | None:
    """Somebody whose time is up, locked: of several workers one gets them."""
    return session.scalar(
        select(User).where(*_due()).order_by(User.delete_at).limit(1).with_for_update(skip_locked=True)
    )


def delete_for_good(session: Session, user: User, *, revocations: Revocations) -> None:
    """Delete the person with everything that is theirs."""
    revocations.revoke_user(session, user.tenant_id, user.id)
    session.delete(user)
    session.flush()


def _due() -> tuple[ColumnElement[bool], ...]:
    return User.delete_at.is_not(None), User.delete_at <= clock.now()
