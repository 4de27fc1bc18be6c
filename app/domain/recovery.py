"""Recovery: an administrator lets somebody in who lost everything they signed in with. Break-glass, and on record."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.domain import one_time_links
from app.domain.access import rbac
from app.domain.access.rbac import Access
from app.domain.models import User
from app.kernel import clock
from app.kernel.errors import Problem


def create(session: Session, user: User, *, by: tuple[str, Access] | None) -> tuple[str, datetime]:
    """The token of a link that sets a new password and removes every other factor, and when it ends.

    `by` is the administrator's id and what they may do; None: an operator at the command line. Raises `Problem`:
    `user.disabled`, and `permission.missing` (403) for somebody who may do more than the administrator.
    """
    if user.disabled_at is not None:
        raise Problem("user.disabled", "The account is disabled. Enable it first.", status=409)
    if by is not None:
        require_no_more(rbac.access_of(session, user.id), by[1])
    expires_at = clock.after(one_time_links.LIFETIME_SECONDS[one_time_links.RECOVER])
    token = one_time_links.create(
        session,
        one_time_links.RECOVER,
        user_id=user.id,
        created_by=by[0] if by else None,
        expires_at=expires_at,
    )
    return token, expires_at


def require_no_more(theirs: Access, mine: Access) -> None:
    """Raise `Problem` (`permission.missing`, 403) when somebody may do what I may not: whoever opens or closes an
    account could else become or silence its owner."""
    if rbac.SUPER_ADMIN in theirs.roles and rbac.SUPER_ADMIN not in mine.roles:
        rbac.require(rbac.NOBODY, rbac.SUPER_ADMIN)
    for permission in theirs.permissions:
        rbac.require(mine, permission)
