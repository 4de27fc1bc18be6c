"""Grants that outlast their session (`offline_access`): how an application stays signed in, and how that ends.

Others' applications have a consent, and a person takes that back (`domain.consents`). The tenant's own ask for none: of
theirs the grant itself is what the person sees, and takes back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from app.domain import grants, users
from app.domain.grants import RevocationLog
from app.domain.models import Grant, GrantConsent, RefreshFamily
from app.domain.revocation import LONGEST_ACCESS_SECONDS, MARGIN_SECONDS
from app.kernel import clock


@dataclass(frozen=True, slots=True)
class LastingGrant:
    """An application that stays signed in somewhere."""

    id: str
    client_id: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    since: datetime
    last_used: datetime
    """When it last got tokens: at its authorization, or at a later refresh."""
    ip: str
    """Where the authorization came from; empty where that is not known."""
    user_agent: str


def without_consent(session: Session, user_id: str) -> list[LastingGrant]:
    """A person's grants that new tokens are still to be had by and no consent stands for, newest first."""
    refreshed = (
        select(
            RefreshFamily.tenant_id, RefreshFamily.grant_id, func.max(RefreshFamily.rotated_at).label("at")
        )
        .where(RefreshFamily.revoked_at.is_(None), RefreshFamily.expires_at > clock.now())
        .group_by(RefreshFamily.tenant_id, RefreshFamily.grant_id)
        .subquery()
    )
    rows = session.execute(
        select(Grant, refreshed.c.at)
        .join(refreshed, (refreshed.c.tenant_id == Grant.tenant_id) & (refreshed.c.grant_id == Grant.id))
        .where(*_lasts(user_id), ~_has_consent())
        .order_by(Grant.created_at.desc(), Grant.id.desc())
    )
    return [_described(grant, rotated_at) for grant, rotated_at in rows]


def revoke(session: Session, grant_id: str, *, user_id: str, log: RevocationLog) -> Grant | None:
    """Take back one of a person's lasting grants that no consent stands for. None when there is no such one."""
    wanted = (*_lasts(user_id), Grant.id == grant_id, ~_has_consent())
    return next(iter(_revoke(session, wanted, "withdrawn", log)), None)


def revoke_of_client(session: Session, client_id: str, *, user_id: str, log: RevocationLog) -> list[Grant]:
    """Take back all of those that an application has of a person."""
    wanted = (*_lasts(user_id), Grant.client_id == client_id, ~_has_consent(), _is_alive())
    return _revoke(session, wanted, "withdrawn", log)


def revoke_all(session: Session, *, user_id: str, log: RevocationLog) -> list[Grant]:
    """Sign out every application that stays signed in as a person, whether a consent stands for it or not. Consents
    stay. Gives the grants that stood until now."""
    # Whoever writes a grant holds the person as well: it is there already, or its session is over by then.
    users.hold(session, user_id)
    return _revoke(session, (*_lasts(user_id), _is_alive()), "signed_out", log)


def on_record(grant: Grant) -> dict[str, Any]:
    """What the event `grant.revoked` says of one."""
    return {
        "target": grant.id,
        "application": grant.client_id,
        "scopes": list(grant.scopes),
        "resources": list(grant.resources),
    }


def _revoke(
    session: Session, wanted: Iterable[ColumnElement[bool]], reason: str, log: RevocationLog
) -> list[Grant]:
    found = session.scalars(select(Grant).where(*wanted).order_by(Grant.created_at)).all()
    return [grant for grant in found if grants.revoke(session, grant.tenant_id, grant.id, reason, log=log)]


def _lasts(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return Grant.user_id == user_id, Grant.offline.is_(True), Grant.revoked_at.is_(None)


def _is_alive() -> ColumnElement[bool]:
    """Whether a code or token of it may still be good: of an exchange, say, there soon is none, and many grants."""
    since = clock.now() - timedelta(seconds=LONGEST_ACCESS_SECONDS + MARGIN_SECONDS)
    refreshed = exists().where(
        RefreshFamily.tenant_id == Grant.tenant_id,
        RefreshFamily.grant_id == Grant.id,
        RefreshFamily.revoked_at.is_(None),
        RefreshFamily.expires_at > since,
    )
    return or_(Grant.created_at > since, refreshed)


def _has_consent() -> ColumnElement[bool]:
    return exists().where(GrantConsent.tenant_id == Grant.tenant_id, GrantConsent.grant_id == Grant.id)


def _described(grant: Grant, rotated_at: datetime) -> LastingGrant:
    return LastingGrant(
        id=grant.id,
        client_id=grant.client_id,
        scopes=tuple(grant.scopes),
        resources=tuple(grant.resources),
        since=grant.created_at,
        last_used=max(grant.created_at, rotated_at),
        ip=grant.ip or "",
        user_agent=grant.user_agent or "",
    )
