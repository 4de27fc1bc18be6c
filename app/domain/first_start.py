"""What a fresh deployment needs before it can serve: the default tenant, its built-in roles and its keys."""

from typing import Protocol

from sqlalchemy.exc import IntegrityError

from app.domain import tenants
from app.domain.access.rbac import ensure_builtin_roles
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.errors import Problem

NAME = "Watchword"


class KeyMaker(Protocol):
    """Makes a tenant's signing keys."""

    def ensure(self, tenant_id: str) -> None:
        """Make what is missing. Safe to race."""
        ...


def ensure_default_tenant(tenancy: Tenancy, keys: KeyMaker) -> bool:
    """Make what the default tenant lacks; whether there was none until now.

    Safe to call at every start, from several processes at once: of those that find nothing one makes it.
    """
    with tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
        found = tenants.find(session, tenants.DEFAULT_SLUG)
    made = found is None and _make(tenancy)
    with tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
        tenant = tenants.find(session, tenants.DEFAULT_SLUG)
        assert tenant is not None
    keys.ensure(tenant.id)
    return made


def _make(tenancy: Tenancy) -> bool:
    try:
        with tenancy.system(SystemReason.FIRST_START, write=True) as session:
            found = tenants.find(session, tenants.DEFAULT_SLUG)
            if found is None:
                tenants.create(session, slug=tenants.DEFAULT_SLUG, name=NAME)
                return True
            ensure_builtin_roles(session, found.id)
    except IntegrityError:
        # Another process was first; what it made counts.
        return False
    except Problem as problem:
        # It was first by a moment: between our look and our writing.
        if problem.code != "tenant.exists":
            raise
    return False
