"""`/api/v1/me/sessions`: where the caller is signed in."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from app.domain import one_time_links, session_views
from app.domain.session_views import SessionView
from app.domain.sessions import BrowserSession
from app.infra import audit
from app.kernel import clock
from app.kernel.errors import Problem
from app.web import everywhere, i18n, pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import Ended, EndQuery, Removed, SessionItem, SessionList


def listed(caller: Caller, _query: NoQuery) -> SessionList:
    """Every session of the caller."""
    parts, tenant = pages.services(), caller.tenant
    current = caller.token.claims.get("sid")

    def client_name(client_id: str) -> str | None:
        client = parts.clients.get(tenant.id, client_id)
        return client.name if client else None

    views = [
        session_views.view(
            session,
            places=parts.places,
            language=i18n.language(),
            client_name=client_name,
            current_id=current,
        )
        for session in parts.sessions.of_user(tenant, caller.user.id)
    ]
    signed_in_at = clock.from_timestamp(int(caller.token.claims.get("auth_time", 0)))
    return SessionList(
        sessions=[_shown(view) for view in sorted(views, key=lambda view: not view.is_current)],
        fresh_until={
            area: signed_in_at + timedelta(seconds=seconds)
            for area, seconds in tenant.settings.sessions.reauthenticate_for.items()
        },
    )


def end(caller: Caller, _query: NoQuery, session_id: UUID) -> Removed:
    """End one. Raises `Problem` (`session.unknown`)."""
    found = pages.services().sessions.find(caller.tenant, str(session_id), caller.user.id)
    if found is None:
        raise Problem("session.unknown", "There is no such session.", status=404)
    _end(caller, [found])
    return Removed(id=found.sid)


def end_others(caller: Caller, query: EndQuery) -> Ended:
    """End every session but the one the access token came of, or sign out everywhere."""
    if query.everywhere == "true":
        sid = caller.token.claims.get("sid")
        done = everywhere.sign_out(caller.tenant, caller.user.id, asked_in=sid, event=caller.event)
        return Ended(ended=len(done.sessions), signed_out=len(done.grants))
    mine = pages.services().sessions.of_user(caller.tenant, caller.user.id)
    others = [session for session in mine if session.sid != caller.token.claims.get("sid")]
    _end(caller, others)
    return Ended(ended=len(others), signed_out=0)


def _end(caller: Caller, sessions: Sequence[BrowserSession]) -> None:
    parts = pages.services()
    with parts.tenancy.session(caller.tenant.id, write=True) as db:
        for session in sessions:
            parts.sessions.end(db, caller.tenant, session)
            audit.record(db, caller.event("session.revoked", target=session.sid))
        # Who ends sessions does not trust what was asked for in them.
        one_time_links.withdraw_of(db, caller.user.id, one_time_links.CHANGE_EMAIL)


def _shown(view: SessionView) -> SessionItem:
    return SessionItem(
        id=view.id,
        is_current=view.is_current,
        browser=view.agent.browser or None,
        system=view.agent.system or None,
        device=view.agent.device or None,
        ip=view.ip,
        place=view.place or None,
        created_at=view.created_at,
        signed_in_at=view.signed_in_at,
        last_active_at=view.last_active_at,
        amr=list(view.amr),
        clients=list(view.clients),
    )
