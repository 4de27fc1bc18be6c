"""One-time links: who has one may do one thing, once, until it expires. Only the hash of the secret is kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.domain.models import OneTimeLink
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
    """A new link's token, 256 bits, told once. Earlier links of the same purpose for the same person stop working."""
    if user_id is not None:
        withdraw_of(session, user_id, purpose)
    token = new_secret()
    session.add(
        OneTimeLink(
            purpose=purpose,
            token_hash=lookup_hash(token),
            user_id=user_id,
            data=data or {},
            created_by=created_by,
            expires_at=expires_at or clock.after(LIFETIME_SECONDS[purpose]),
        )
    )
    session.flush()
    return token


def find(session: Session, purpose: str, token: str) -> OneTimeLink | None:
    """The link, while it can be used."""
    return session.scalar(select(OneTimeLink).where(*_usable(purpose, token)))


def take(session: Session, purpose: str, token: str) -> OneTimeLink:
    """Use the link up, in the caller's transaction: of any number of callers exactly one succeeds.

    Raises `Problem` (`link.invalid`, 404) when it was used, has expired, or never was.
    """
    taken = session.execute(
        update(OneTimeLink)
        .where(*_usable(purpose, token))
        .values(consumed_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise Problem("link.invalid", "This link was used before or has expired.", status=404)
    return session.scalars(
        select(OneTimeLink)
        .where(OneTimeLink.token_hash == lookup_hash(token[:_MAX_TOKEN]))
        .execution_options(populate_existing=True)
    ).one()


def withdraw_of(session: Session, user_id: str, *purposes: str) -> None:
    """Have a person's unused links of these purposes, or all of them, work no more."""
    mine = delete(OneTimeLink).where(OneTimeLink.user_id == user_id, OneTimeLink.consumed_at.is_(None))
    if purposes:
        mine = mine.where(OneTimeLink.purpose.in_(purposes))
    session.execute(mine.execution_options(synchronize_session=False))


def _usable(purpose: str, token: str) -> tuple[Any, ...]:
    return (
        OneTimeLink.purpose == purpose,
        OneTimeLink.token_hash == lookup_hash(token[:_MAX_TOKEN]),
        OneTimeLink.consumed_at.is_(None),
        OneTimeLink.expires_at > clock.now(),
    )
