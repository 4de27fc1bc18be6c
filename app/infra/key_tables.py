"""Tables of signing keys and of the deployment's own secrets. All sealed.

They lie on this floor because the keyring and the vault, which alone use them, do.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import clock


class SigningKey(TenantOwned, Model):
    """One signing key of one tenant."""

    __tablename__ = "signing_keys"
    __table_args__ = tuple(
        # At most one key of an algorithm is `next` and one `current`, whatever processes race to make them.
        Index(
            f"uq_signing_keys_{state}",
            "tenant_id",
            "alg",
            unique=True,
            sqlite_where=text(f"state = '{state}'"),
            postgresql_where=text(f"state = '{state}'"),
        )
        for state in ("next", "current")
    )
    bumps_config_version = True

    kid: Mapped[str] = mapped_column(primary_key=True)
    """The key's thumbprint (RFC 7638)."""
    alg: Mapped[str]
    public_jwk: Mapped[dict[str, Any]]
    private_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """The private key as PKCS #8 in DER, sealed."""
    state: Mapped[str]
    """`next` (published, not yet used), `current`, `retired` (published, no longer used), `revoked` (gone)."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class DeploymentSecret(Model):
    """A random value of the whole deployment (`pepper`, `pairwise_salt`), sealed by the master key (contracts 6)."""

    __tablename__ = "deployment_secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
