"""Sessions in words: which browser, where, since when, for which applications."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from app.domain.places import Places
from app.domain.sessions import BrowserSession
from app.domain.user_agents import Agent, describe


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its person, or an administrator, sees it."""

    id: str
    agent: Agent
    ip: str
    """Where it was last active."""
    place: str
    """By the operator's file of places; empty without one."""
    created_at: datetime
    signed_in_at: datetime
    """When its person last showed who they are: `auth_time`."""
    last_active_at: datetime
    amr: tuple[str, ...]
    clients: tuple[str, ...]
    """The names of the applications used in it."""
    is_current: bool


def view(
    session: BrowserSession,
    *,
    places: Places,
    language: str,
    client_name: Callable[[str], str | None],
    current_id: str | None = None,
) -> SessionView:
    """One session. `client_name` knows what a client is called, or None for one that is gone."""
    ip = session.last_ip or session.ip
    return SessionView(
        id=session.sid,
        agent=describe(session.user_agent),
        ip=ip,
        place=places.name(ip, language),
        created_at=session.created_at,
        signed_in_at=session.auth_time,
        last_active_at=session.last_active_at,
        amr=session.amr,
        clients=_names(session.clients, client_name),
        is_current=session.sid == current_id,
    )


def _names(client_ids: Iterable[str], client_name: Callable[[str], str | None]) -> tuple[str, ...]:
    return tuple(name for name in map(client_name, client_ids) if name)
