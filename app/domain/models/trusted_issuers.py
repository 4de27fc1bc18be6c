"""Issuers outside this server whose tokens a tenant believes."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import clock


class TrustedIssuer(TenantOwned, Model):
    """A cloud, a cluster, a CI system or another authorization server. See `domain.trusted_issuers`."""

    __tablename__ = "trusted_issuers"
    bumps_config_version = True

    issuer: Mapped[str] = mapped_column(primary_key=True)
    """Compared with `iss` as a plain string, never normalised."""
    definition: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Its keys, audiences, algorithms and rules, as the apply file says them: only what was said."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now, onupdate=clock.now)
