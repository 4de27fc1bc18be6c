"""`/api/v1/tenant`: the tenant the caller belongs to."""

from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery, TenantView


def show(caller: Caller, _query: NoQuery) -> TenantView:
    """The tenant with all its settings."""
    tenant = caller.tenant
    return TenantView(
        id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        issuer=tenant.issuer,
        host=tenant.host,
        settings=tenant.settings.model_dump(mode="json"),
    )
