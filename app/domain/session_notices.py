"""Telling applications that a session ended under which they got tokens.

A notice is a row of the outbox, written in the transaction that ends the session, so that the one cannot be without
the other; the worker delivers it. Who took part is read from the grants rather than from the state store, which may
forget. Whoever writes a grant holds the person, and so does whoever ends a session: nobody is missed.

A session that ends by its age ends silently: applications measure their own sessions (OpenID Connect Back-Channel
Logout 1.0 asks for notice of a logout).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.domain.models import Client, Grant, Revocation, Tenant
from app.domain.tenant_settings import TenantSettings
from app.infra import outbox
from app.kernel import clock

TOPIC = "backchannel-logout"
MARGIN = timedelta(minutes=10)
"""The clocks of servers differ. A notice too many does no harm."""


@dataclass(frozen=True, slots=True)
class Part:
    """That a client got tokens under a session."""

    session_id: str
    client_id: str


def parts(database: Session, tenant_id: str, user_id: str, session_ids: Collection[str]) -> list[Part]:
    """Who took part in sessions of a person, in order of first use."""
    named = Grant.session_id.in_(session_ids)
    return _parts(database, tenant_id, user_id, named) if session_ids else []


def put(database: Session, tenant_id: str, user_id: str, session_id: str) -> None:
    """Have everybody told who took part in a session that ends in this transaction."""
    _put(database, tenant_id, user_id, parts(database, tenant_id, user_id, (session_id,)))


def put_all(database: Session, tenant_id: str, user_id: str) -> None:
    """The same for every session of a person that may be alive, before their revocation is written down."""
    settings = database.scalar(select(Tenant.settings).where(Tenant.id == tenant_id))
    longest = TenantSettings.model_validate(settings or {}).sessions.absolute_seconds
    since = clock.now() - timedelta(seconds=longest)
    logged = Revocation.tenant_id == tenant_id
    last = select(func.max(Revocation.created_at)).where(
        logged, Revocation.kind == "user", Revocation.ref == user_id
    )
    if (ended_at := database.scalar(last)) is not None:
        since = max(since, ended_at)
    over = select(Revocation.seq).where(
        logged, Revocation.ref == Grant.session_id, Revocation.kind == "session"
    )
    alive = (Grant.session_id.is_not(None), Grant.created_at > since - MARGIN, ~over.exists())
    _put(database, tenant_id, user_id, _parts(database, tenant_id, user_id, *alive))


def _parts(database: Session, tenant_id: str, user_id: str, *which: ColumnElement[bool]) -> list[Part]:
    rows = database.execute(
        select(Grant.session_id, Grant.client_id)
        .where(Grant.tenant_id == tenant_id, Grant.user_id == user_id, *which)
        .group_by(Grant.session_id, Grant.client_id)
        .order_by(func.min(Grant.created_at))
    )
    return [Part(session_id, client_id) for session_id, client_id in rows if session_id]


def _put(database: Session, tenant_id: str, user_id: str, taking_part: list[Part]) -> None:
    """A row for each of them that wants to be told. Ordered for each client and person, whoever else waits."""
    wanting = _wanting(database, tenant_id, {part.client_id for part in taking_part})
    for part in taking_part:
        if part.client_id in wanting:
            payload = {"client_id": part.client_id, "session_id": part.session_id, "user_id": user_id}
            outbox.put(database, TOPIC, f"{part.client_id} {user_id}", payload, tenant_id=tenant_id)


def _wanting(database: Session, tenant_id: str, client_ids: Collection[str]) -> set[str]:
    if not client_ids:
        return set()
    rows = database.execute(
        select(Client.client_id, Client.metadata_).where(
            Client.tenant_id == tenant_id, Client.client_id.in_(client_ids)
        )
    )
    return {client_id for client_id, metadata in rows if metadata.get("backchannel_logout_uri")}
