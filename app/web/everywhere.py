"""Signing a person out everywhere: every session, this one too, and every application that stays signed in.

The account console and the API do the same, on record each in its own words.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain import lasting_grants, one_time_links, session_notices
from app.domain.models import Grant
from app.domain.session_notices import Part
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.web import pages


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What ended."""

    sessions: list[BrowserSession]
    grants: list[Grant]
    """Those that would have outlasted their sessions."""
    took_part: list[Part]
    """The applications of the session it was asked for in."""


def sign_out(
    where: TenantContext, user_id: str, *, asked_in: str | None, event: Callable[..., Event]
) -> SignedOut:
    """End everything a person is signed in with, all or nothing. Consents and trusted browsers stay.

    `asked_in` is the public id of the session at hand, `event` makes what goes on record.
    """
    parts = pages.services()
    with parts.tenancy.session(where.id, write=True) as db:
        sessions = parts.sessions.end_all(db, where, user_id)
        grants = lasting_grants.revoke_all(db, user_id=user_id, log=parts.revocations)
        for session in sessions:
            audit.record(db, event("session.revoked", target=session.sid))
        for grant in grants:
            audit.record(db, event("grant.revoked", **lasting_grants.on_record(grant)))
        # Who ends sessions does not trust what was asked for in them.
        one_time_links.withdraw_of(db, user_id, one_time_links.CHANGE_EMAIL)
        here = (asked_in,) if asked_in else ()
        return SignedOut(sessions, grants, session_notices.parts(db, where.id, user_id, here))
