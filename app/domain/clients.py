"""Clients: the immutable record a request works with, and the directory that keeps them in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.claims import ClaimRule
from app.domain.client_metadata import ClientMetadata, validate
from app.domain.models import Client, Revocation
from app.infra.cache import ConfigCache
from app.infra.tenancy import Tenancy, tenant_of
from app.kernel import uris
from app.kernel.errors import Problem


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A registered, enabled client, compiled for use: nothing in it changes."""

    client_id: str
    name: str
    metadata: Mapping[str, Any]
    """Every registration member, defaults included."""
    token_endpoint_auth_method: str
    token_endpoint_auth_signing_alg: str | None
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    grant_types: frozenset[str]
    response_types: frozenset[str]
    scopes: frozenset[str]
    default_resources: tuple[str, ...]
    resource_server_for: frozenset[str]
    allowed_groups: frozenset[str]
    profile: str
    first_party: bool
    application_type: str
    id_token_signed_response_alg: str
    jwks: Mapping[str, Any] | None
    jwks_uri: str | None
    claims: tuple[ClaimRule, ...]
    access_token_seconds: int | None
    refresh_token_seconds: int | None
    refresh_token_rotation: bool
    default_max_age: int | None
    secret_hash: str | None
    secret_sealed: bytes | None
    epoch: int

    @property
    def is_public(self) -> bool:
        """Whether it has no credentials of its own (RFC 6749 section 2.1)."""
        return self.token_endpoint_auth_method == "none"

    @property
    def is_native_public(self) -> bool:
        """A public client installed on a device (RFC 8252)."""
        return self.is_public and self.application_type == "native"

    def allows_redirect(self, redirect_uri: str) -> bool:
        """Whether the redirect URI is one of its own (contracts 17)."""
        return any(
            uris.redirect_uri_matches(redirect_uri, registered, native_public=self.is_native_public)
            for registered in self.redirect_uris
        )


def compile_client(row: Client) -> ClientRecord:
    """The immutable view of a row."""
    localized = {k: v for k, v in row.metadata_.items() if "#" in k}
    meta = ClientMetadata.model_validate({k: v for k, v in row.metadata_.items() if k not in localized})
    everything = {**meta.model_dump(mode="json", exclude_none=True), **localized}
    return ClientRecord(
        client_id=row.client_id,
        name=meta.client_name or row.client_id,
        metadata=MappingProxyType(everything),
        token_endpoint_auth_method=meta.token_endpoint_auth_method,
        token_endpoint_auth_signing_alg=meta.token_endpoint_auth_signing_alg,
        redirect_uris=tuple(meta.redirect_uris),
        post_logout_redirect_uris=tuple(meta.post_logout_redirect_uris),
        grant_types=frozenset(meta.grant_types),
        response_types=frozenset(meta.response_types),
        scopes=frozenset(meta.scope.split()),
        default_resources=tuple(meta.default_resources),
        resource_server_for=frozenset(meta.resource_server_for),
        allowed_groups=frozenset(meta.allowed_groups),
        profile=meta.profile,
        first_party=meta.first_party,
        application_type=meta.application_type,
        id_token_signed_response_alg=meta.id_token_signed_response_alg,
        jwks=MappingProxyType(meta.jwks) if meta.jwks else None,
        jwks_uri=meta.jwks_uri,
        claims=tuple(meta.claims),
        access_token_seconds=meta.access_token_seconds,
        refresh_token_seconds=meta.refresh_token_seconds,
        refresh_token_rotation=meta.refresh_token_rotation,
        default_max_age=meta.default_max_age,
        secret_hash=row.secret_hash,
        secret_sealed=row.secret_sealed,
        epoch=row.epoch,
    )


class ClientDirectory:
    """Finds enabled clients without asking the database for what has not changed."""

    def __init__(self, tenancy: Tenancy, cache: ConfigCache) -> None:
        self._tenancy = tenancy
        self._cache = cache

    def get(self, tenant_id: str, client_id: str) -> ClientRecord | None:
        """The client, or None when there is none or it is disabled."""
        return self._cache.get(tenant_id, "client", client_id, lambda: self._load(tenant_id, client_id))

    def _load(self, tenant_id: str, client_id: str) -> ClientRecord | None:
        with self._tenancy.session(tenant_id) as session:
            row = session.scalar(
                select(Client).where(Client.client_id == client_id, Client.disabled_at.is_(None))
            )
            return compile_client(row) if row else None


def create(
    session: Session,
    client_id: str,
    metadata: dict[str, Any],
    *,
    secret_hash: str | None = None,
    secret_sealed: bytes | None = None,
) -> Client:
    """Register a client. Raises `Problem`: `client.metadata_invalid`, or `client.exists` for a taken id."""
    if session.scalar(select(Client.client_id).where(Client.client_id == client_id)):
        raise Problem("client.exists", f"There is a client {client_id} already.", status=409)
    row = Client(
        client_id=client_id,
        metadata_=validate(metadata),
        secret_hash=secret_hash,
        secret_sealed=secret_sealed,
        epoch=last_epoch(session, tenant_of(session), client_id),
    )
    session.add(row)
    session.flush()
    return row


def last_epoch(session: Session, tenant_id: str, client_id: str) -> int:
    """The epoch a client of this id was deleted at, so that its namesake's tokens are not taken for its own."""
    revoked = select(func.max(Revocation.epoch)).where(
        Revocation.tenant_id == tenant_id, Revocation.kind == "client", Revocation.ref == client_id
    )
    return session.scalar(revoked) or 0
