"""Clients that registered themselves, and the tokens that let them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import clock, ids


class RegisteredClient(TenantOwned, Model):
    """What is known of a client that registered itself, beside what every client has (RFC 7592)."""

    __tablename__ = "registered_clients"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "client_id"], ["clients.tenant_id", "clients.client_id"], ondelete="CASCADE"
        ),
    )

    client_id: Mapped[str] = mapped_column(primary_key=True)
    token_hash: Mapped[str]
    """Keyed hash of the registration access token. It changes with every update."""
    initial_token_id: Mapped[str | None]
    """The initial access token it registered with; that may be deleted since."""
    statement_issuer: Mapped[str | None]
    """Who vouched for it by a software statement."""
    scope_limit: Mapped[list[Any] | None]
    """What an administrator lets it ask for; None: what the tenant lets every client."""
    approved_at: Mapped[datetime | None]
    """None: an administrator has not looked at it yet, and it may do nothing."""
    vetted_at: Mapped[datetime | None]
    """When an administrator approved what it says now; None: nobody did, whether that is needed or not."""
    last_used_at: Mapped[datetime | None]
    """When something was granted to it, to the day: noted now and then, not with every request."""
    expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)


class InitialAccessToken(TenantOwned, Model):
    """A token that lets its bearer register clients (RFC 7591 section 3). Only its keyed hash is kept."""

    __tablename__ = "initial_access_tokens"
    __table_args__ = (UniqueConstraint("tenant_id", "token_hash"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    token_hash: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    """Whom it is for, in the administrator's words."""
    max_uses: Mapped[int | None]
    """None: as many as the tenant takes."""
    uses: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[str | None]
    """The person who made it; None: an operator."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
