"""Clients: the immutable record a request works with, and the directory that keeps them in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.claims import ClaimRule
from app.domain.client_metadata import CERTIFICATE_SUBJECTS, STORED, ClientMetadata, sector_of, validate
from app.domain.delegation import FederatedCredential, TokenExchangePolicy
from app.domain.models import Client, RegisteredClient, Revocation
from app.infra.cache import ConfigCache
from app.infra.tenancy import Tenancy, tenant_of
from app.kernel import clock, uris
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
    backchannel_logout_uri: str | None
    frontchannel_logout_uri: str | None
    frontchannel_logout_session_required: bool
    grant_types: frozenset[str]
    response_types: frozenset[str]
    scopes: frozenset[str]
    default_resources: tuple[str, ...]
    resource_server_for: frozenset[str]
    allowed_groups: frozenset[str]
    profile: str | None
    """None: the tenant's."""
    first_party: bool
    authorization_challenge: bool
    """It may ask people for their credentials itself."""
    application_type: str
    id_token_signed_response_alg: str
    userinfo_signed_response_alg: str | None
    introspection_signed_response_alg: str
    sector: str | None
    """Whose pairwise subjects it sees (OpenID Connect Core section 8); None: public ones."""
    dpop_bound: bool
    dpop_nonce: bool
    certificate_bound: bool
    certificate_subject: tuple[str, str] | None
    """The member and value its certificate is known by (`CERTIFICATE_SUBJECTS`)."""
    jwks: Mapping[str, Any] | None
    jwks_uri: str | None
    claims: tuple[ClaimRule, ...]
    access_token_seconds: int | None
    refresh_token_seconds: int | None
    refresh_token_rotation: bool
    default_max_age: int | None
    request_object_signing_alg: str | None
    require_signed_request_object: bool
    request_uris: frozenset[str]
    require_pushed_authorization_requests: bool
    authorization_signed_response_alg: str
    authorization_details_types: frozenset[str]
    secret_hash: str | None
    secret_sealed: bytes | None
    former_secret_hash: str | None
    former_secret_sealed: bytes | None
    former_secret_expires_at: datetime | None
    epoch: int
    token_exchange: TokenExchangePolicy
    federated_credentials: tuple[FederatedCredential, ...]
    is_registered: bool
    """It registered itself, and says itself what it is and where people are sent."""
    is_vetted: bool
    """An administrator made it, or approved what it says of itself now."""
    expires_at: datetime | None
    """When one that registered itself is over."""

    @property
    def has_former_secret(self) -> bool:
        """Whether the secret before the present one is still good."""
        until = self.former_secret_expires_at
        return until is not None and clock.now() < until

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= clock.now()

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


