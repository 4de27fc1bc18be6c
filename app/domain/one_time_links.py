"""One-time links: who has one may do one thing, once, until it expires. Only the hash of the secret is kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.domain import users
from app.domain.models import OneTimeLink, User
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash, new_secret

INVITATION = "invitation"
REGISTRATION = "registration"
VERIFY_EMAIL = "verify_email"
CHANGE_EMAIL = "change_email"
UNDO_EMAIL = "undo_email"
RESET_PASSWORD = "reset_password"
RECOVER = "recover"

HOUR_SECONDS = 3600
DAY_SECONDS = 86400

LIFETIME_SECONDS = {
    INVITATION: 7 * DAY_SECONDS,
    REGISTRATION: DAY_SECONDS,
    VERIFY_EMAIL: DAY_SECONDS,
    CHANGE_EMAIL: DAY_SECONDS,
    UNDO_EMAIL: 7 * DAY_SECONDS,
    RESET_PASSWORD: HOUR_SECONDS,
    RECOVER: DAY_SECONDS,
}
"""By purpose. An invitation may be given another one."""

STANDING = frozenset({CHANGE_EMAIL, RESET_PASSWORD, RECOVER})
"""What these do is right only for the account as it was when they were made: once its address or its password is
another, or everything issued to the person was revoked, they work no more, whoever changed that and however. A link
that takes a change of address back is none of them: it has to outlive whatever a thief changes next."""

_STANDS_ON = "stands_on"
_MAX_TOKEN = 64


def create(
    session: Session,
    purpose: str,
    *,
    user_id: str | None = None,
    data: dict[str, Any] | None = None,
    created_by: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """A new link's token, 256 bits, told once. Earlier links of the same purpose for the same person stop working, but
    one that takes a change of address back: callers make no other beside it (`undoing`)."""
    kept = dict(data or {})
    if user_id is not None and purpose != UNDO_EMAIL:
        withdraw_of(session, user_id, purpose)
    if user_id is not None and purpose in STANDING:
        kept[_STANDS_ON] = _stood_on(purpose, users.get(session, user_id))
    token = new_secret()
    session.add(
        OneTimeLink(
            purpose=purpose,
            token_hash=lookup_hash(token),
            user_id=user_id,
            data=kept,
            created_by=created_by,
            expires_at=expires_at or clock.after(LIFETIME_SECONDS[purpose]),
        )
    )
    session.flush()
    return token


def find(session: Session, purpose: str, token: str) -> OneTimeLink | None:
    """The link, while it can be used."""
    found = session.scalar(select(OneTimeLink).where(*_usable(purpose, token)))
    if found is None or not _stands(found, users.get(session, found.user_id) if found.user_id else None):
        return None
    return found


def take(session: Session, purpose: str, token: str) -> OneTimeLink:
    """Use the link up, in the caller's transaction: of any number of callers exactly one succeeds.

    Its person is held until that ends. Raises `Problem` (`link.invalid`, 404) when it was used, has expired, never was,
    or the account is no more what it was made for.
    """
    found = session.scalar(select(OneTimeLink).where(*_usable(purpose, token)))
    # Whoever changes the account holds its row: that comes before this and is seen here, or waits.
    user = users.hold(session, found.user_id) if found is not None and found.user_id else None
    if found is None or not _stands(found, user):
        raise _invalid()
    taken = session.execute(
        update(OneTimeLink)
        .where(*_usable(purpose, token))
        .values(consumed_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise _invalid()
    return session.scalars(
        select(OneTimeLink)
        .where(OneTimeLink.token_hash == lookup_hash(token[:_MAX_TOKEN]))
        .execution_options(populate_existing=True)
    ).one()


def withdraw_of(session: Session, user_id: str, *purposes: str) -> None:
    """Have a person's unused links of these purposes work no more; without any, all but those that take a change of
    address back, which are the way back for somebody whose account is in other hands."""
    mine = delete(OneTimeLink).where(OneTimeLink.user_id == user_id, OneTimeLink.consumed_at.is_(None))
    wanted = OneTimeLink.purpose.in_(purposes) if purposes else OneTimeLink.purpose != UNDO_EMAIL
    session.execute(mine.where(wanted).execution_options(synchronize_session=False))


def undoing(session: Session, user_id: str) -> list[OneTimeLink]:
    """The links that may still take a change of a person's address back, the oldest first. There is at most one, where
    nobody makes another beside it: somebody who changes the address twice would have a way back of their own."""
    return list(
        session.scalars(
            select(OneTimeLink)
            .where(
                OneTimeLink.user_id == user_id,
                OneTimeLink.purpose == UNDO_EMAIL,
                OneTimeLink.consumed_at.is_(None),
                OneTimeLink.expires_at > clock.now(),
            )
            .order_by(OneTimeLink.created_at)
        )
    )


def restoring(session: Session, user_id: str, email: str) -> OneTimeLink | None:
    """The link, if there is one, that would bring this very address back."""
    key = users.normalize(email)
    return next(
        (link for link in undoing(session, user_id) if users.normalize(link.data["email"]) == key), None
    )


def withdraw_undoing_since(session: Session, link: OneTimeLink) -> None:
    """Have this link and those work no more that take back changes made after the one it took back: they restore
    addresses of whoever made those. Earlier ones stay: an older address goes before a newer one."""
    session.execute(
        delete(OneTimeLink)
        .where(
            OneTimeLink.user_id == link.user_id,
            OneTimeLink.purpose == UNDO_EMAIL,
            OneTimeLink.consumed_at.is_(None),
            OneTimeLink.created_at >= link.created_at,
        )
        .execution_options(synchronize_session=False)
    )


def _stood_on(purpose: str, user: User | None) -> dict[str, Any] | None:
    """What of an account must not change while a link is to work."""
    if user is None:
        return None
    changed = user.password_changed_at
    found = {"email": user.email_key, "password": changed.isoformat() if changed else None}
    # An administrator makes a recovery link and signs the person out everywhere, in either order.
    return found if purpose == RECOVER else {**found, "epoch": user.epoch}


def _stands(link: OneTimeLink, user: User | None) -> bool:
    if link.purpose not in STANDING:
        return True
    return user is not None and link.data.get(_STANDS_ON) == _stood_on(link.purpose, user)


def _invalid() -> Problem:
    return Problem("link.invalid", "This link was used before or has expired.", status=404)


def _usable(purpose: str, token: str) -> tuple[Any, ...]:
    return (
        OneTimeLink.purpose == purpose,
        OneTimeLink.token_hash == lookup_hash(token[:_MAX_TOKEN]),
        OneTimeLink.consumed_at.is_(None),
        OneTimeLink.expires_at > clock.now(),
    )
