"""The person tokens are issued about, looked up anew for each of them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.domain import claims as domain_claims
from app.domain.access import rbac
from app.domain.access.rbac import NOBODY
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.protocols.oauth import errors
from app.protocols.oauth.audience import Resources, Target
from app.protocols.oauth.issuance import Subject


def load(
    session: Session,
    user: User | None,
    client: ClientRecord,
    resources: Resources,
    target: Target,
    claims_request: Mapping[str, Any],
    *,
    whole: bool = False,
) -> Subject:
    """What tokens say of a person. Roles and groups are read only where something asks for them.

    With `whole`, every claim about them is there whatever asks for it.
    Raises `OAuthError` for a person who was removed, disabled, or is no longer in a group the client is limited to.
    """
    if user is None or user.disabled_at is not None:
        raise errors.SUBJECT_DISABLED()
    here = [resources[name] for name in target.audience if name in resources]
    asked = claims_request.get("id_token") or {}
    mapped = bool(client.claims) or any(resource.claims for resource in here)
    wants_access = (
        mapped
        or bool(client.allowed_groups)
        or "groups" in target.scopes
        or "groups" in asked
        or any(resource.include for resource in here)
    )
    access = rbac.access_of(session, user.id) if wants_access else NOBODY
    if client.allowed_groups and client.allowed_groups.isdisjoint(access.groups):
        raise errors.SUBJECT_NOT_ALLOWED(f"{user.id} is in none of the groups of {client.client_id}")
    everything = domain_claims.person(user, access) if mapped or asked or whole else {}
    return Subject(user.id, user.epoch, access, everything)
