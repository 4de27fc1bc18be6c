"""One-time links that make an administrator (contracts 15)."""

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.domain import users
from app.domain.access import rbac
from app.domain.models import AdminLink, Role, User
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash, new_secret

LIFETIME_SECONDS = 3600


def create(session: Session, *, recover: bool = False, ttl_seconds: int = LIFETIME_SECONDS) -> str:
    """A new link's token, 256 bits, told once: only its hash is kept. Earlier unused links stop working.

    The session is a tenant's own. Raises `Problem` (`admin.exists`) when there is an administrator already,
    unless `recover`.
    """
    if not recover:
        _require_none(session)
    session.execute(
        delete(AdminLink).where(AdminLink.consumed_at.is_(None)).execution_options(synchronize_session=False)
    )
    token = new_secret()
    session.add(
        AdminLink(token_hash=lookup_hash(token), recover=recover, expires_at=clock.after(ttl_seconds))
    )
    session.flush()
    return token


def find(session: Session, token: str) -> AdminLink | None:
    """The link, while it can be used."""
    link = session.scalar(
        select(AdminLink).where(
            AdminLink.token_hash == lookup_hash(token[:64]),
            AdminLink.consumed_at.is_(None),
            AdminLink.expires_at > clock.now(),
        )
    )
    if link is None or (not link.recover and _exists(session)):
        return None
    return link


def consume(
    session: Session, token: str, *, username: str, email: str | None, password_hash: str | None
) -> User:
    """Make the administrator, in the caller's transaction: of any number of callers exactly one succeeds.

    Raises `Problem`: `admin_link.invalid` (used, expired, unknown), `admin.exists`, and those of `users.create`.
    """
    taken = session.execute(
        update(AdminLink)
        .where(
            AdminLink.token_hash == lookup_hash(token[:64]),
            AdminLink.consumed_at.is_(None),
            AdminLink.expires_at > clock.now(),
        )
        .values(consumed_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise Problem("admin_link.invalid", "This link was used before or has expired.", status=404)
    link = session.scalars(select(AdminLink).where(AdminLink.token_hash == lookup_hash(token[:64]))).one()
    rbac.ensure_builtin_roles(session, link.tenant_id)
    # Two links at once: whoever holds the role's row goes first, the other then sees an administrator.
    session.scalars(select(Role).where(Role.name == rbac.SUPER_ADMIN).with_for_update()).one()
    if not link.recover:
        _require_none(session)
    user = users.create(session, username=username, email=email, password_hash=password_hash)
    rbac.give_role(session, user.id, rbac.SUPER_ADMIN)
    return user


def _exists(session: Session) -> bool:
    return bool(rbac.holders(session, rbac.SUPER_ADMIN))


def _require_none(session: Session) -> None:
    if _exists(session):
        raise Problem(
            "admin.exists",
            "There is an administrator already. To make another one without them, use --recover.",
            status=409,
        )
