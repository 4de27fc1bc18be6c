"""Making a deployment ready: the tables, the default tenant, its keys."""

from app.kernel.settings import Settings


def prepare(settings: Settings) -> bool:
    """What a server does before it serves; whether somebody administers it.

    Raises `ConfigurationError` when somebody has to act first.
    """
    from app.infra import data_files, migrations

    data_files.require_access(settings)
    migrations.prepare(settings)
    return ensure(settings)


def migrate_and_prepare(settings: Settings) -> None:
    """Migrate as the owner of the tables, then make what a fresh deployment lacks."""
    from app.infra import data_files, migrations

    data_files.require_access(settings)
    migrations.upgrade(settings)
    ensure(settings)


def ensure(settings: Settings) -> bool:
    """Make the default tenant when there is none; whether it has an administrator. Safe from several processes at once.

    Raises `ConfigurationError` when the master key is not the one this database was sealed with.
    """
    from app import wiring
    from app.domain.access import rbac
    from app.domain.first_start import ensure_default_tenant
    from app.domain.tenants import DEFAULT_SLUG

    services = wiring.build(settings)
    try:
        services.deployment_secrets.check()
        ensure_default_tenant(services.tenancy, services.keyring)
        services.versions.touch()
        tenant = services.tenants.by_slug(DEFAULT_SLUG)
        if tenant is None:  # Switched off on purpose; others may be served all the same.
            return True
        with services.tenancy.session(tenant.id) as session:
            return bool(rbac.holders(session, rbac.SUPER_ADMIN))
    finally:
        services.close()
