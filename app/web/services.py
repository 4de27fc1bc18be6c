"""The parts a process is made of, handed to everything that serves requests, commands or jobs."""

from dataclasses import dataclass

from app.domain.authorization_details import DetailsTypes
from app.domain.bot_defence import BotDefence
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientDirectory
from app.domain.devices_pending import DevicesPending
from app.domain.new_passwords import NewPasswords
from app.domain.places import Places
from app.domain.refresh import RefreshTokens
from app.domain.registered_clients import RegisteredClients
from app.domain.resources import ResourceDirectory
from app.domain.revocation import Revocations
from app.domain.sessions import Sessions
from app.domain.tenant_directory import TenantDirectory
from app.domain.trusted_issuers import TrustedIssuers
from app.infra.attestation_trust import AttestationTrust
from app.infra.cache import ConfigCache
from app.infra.fetch import Fetcher
from app.infra.keyring import Keyring
from app.infra.mail import Mailer
from app.infra.outbox import Outbox
from app.infra.page_slots import PageSlots
from app.infra.passwords import Passwords
from app.infra.sms import Texter
from app.infra.state import StateStore
from app.infra.tenancy import Tenancy
from app.infra.vault import DeploymentSecrets, Vault
from app.infra.versions import ConfigVersions
from app.kernel.settings import Settings
from app.protocols.oauth.client_keys import ClientKeys
from app.protocols.oauth.sender import Sender


@dataclass(frozen=True, slots=True)
class Services:
    """Every part, wired. One per process; safe for threads."""

    settings: Settings
    tenancy: Tenancy
    state: StateStore
    vault: Vault
    deployment_secrets: DeploymentSecrets
    versions: ConfigVersions
    cache: ConfigCache
    keyring: Keyring
    page_slots: PageSlots
    passwords: Passwords
    new_passwords: NewPasswords
    fetcher: Fetcher
    outbox: Outbox
    mailer: Mailer
    sms: Texter
    tenants: TenantDirectory
    sender: Sender
    clients: ClientDirectory
    resources: ResourceDirectory
    details_types: DetailsTypes
    client_keys: ClientKeys
    client_secrets: ClientSecrets
    registered_clients: RegisteredClients
    refresh_tokens: RefreshTokens
    revocations: Revocations
    sessions: Sessions
    places: Places
    trusted_issuers: TrustedIssuers
    devices: DevicesPending
    attestation_trust: AttestationTrust
    """Who vouches for the models of passkeys."""
    bot_defence: BotDefence
    """What keeps programs from asking for accounts."""
    sign_in_floor_seconds: float = 0.4
    """The least time a failed sign-in takes (contracts 16)."""

    def close(self) -> None:
        """Let go of threads, processes and connections."""
        self.passwords.close()
        self.versions.close()
        self.state.close()
        self.tenancy.close()
