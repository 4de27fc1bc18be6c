"""Protected resources (RFC 8707, RFC 9728) and their scopes."""

from typing import Any

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import ids


class Resource(TenantOwned, Model):
    """An API whose tokens we issue; `identifier` is what clients name in `resource` and tokens carry as `aud`."""

    __tablename__ = "resources"
    bumps_config_version = True
    __table_args__ = (UniqueConstraint("tenant_id", "identifier"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    identifier: Mapped[str]
    """In the canonical form of `kernel.uris.canonical_resource`."""
    name: Mapped[str]
    access_token_format: Mapped[str] = mapped_column(default="jwt")
    """`jwt` (RFC 9068) or `opaque`."""
    access_token_seconds: Mapped[int | None]
    claims: Mapped[list[Any]] = mapped_column(default=list)
    """The claim mapper's rows; see `domain.claims`."""
    include: Mapped[list[str]] = mapped_column(default=list)
    """Which of `roles`, `groups`, `permissions` its access tokens carry."""


class ResourceScope(TenantOwned, Model):
    """A scope of one resource, with the words a person reads at consent."""

    __tablename__ = "resource_scopes"
    bumps_config_version = True
    __table_args__ = (
        UniqueConstraint("tenant_id", "resource_id", "name"),
        ForeignKeyConstraint(
            ["tenant_id", "resource_id"], ["resources.tenant_id", "resources.id"], ondelete="CASCADE"
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    resource_id: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    descriptions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The description in other languages, by language tag."""
    sensitive: Mapped[bool] = mapped_column(default=False)
    max_age_seconds: Mapped[int | None]
    """How recent the sign-in has to be for this scope to be granted."""


class AuthorizationDetailsType(TenantOwned, Model):
    """A type of authorization details (RFC 9396): what they look like, and how a person reads them."""

    __tablename__ = "authorization_details_types"
    bumps_config_version = True

    type: Mapped[str] = mapped_column(primary_key=True)
    resource: Mapped[str | None]
    """The identifier of the API that understands them; None: whichever the token is for."""
    schema: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """JSON Schema 2020-12; see `domain.authorization_details`."""
    words: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The sentence of the consent page by language tag."""
    always_ask: Mapped[bool] = mapped_column(default=False)
    """Consent to them is not remembered."""
