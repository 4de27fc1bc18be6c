"""`/api/v1/me/grants`: what the caller allowed applications."""

from uuid import UUID

from app.domain import consents, grants
from app.infra import audit
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import GrantList, GrantView, Withdrawn


def listed(caller: Caller, _query: NoQuery) -> GrantList:
    """Every standing consent."""
    parts, tenant = pages.services(), caller.tenant
    with parts.tenancy.session(tenant.id) as session:
        used = grants.last_used(session, caller.user.id)
        standing = consents.of_user(session, caller.user.id)
        shown = []
        for consent in standing:
            client = parts.clients.get(tenant.id, consent.client_id)
            shown.append(
                GrantView(
                    id=consent.id,
                    client_id=consent.client_id,
                    client_name=client.name if client else consent.client_id,
                    resource=consent.resource or tenant.issuer,
                    scopes=sorted(consent.scopes),
                    allowed_at=consent.updated_at,
                    last_used_at=used.get(consent.client_id),
                )
            )
    return GrantList(grants=shown)


def withdraw(caller: Caller, _query: NoQuery, grant_id: UUID) -> Withdrawn:
    """Take one back, and everything that stands on it. Raises `Problem` (`consent.unknown`)."""
    parts = pages.services()
    with parts.tenancy.session(caller.tenant.id, write=True) as session:
        consent = consents.withdraw(session, str(grant_id), user_id=caller.user.id, log=parts.revocations)
        event = caller.event(
            "consent.withdrawn", resource=consent.resource or caller.tenant.issuer, scopes=consent.scopes
        )
        audit.record(session, event)
        return Withdrawn(id=consent.id)
