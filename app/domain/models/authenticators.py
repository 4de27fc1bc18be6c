"""What people sign in with besides a password, and the one-time links sent to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Counter, Model, TenantOwned
from app.kernel import clock, ids


def _user() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE")


class Authenticator(TenantOwned, Model):
    """A passkey, an authenticator app or a telephone of one person. It counts from `confirmed_at` on."""

    __tablename__ = "authenticators"
    __table_args__ = (
        UniqueConstraint("tenant_id", "lookup"),
        Index("ix_authenticators_tenant_id_user_id", "tenant_id", "user_id"),
        _user(),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    kind: Mapped[str]
    """`passkey`, `totp` or `phone`."""
    name: Mapped[str]
    """What the person calls it."""
    lookup: Mapped[str | None]
    """Of a passkey: its credential id, base64url, by which a sign-in without a user name finds it."""
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What is public of it: a passkey's key, transports and AAGUID; a telephone number."""
    secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of an authenticator app: the shared secret, sealed."""
    counter: Mapped[int] = mapped_column(Counter, default=0)
    """A passkey's signature counter; an authenticator app's last used time step. It only rises."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    confirmed_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class RecoveryCode(TenantOwned, Model):
    """One of a person's single-use recovery codes. Only its keyed hash is kept."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id", "code_hash"), _user())

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    code_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    used_at: Mapped[datetime | None]


class FormerPassword(TenantOwned, Model):
    """A password a person had, so that it is not taken again where the tenant says so."""

    __tablename__ = "former_passwords"
    __table_args__ = (Index("ix_former_passwords_tenant_id_user_id", "tenant_id", "user_id"), _user())

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class TrustedDevice(TenantOwned, Model):
    """A browser in which a person said they need no second factor for a while."""

    __tablename__ = "trusted_devices"
    __table_args__ = (UniqueConstraint("tenant_id", "user_id", "device_id"), _user())

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    device_id: Mapped[str]
    """The id in the browser's sealed device cookie."""
    user_agent: Mapped[str] = mapped_column(default="")
    amr: Mapped[list[str]] = mapped_column(default=list)
    """What was shown when it was trusted."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]


class OneTimeLink(TenantOwned, Model):
    """A link that may be used once: an invitation, a confirmation of an address, a new password. Only the hash of its
    secret is kept."""

    __tablename__ = "one_time_links"
    __table_args__ = (Index("ix_one_time_links_tenant_id_user_id", "tenant_id", "user_id"), _user())

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    purpose: Mapped[str]
    """`invitation`, `verify_email`, `change_email`, `reset_password` or `recover`."""
    token_hash: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str | None]
    """Whom it is for; None while there is no account yet."""
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_by: Mapped[str | None]
    """The administrator who sent it."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    consumed_at: Mapped[datetime | None]


class TenantAsset(TenantOwned, Model):
    """A picture of a tenant's brand, as it is served."""

    __tablename__ = "tenant_assets"

    name: Mapped[str] = mapped_column(primary_key=True)
    """`logo`, `logo-dark`, `icon`, or a client's logo: `client:` and its id."""
    content_type: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str]
    source: Mapped[str | None]
    """Where it was fetched from, if it was."""
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
