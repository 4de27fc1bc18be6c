"""What was allowed: consents, grants, refresh families, and the log of what was taken back."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Counter, Model, TenantOwned, TenantStamped
from app.kernel import clock, ids


def _user() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"], ondelete="CASCADE")


def _client() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", "client_id"], ["clients.tenant_id", "clients.client_id"], ondelete="CASCADE"
    )


def _grant() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", "grant_id"], ["grants.tenant_id", "grants.id"], ondelete="CASCADE"
    )


class Consent(TenantOwned, Model):
    """What a person allowed a client at one resource. Widened, narrowed and withdrawn by that person alone."""

    __tablename__ = "consents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", "client_id", "resource"),
        _user(),
        _client(),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    client_id: Mapped[str]
    resource: Mapped[str] = mapped_column(default="")
    """The resource's identifier; empty for the issuer itself (OpenID scopes)."""
    scopes: Mapped[list[str]] = mapped_column(default=list)
    authorization_details: Mapped[list[Any]] = mapped_column(default=list)
    """What was allowed in detail (RFC 9396); on the row of `consents.DETAILS` alone."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
    withdrawn_at: Mapped[datetime | None]


class Grant(TenantOwned, Model):
    """One authorization event. Codes, access tokens and refresh families carry its id; revoking it revokes them."""

    __tablename__ = "grants"
    __table_args__ = (_user(), _client())

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    user_id: Mapped[str]
    client_id: Mapped[str]
    session_id: Mapped[str | None]
    """The session's public id (`sid`), not the cookie's secret."""
    scopes: Mapped[list[str]] = mapped_column(default=list)
    resources: Mapped[list[str]] = mapped_column(default=list)
    authorization_details: Mapped[list[Any]] = mapped_column(default=list)
    claims_request: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The `claims` parameter (OIDC Core section 5.5), kept for UserInfo and refresh."""
    auth_time: Mapped[datetime]
    amr: Mapped[list[str]] = mapped_column(default=list)
    acr: Mapped[str]
    offline: Mapped[bool] = mapped_column(default=False)
    """`offline_access` was granted: refresh outlives the session."""
    ip: Mapped[str | None]
    """Where the authorization came from, by which a person knows an application that stays signed in; of a device
    (RFC 8628) its own. None where no person was there."""
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    code_redeemed_at: Mapped[datetime | None]
    """Set once, by a conditional write, when the authorization code is redeemed (contracts 3)."""
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None]


class GrantConsent(TenantOwned, Model):
    """Which consents a grant stands on."""

    __tablename__ = "grant_consents"
    __table_args__ = (
        _grant(),
        ForeignKeyConstraint(
            ["tenant_id", "consent_id"], ["consents.tenant_id", "consents.id"], ondelete="CASCADE"
        ),
    )

    grant_id: Mapped[str] = mapped_column(primary_key=True)
    consent_id: Mapped[str] = mapped_column(primary_key=True)


class RefreshFamily(TenantOwned, Model):
    """One line of refresh tokens `family.generation.MAC` (contracts 5). No token is stored."""

    __tablename__ = "refresh_families"
    __table_args__ = (_grant(),)

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    grant_id: Mapped[str]
    secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    generation: Mapped[int] = mapped_column(default=0)
    """The newest generation handed out."""
    bound_to: Mapped[str | None]
    """What has to be proven to use it: `jkt:<thumbprint>` or `x5t#S256:<thumbprint>` where the client is public, and
    only the kind, `jkt` or `x5t#S256`, where the client authenticates (RFC 9449 section 5, RFC 8705 section 7.1)."""
    rotated_at: Mapped[datetime] = mapped_column(default=clock.now)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Revocation(TenantStamped, Model):
    """The log from which revocation marks are replayed into the state store (contracts 3 and 4).

    Ordered by `seq`, which is the high-water mark, over all tenants.
    """

    __tablename__ = "revocations"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    # A number is never given twice, whatever was deleted: it is what the state store is compared by.

    seq: Mapped[int] = mapped_column(Counter, primary_key=True, autoincrement=True)
    kind: Mapped[str]
    """`token`, `grant`, `session` (absolute) or `user`, `client` (epochs)."""
    ref: Mapped[str]
    epoch: Mapped[int | None]
    """For `user` and `client`: tokens carrying a smaller epoch are revoked."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    """When the last token this could concern is gone by itself."""


Index("ix_revocations_tenant_id_ref", Revocation.tenant_id, Revocation.ref)
Index("ix_grants_tenant_id_user_id", Grant.tenant_id, Grant.user_id)
Index("ix_grants_tenant_id_client_id", Grant.tenant_id, Grant.client_id)
Index("ix_refresh_families_tenant_id_grant_id", RefreshFamily.tenant_id, RefreshFamily.grant_id)
Index("ix_revocations_expires_at", Revocation.expires_at)
