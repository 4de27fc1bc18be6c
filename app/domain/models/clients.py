"""OAuth clients."""

from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import clock


class Client(TenantOwned, Model):
    """A registered client. Its secret is never here in the clear."""

    __tablename__ = "clients"
    bumps_config_version = True

    client_id: Mapped[str] = mapped_column(primary_key=True)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    """Registration metadata by the names of RFC 7591 section 2 and OIDC Registration section 2, and our own members
    (`profile`, `default_resources`, `allowed_groups`, `claims`, `first_party`, token lifetimes)."""
    secret_hash: Mapped[str | None]
    """`hmac-sha256:<base64url>` of a generated secret, or the argon2id hash of a chosen one (contracts 7)."""
    secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The secret itself, sealed: only where an algorithm needs it (client_secret_jwt, symmetric signatures)."""
    former_secret_hash: Mapped[str | None]
    """What the secret was before it was rotated, still good until `former_secret_expires_at`."""
    former_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    former_secret_expires_at: Mapped[datetime | None]
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
    disabled_at: Mapped[datetime | None]
