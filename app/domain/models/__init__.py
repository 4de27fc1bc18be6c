"""Every table, one file per subject. Importing this package fills the metadata."""

from app.domain.models.access import Group, GroupRole, Role, UserGroup, UserRole
from app.domain.models.audit import AuditRecord, OutboxMessage
from app.domain.models.clients import Client
from app.domain.models.grants import Consent, Grant, GrantConsent, RefreshFamily, Revocation
from app.domain.models.keys import DeploymentSecret, SigningKey
from app.domain.models.mailbox import MailboxMessage
from app.domain.models.resources import Resource, ResourceScope
from app.domain.models.tenants import Tenant
from app.domain.models.users import AdminLink, User

__all__ = [
    "AdminLink",
    "AuditRecord",
    "Client",
    "Consent",
    "DeploymentSecret",
    "Grant",
    "GrantConsent",
    "Group",
    "GroupRole",
    "MailboxMessage",
    "OutboxMessage",
    "RefreshFamily",
    "Resource",
    "ResourceScope",
    "Revocation",
    "Role",
    "SigningKey",
    "Tenant",
    "User",
    "UserGroup",
    "UserRole",
]
