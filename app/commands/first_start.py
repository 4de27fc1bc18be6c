"""Making a deployment ready: the tables, the default tenant, its keys."""

from app.kernel.settings import Settings


def prepare(settings: Settings) -> None:
    """What a server does before it serves. Raises `ConfigurationError` when somebody has to act first."""
    from app.infra import migrations

    migrations.prepare(settings)
    ensure(settings)


def migrate_and_prepare(settings: Settings) -> None:
    """Migrate as the owner of the tables, then make what a fresh deployment lacks."""
    from app.infra import migrations

    migrations.upgrade(settings)
    ensure(settings)


def ensure(settings: Settings) -> None:
    """Make the default tenant when there is none. Safe from several processes at once.

    Raises `ConfigurationError` when the master key is not the one this database was sealed with.
    """
    from app import wiring
    from app.domain.first_start import ensure_default_tenant

    services = wiring.build(settings)
    try:
        services.deployment_secrets.check()
        ensure_default_tenant(services.tenancy, services.keyring)
    finally:
        services.close()
