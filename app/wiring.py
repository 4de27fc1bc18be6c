"""Where the parts are put together: explicit, in one place, with nothing registered at import."""

from collections.abc import Collection
from functools import partial

from sqlalchemy import select

from app.domain import authenticators, client_secrets, refresh, system_access
from app.domain.authorization_details import DetailsTypes
from app.domain.bot_defence import ProofOfWork
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientDirectory
from app.domain.devices_pending import DevicesPending
from app.domain.models import Authenticator, Client, OutboxMessage, RefreshFamily, Tenant
from app.domain.new_passwords import NewPasswords
from app.domain.places import Places
from app.domain.refresh import RefreshTokens
from app.domain.registered_clients import RegisteredClients
from app.domain.resources import ResourceDirectory
from app.domain.revocation import SWEEP_SECONDS, Revocations
from app.domain.sessions import Sessions
from app.domain.tenant_directory import TenantDirectory
from app.domain.trusted_issuers import TrustedIssuers
from app.infra import attestation_trust, breached, database, mail, metrics, sms
from app.infra.cache import ConfigCache
from app.infra.fetch import Fetcher
from app.infra.geoip import GeoFile
from app.infra.keyring import Keyring
from app.infra.mail import Mailer
from app.infra.outbox import Outbox
from app.infra.page_slots import PageSlots
from app.infra.pairwise import PairwiseSubjects
from app.infra.passwords import Passwords
from app.infra.rewrap import SealedColumn, SealedMember
from app.infra.sms import Texter
from app.infra.state import StateStore
from app.infra.state import sql as sql_state
from app.infra.tenancy import SystemReason, Tenancy
from app.infra.vault import DeploymentSecrets, Vault
from app.infra.versions import ConfigVersions
from app.kernel.settings import Settings
from app.protocols.oauth.client_keys import ClientKeys
from app.protocols.oauth.dpop import Dpop
from app.protocols.oauth.sender import Sender
from app.serving.sizing import (
    CONNECTIONS,
    PAGE_THREADS,
    PAGES_AT_ONCE,
    SIGN_IN_THREADS,
    hashing_at_once,
)
from app.web.services import Services

__all__ = ["Services", "build"]

SEALED = (
    SealedColumn(refresh.PURPOSE, RefreshFamily, "secret_sealed", "id"),
    SealedColumn(client_secrets.PURPOSE, Client, "secret_sealed", "client_id"),
    SealedColumn(client_secrets.PURPOSE, Client, "former_secret_sealed", "client_id"),
    SealedColumn(authenticators.PURPOSE, Authenticator, "secret_sealed", "id"),
    SealedMember(sms.PURPOSE, OutboxMessage, "payload", "id", "sealed", "id", ("topic", sms.TOPIC)),
    SealedMember(mail.PURPOSE, OutboxMessage, "payload", "id", "sealed", "id", ("topic", mail.TOPIC)),
)
"""What `keys rewrap` seals anew beside the keyring's own."""


def build(settings: Settings, *, state: StateStore | None = None, hashing_apart: bool = False) -> Services:
    """Every part of a process, over a migrated database. Connects to nothing but to show the master key opens it.
    With `hashing_apart` passwords are hashed in processes of their own: wanted where many people sign in.

    Raises `ConfigurationError`.
    """
    tenancy = Tenancy(database.make_engine(settings.effective_database_url, pool_size=CONNECTIONS))
    vault = Vault.from_settings(settings)
    deployment_secrets = DeploymentSecrets(tenancy, vault)
    store = state or _state(settings)
    versions = ConfigVersions(tenancy.config_versions)
    cache = ConfigCache(versions)
    at_once = hashing_at_once(settings.workers)
    passwords = Passwords(at_once, max_waiting=SIGN_IN_THREADS, apart=hashing_apart)
    tenants = TenantDirectory(partial(_tenants, tenancy), versions, settings.base_url)
    revocations = Revocations(tenancy, store)
    store.guard(revocations.replay)
    versions.every(SWEEP_SECONDS, revocations.sweep)
    versions.every(metrics.SETTLE_SECONDS, metrics.settle)
    fetcher = Fetcher(settings.fetch_allow)
    secrets = ClientSecrets(deployment_secrets.pepper, passwords, vault, loopback=settings.is_loopback)
    services = Services(
        settings=settings,
        tenancy=tenancy,
        state=store,
        vault=vault,
        deployment_secrets=deployment_secrets,
        versions=versions,
        cache=cache,
        keyring=Keyring(
            tenancy,
            vault,
            cache,
            on_change=versions.touch,
            sealed=SEALED,
            subjects=PairwiseSubjects(deployment_secrets.pairwise_salt),
        ),
        page_slots=PageSlots(PAGES_AT_ONCE, room=PAGE_THREADS),
        passwords=passwords,
        new_passwords=NewPasswords(passwords, breached.configured(settings.breached_passwords, fetcher)),
        fetcher=fetcher,
        client_keys=ClientKeys(fetcher),
        outbox=Outbox(tenancy),
        mailer=Mailer(settings, vault, tenancy),
        sms=Texter(vault, sms.sender_of(settings)),
        tenants=tenants,
        sender=Sender(Dpop(deployment_secrets.pepper), settings.mtls_url),
        clients=ClientDirectory(tenancy, cache),
        resources=ResourceDirectory(tenancy, cache, tenants.issuer_of),
        details_types=DetailsTypes(tenancy, cache),
        client_secrets=secrets,
        registered_clients=RegisteredClients(deployment_secrets.pepper, secrets, revocations),
        refresh_tokens=RefreshTokens(vault),
        revocations=revocations,
        sessions=Sessions(store, revocations),
        trusted_issuers=TrustedIssuers(tenancy, cache),
        devices=DevicesPending(store, deployment_secrets.pepper),
        attestation_trust=attestation_trust.configured(settings),
        bot_defence=ProofOfWork(store, deployment_secrets.pepper),
        places=Places(GeoFile(settings.geoip_file).record if settings.geoip_file else None),
    )
    tenancy.on_system_use = system_access.recorder(tenancy, services.tenants)
    return services


def _state(settings: Settings) -> StateStore:
    """Redis where there is one; else the database: a file beside SQLite's, tables in PostgreSQL."""
    if settings.redis_url:
        from app.infra.state.redis import RedisState

        return RedisState(settings.redis_url, pool_size=CONNECTIONS)
    if settings.is_sqlite:
        return sql_state.embedded(settings.data_dir)
    return sql_state.on_database(settings.effective_database_url)


def _tenants(tenancy: Tenancy, ids: Collection[str] | None) -> list[Tenant]:
    wanted = select(Tenant) if ids is None else select(Tenant).where(Tenant.id.in_(ids))
    with tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
        found = list(session.scalars(wanted))
        session.expunge_all()
        return found
