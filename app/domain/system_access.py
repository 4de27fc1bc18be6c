"""Work across tenants is on record: every use that `SystemReason` says is audited, in the default tenant's chain."""

from collections.abc import Callable

from app.domain.tenant_directory import TenantDirectory
from app.domain.tenants import DEFAULT_SLUG
from app.infra import audit
from app.infra.tenancy import SystemReason, Tenancy


def recorder(tenancy: Tenancy, tenants: TenantDirectory) -> Callable[[SystemReason], None]:
    """What `Tenancy.on_system_use` calls. Before there is a default tenant there is nothing to reach across."""

    def record(reason: SystemReason) -> None:
        default = tenants.by_slug(DEFAULT_SLUG)
        if default is None:
            return
        event = audit.Event(
            "system.access", tenant_id=default.id, outcome="success", data={"action": reason.label}
        )
        with tenancy.session(default.id, write=True) as session:
            audit.record(session, event)

    return record
