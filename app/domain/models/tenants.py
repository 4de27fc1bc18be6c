"""Tenants (organizations). The one table that is not a tenant's own: it lists them."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantRoot
from app.kernel import clock, ids


class Tenant(TenantRoot, Model):
    """An isolated customer: its own users, clients, keys, issuer and settings."""

    __tablename__ = "tenants"
    bumps_config_version = True

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    host: Mapped[str | None] = mapped_column(unique=True)
    """A host name of its own, in lower case with its port if it has one; the issuer is then that origin."""
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Only what differs from the defaults of `domain.tenant_settings.TenantSettings`."""
    config_version: Mapped[int] = mapped_column(default=1)
    """Rises with every change to anything a process may have cached of this tenant."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    disabled_at: Mapped[datetime | None]
