"""Every table, one file per subject. Importing this package fills the metadata."""

from app.domain.models.access import Group, GroupRole, Role, UserGroup, UserRole
from app.domain.models.authenticators import (
    Authenticator,
    FormerPassword,
    OneTimeLink,
    RecoveryCode,
    TenantAsset,
    TrustedDevice,
)
from app.domain.models.clients import Client
from app.domain.models.grants import Consent, Grant, GrantConsent, RefreshFamily, Revocation
from app.domain.models.registrations import InitialAccessToken, RegisteredClient
from app.domain.models.resources import AuthorizationDetailsType, Resource, ResourceScope
from app.domain.models.tenants import Tenant
from app.domain.models.trusted_issuers import TrustedIssuer
from app.domain.models.users import AdminLink, User
from app.infra.key_tables import DeploymentSecret, SigningKey
from app.infra.log_tables import AuditCursor, AuditHead, AuditRecord, MailboxMessage, OutboxMessage

__all__ = [
    "AdminLink",
    "AuditCursor",
    "AuditHead",
    "AuditRecord",
    "Authenticator",
    "AuthorizationDetailsType",
    "Client",
    "Consent",
    "DeploymentSecret",
    "FormerPassword",
    "Grant",
    "GrantConsent",
    "Group",
    "GroupRole",
    "InitialAccessToken",
    "MailboxMessage",
    "OneTimeLink",
    "OutboxMessage",
    "RecoveryCode",
    "RefreshFamily",
    "RegisteredClient",
    "Resource",
    "ResourceScope",
    "Revocation",
    "Role",
    "SigningKey",
    "Tenant",
    "TenantAsset",
    "TrustedDevice",
    "TrustedIssuer",
    "User",
    "UserGroup",
    "UserRole",
]
