"""`/api/v1/me/grants`: what the caller allowed applications, and which ones stay signed in without having asked."""

from uuid import UUID

from app.domain import consents, grants, lasting_grants, user_agents
from app.domain.lasting_grants import LastingGrant
from app.infra import audit
from app.web import i18n, pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import GrantList, GrantView, LastingGrantView, Withdrawn


def listed(caller: Caller, _query: NoQuery) -> GrantList:
    """Every standing consent, and every lasting grant that stands on none."""
    parts, tenant = pages.services(), caller.tenant
    with parts.tenancy.session(tenant.id) as session:
        used = grants.last_used(session, caller.user.id)
        standing = consents.of_user(session, caller.user.id)
        shown = [
            GrantView(
                id=consent.id,
                client_id=consent.client_id,
                client_name=_name(caller, consent.client_id),
                resource=consent.resource or tenant.issuer,
                scopes=sorted(consent.scopes),
                allowed_at=consent.updated_at,
                last_used_at=used.get(consent.client_id),
            )
            for consent in standing
        ]
        lasting = lasting_grants.without_consent(session, caller.user.id)
    return GrantList(grants=shown, lasting=[_lasting(caller, one) for one in lasting])


def withdraw(caller: Caller, _query: NoQuery, grant_id: UUID) -> Withdrawn:
    """Take one of either kind back, and everything that stands on it. Raises `Problem` (`consent.unknown`)."""
    parts, tenant, user_id = pages.services(), caller.tenant, caller.user.id
    with parts.tenancy.session(tenant.id, write=True) as session:
        grant = lasting_grants.revoke(session, str(grant_id), user_id=user_id, log=parts.revocations)
        if grant is not None:
            audit.record(session, caller.event("grant.revoked", **lasting_grants.on_record(grant)))
            return Withdrawn(id=grant.id)
        consent = consents.withdraw(session, str(grant_id), user_id=user_id, log=parts.revocations)
        event = caller.event(
            "consent.withdrawn", resource=consent.resource or tenant.issuer, scopes=consent.scopes
        )
        audit.record(session, event)
        return Withdrawn(id=consent.id)


def _lasting(caller: Caller, one: LastingGrant) -> LastingGrantView:
    agent = user_agents.describe(one.user_agent)
    return LastingGrantView(
        id=one.id,
        client_id=one.client_id,
        client_name=_name(caller, one.client_id),
        resources=list(one.resources),
        scopes=list(one.scopes),
        browser=agent.browser or None,
        system=agent.system or None,
        device=agent.device or None,
        ip=one.ip or None,
        place=(pages.services().places.name(one.ip, i18n.language()) or None) if one.ip else None,
        signed_in_at=one.since,
        last_used_at=one.last_used,
    )


def _name(caller: Caller, client_id: str) -> str:
    client = pages.services().clients.get(caller.tenant.id, client_id)
    return client.name if client else client_id
