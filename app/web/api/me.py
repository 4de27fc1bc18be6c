"""`/api/v1/me`: who am I?"""

from app.domain.resources import API_SCOPES
from app.web.api.bearer import Caller
from app.web.api.bodies import Me, NoQuery


def show(caller: Caller, _query: NoQuery) -> Me:
    """The caller, as far as the person let the client know: by the scopes of OpenID Connect, or all of it for ours."""
    allowed = set(caller.token.scopes)
    everything = not allowed.isdisjoint(API_SCOPES)
    user, access = caller.user, caller.access
    shows_email = everything or "email" in allowed
    return Me(
        sub=caller.token.claims["sub"],
        tenant=caller.tenant.slug,
        username=user.username if everything or "profile" in allowed else None,
        email=user.email if shows_email else None,
        email_verified=user.email_verified if shows_email else None,
        roles=sorted(access.roles) if everything else [],
        groups=sorted(access.groups) if everything or "groups" in allowed else [],
        permissions=sorted(access.permissions) if everything else [],
        client_id=caller.token.client_id,
        scopes=list(caller.token.scopes),
    )
