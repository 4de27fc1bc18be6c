"""Grants: one authorization event each. What came of it (codes, tokens, refresh families) falls with it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from app.domain.models import Consent, Grant, GrantConsent, RefreshFamily
from app.kernel import clock, ids

_MAX_USER_AGENT = 400

_REDEEM = (
    update(Grant)
    .where(Grant.id == bindparam("grant_id"), Grant.code_redeemed_at.is_(None), Grant.revoked_at.is_(None))
    .values(code_redeemed_at=bindparam("now"))
    .execution_options(synchronize_session=False)
)


class RevocationLog(Protocol):
    """Where a revoked grant is written down, so that its tokens are refused (see `domain.revocation`)."""

    def revoke_grant(self, session: Session, tenant_id: str, grant_id: str) -> None:
        """Revoke every token of the grant, once the session commits."""


class Redemption(Enum):
    """What came of redeeming a grant's code."""

    WON = "won"
    REPLAYED = "replayed"
    """The code was redeemed before: somebody has a copy of it."""
    REVOKED = "revoked"
    UNKNOWN = "unknown"


def create(
    session: Session,
    *,
    user_id: str,
    client_id: str,
    session_id: str | None,
    scopes: Iterable[str],
    resources: Sequence[str],
    auth_time: datetime,
    amr: Sequence[str],
    acr: str,
    offline: bool,
    consents: Iterable[Consent],
    claims_request: dict[str, Any] | None = None,
    authorization_details: list[Any] | None = None,
    ip: str | None = None,
    user_agent: str | None = None,
) -> Grant:
    """Write down one authorization event under the consents it stands on. `ip` and `user_agent` are those of the
    browser, application or device it was for."""
    grant = Grant(
        id=ids.new_id(),
        user_id=user_id,
        client_id=client_id,
        session_id=session_id,
        scopes=sorted(scopes),
        resources=list(resources),
        authorization_details=authorization_details or [],
        claims_request=claims_request or {},
        auth_time=auth_time,
        amr=list(amr),
        acr=acr,
        offline=offline,
    )
    place(grant, ip, user_agent)
    session.add(grant)
    session.flush()
    session.add_all(GrantConsent(grant_id=grant.id, consent_id=consent.id) for consent in consents)
    session.flush()
    return grant


def place(grant: Grant, ip: str | None, user_agent: str | None) -> None:
    """Say where a grant came from, whatever somebody's User-Agent header holds."""
    grant.ip = ip or None
    grant.user_agent = "".join(filter(str.isprintable, (user_agent or "")[:_MAX_USER_AGENT])) or None


def redeem(session: Session, grant_id: str) -> Redemption:
    """Redeem the grant's authorization code: of any number of callers, in any processes, exactly one gets `WON`.

    The database has the last word (contracts 3): a conditional write, in the caller's transaction.
    """
    won = session.execute(_REDEEM, {"grant_id": grant_id, "now": clock.now()})
    if won.rowcount == 1:  # type: ignore[attr-defined]
        return Redemption.WON
    found = session.execute(
        select(Grant.code_redeemed_at, Grant.revoked_at).where(Grant.id == grant_id)
    ).one_or_none()
    if found is None:
        return Redemption.UNKNOWN
    return Redemption.REPLAYED if found.code_redeemed_at else Redemption.REVOKED


def revoke(session: Session, tenant_id: str, grant_id: str, reason: str, *, log: RevocationLog) -> bool:
    """Revoke a grant, its refresh families and, through `log`, its access tokens. Gives whether it stood until now."""
    moment = clock.now()
    revoked = session.execute(
        update(Grant)
        .where(Grant.id == grant_id, Grant.revoked_at.is_(None))
        .values(revoked_at=moment, revoked_reason=reason)
        .execution_options(synchronize_session=False)
    )
    if revoked.rowcount == 0:  # type: ignore[attr-defined]
        return False
    session.execute(
        update(RefreshFamily)
        .where(RefreshFamily.grant_id == grant_id, RefreshFamily.revoked_at.is_(None))
        .values(revoked_at=moment)
        .execution_options(synchronize_session=False)
    )
    log.revoke_grant(session, tenant_id, grant_id)
    return True


def last_used(session: Session, user_id: str) -> dict[str, datetime]:
    """When each client last got tokens for a person, by client id: at the newest authorization, or a later refresh."""
    rows = session.execute(
        select(Grant.client_id, func.max(Grant.created_at), func.max(RefreshFamily.rotated_at))
        .outerjoin(
            RefreshFamily,
            (RefreshFamily.tenant_id == Grant.tenant_id) & (RefreshFamily.grant_id == Grant.id),
        )
        .where(Grant.user_id == user_id)
        .group_by(Grant.client_id)
    )
    return {client_id: max(filter(None, moments)) for client_id, *moments in rows}


def revoke_of_session(session: Session, tenant_id: str, session_id: str, *, log: RevocationLog) -> list[str]:
    """Revoke the grants that live only as long as a browser session (no `offline_access`). Gives their ids."""
    found = session.scalars(
        select(Grant.id).where(
            Grant.session_id == session_id, Grant.offline.is_(False), Grant.revoked_at.is_(None)
        )
    ).all()
    return [grant_id for grant_id in found if revoke(session, tenant_id, grant_id, "session_ended", log=log)]