def compile_client(row: Client, made: RegisteredClient | None = None) -> ClientRecord:
    """The immutable view of a row; `made` where the client registered itself."""
    is_registered = made is not None
    localized = {k: v for k, v in row.metadata_.items() if "#" in k}
    said = {k: v for k, v in row.metadata_.items() if k not in localized}
    meta = ClientMetadata.model_validate(said, context=STORED)
    everything = {**meta.model_dump(mode="json", exclude_none=True), **localized}
    return ClientRecord(
        client_id=row.client_id,
        name=meta.client_name or row.client_id,
        metadata=MappingProxyType(everything),
        token_endpoint_auth_method=meta.token_endpoint_auth_method,
        token_endpoint_auth_signing_alg=meta.token_endpoint_auth_signing_alg,
        redirect_uris=tuple(meta.redirect_uris),
        post_logout_redirect_uris=tuple(meta.post_logout_redirect_uris),
        backchannel_logout_uri=meta.backchannel_logout_uri,
        frontchannel_logout_uri=meta.frontchannel_logout_uri,
        frontchannel_logout_session_required=meta.frontchannel_logout_session_required,
        grant_types=frozenset(meta.grant_types),
        response_types=frozenset(meta.response_types),
        scopes=frozenset(meta.scope.split()),
        default_resources=tuple(meta.default_resources),
        resource_server_for=frozenset(meta.resource_server_for),
        allowed_groups=frozenset(meta.allowed_groups),
        profile=meta.profile,
        # Whoever may change where people are sent to does not get by without asking them.
        first_party=meta.first_party and not is_registered,
        authorization_challenge=meta.authorization_challenge and not is_registered,
        application_type=meta.application_type,
        id_token_signed_response_alg=meta.id_token_signed_response_alg,
        userinfo_signed_response_alg=meta.userinfo_signed_response_alg,
        introspection_signed_response_alg=meta.introspection_signed_response_alg,
        sector=_sector(meta, row.client_id, is_registered=is_registered),
        dpop_bound=meta.dpop_bound_access_tokens,
        dpop_nonce=meta.dpop_nonce,
        certificate_bound=meta.tls_client_certificate_bound_access_tokens,
        certificate_subject=next(
            ((name, value) for name in CERTIFICATE_SUBJECTS if (value := getattr(meta, name)) is not None),
            None,
        ),
        jwks=MappingProxyType(meta.jwks) if meta.jwks else None,
        jwks_uri=meta.jwks_uri,
        claims=tuple(meta.claims),
        access_token_seconds=meta.access_token_seconds,
        refresh_token_seconds=meta.refresh_token_seconds,
        refresh_token_rotation=meta.refresh_token_rotation,
        default_max_age=meta.default_max_age,
        request_object_signing_alg=meta.request_object_signing_alg,
        require_signed_request_object=meta.require_signed_request_object,
        request_uris=frozenset(uri.partition("#")[0] for uri in meta.request_uris),
        require_pushed_authorization_requests=meta.require_pushed_authorization_requests,
        authorization_signed_response_alg=meta.authorization_signed_response_alg,
        authorization_details_types=frozenset(meta.authorization_details_types),
        secret_hash=row.secret_hash,
        secret_sealed=row.secret_sealed,
        former_secret_hash=row.former_secret_hash,
        former_secret_sealed=row.former_secret_sealed,
        former_secret_expires_at=row.former_secret_expires_at,
        epoch=row.epoch,
        token_exchange=meta.token_exchange,
        federated_credentials=tuple(meta.federated_credentials),
        is_registered=is_registered,
        is_vetted=made is None or made.vetted_at is not None,
        expires_at=made.expires_at if made else None,
    )


def _sector(meta: ClientMetadata, client_id: str, *, is_registered: bool) -> str | None:
    """The sector; a client without a host of its own is alone in its own, which no host can be called."""
    sector = sector_of(meta, is_registered=is_registered)
    return f"client:{client_id}" if sector == "" else sector


class ClientDirectory:
    """Finds enabled clients without asking the database for what has not changed."""

    def __init__(self, tenancy: Tenancy, cache: ConfigCache) -> None:
        self._tenancy = tenancy
        self._cache = cache

    def version(self, tenant_id: str) -> int:
        """What stays the same as long as the tenant and all it has configured do. Raises `Unavailable`."""
        return self._cache.version(tenant_id)

    def get(self, tenant_id: str, client_id: str) -> ClientRecord | None:
        """The client, or None when there is none, it is disabled or its time is over."""
        found = self._cache.get(tenant_id, "client", client_id, lambda: self._load(tenant_id, client_id))
        # The worker has not been round yet.
        return None if found is not None and found.is_over else found

    def any_challenging(self, tenant_id: str) -> bool:
        """Whether the tenant has a client that may ask people for their credentials itself: what discovery says."""
        return self._cache.get(tenant_id, "client", ("challenging",), lambda: self._challenging(tenant_id))

    def _challenging(self, tenant_id: str) -> bool:
        with self._tenancy.session(tenant_id) as session:
            said = Client.metadata_["authorization_challenge"].as_boolean()
            asked = select(Client.client_id).where(said.is_(True), Client.disabled_at.is_(None))
            ids = list(session.scalars(asked))
        found = (self.get(tenant_id, client_id) for client_id in ids)
        return any(client is not None and client.authorization_challenge for client in found)

    def _load(self, tenant_id: str, client_id: str) -> ClientRecord | None:
        with self._tenancy.session(tenant_id) as session:
            found = session.execute(
                select(Client, RegisteredClient)
                .outerjoin(
                    RegisteredClient,
                    (RegisteredClient.tenant_id == Client.tenant_id)
                    & (RegisteredClient.client_id == Client.client_id),
                )
                .where(Client.client_id == client_id, Client.disabled_at.is_(None))
            ).one_or_none()
            if found is None:
                return None
            return compile_client(found.Client, found.RegisteredClient)


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
