"""`/api/v1/me`: who am I?"""

from app.web.api.bearer import Caller
from app.web.api.bodies import Me, NoQuery


def show(caller: Caller, _query: NoQuery) -> Me:
    """The caller."""
    return Me(
        sub=caller.user.id,
        tenant=caller.tenant.slug,
        username=caller.user.username,
        email=caller.user.email,
        email_verified=caller.user.email_verified,
        roles=sorted(caller.access.roles),
        groups=sorted(caller.access.groups),
        permissions=sorted(caller.access.permissions),
        client_id=caller.token.client_id,
        scopes=list(caller.token.scopes),
    )
