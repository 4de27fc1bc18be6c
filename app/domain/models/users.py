"""People, and the one-time links that make the first of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.infra.db import Model, TenantOwned
from app.infra.passwords import cost_ms
from app.kernel import clock, ids


class User(TenantOwned, Model):
    """A person of one tenant. `id` is the subject identifier: random and never reassigned."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("tenant_id", "username_key"),
        UniqueConstraint("tenant_id", "email_key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_subject)
    username: Mapped[str]
    username_key: Mapped[str]
    """The user name as it is compared: NFKC, case-folded."""
    email: Mapped[str | None]
    email_key: Mapped[str | None]
    email_verified: Mapped[bool] = mapped_column(default=False)
    password_hash: Mapped[str | None]
    password_cost_ms: Mapped[int] = mapped_column(default=0)
    """What checking the hash takes, in milliseconds of a slow core; 0 for one made here."""
    claims: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """OpenID Connect standard claims by their own names (OIDC Core section 5.1), and the tenant's custom attributes."""
    epoch: Mapped[int] = mapped_column(default=0)
    """Raised to invalidate every token issued to this person so far."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
    password_changed_at: Mapped[datetime | None]
    must_change_password: Mapped[bool] = mapped_column(default=False)
    """Asked for a new password at the next sign-in."""
    terms_version: Mapped[str | None]
    """The version of the tenant's terms the person agreed to."""
    terms_agreed_at: Mapped[datetime | None]
    delete_at: Mapped[datetime | None]
    """When the account goes for good, since the person asked for that; they may still change their mind."""
    last_signed_in_at: Mapped[datetime | None]
    """Unset: never yet."""
    disabled_at: Mapped[datetime | None]

    @validates("password_hash")
    def _note_cost(self, _key: str, stored: str | None) -> str | None:
        self.password_cost_ms = cost_ms(stored)
        return stored


class AdminLink(TenantOwned, Model):
    """A one-time link that makes an administrator. Only the hash of its secret is kept."""

    __tablename__ = "admin_links"

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    token_hash: Mapped[str] = mapped_column(unique=True)
    recover: Mapped[bool] = mapped_column(default=False)
    """A break-glass link: works although an administrator exists."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    consumed_at: Mapped[datetime | None]


Index("ix_users_tenant_id_created_at", User.tenant_id, User.created_at)
Index("ix_users_tenant_id_password_cost_ms", User.tenant_id, User.password_cost_ms)
