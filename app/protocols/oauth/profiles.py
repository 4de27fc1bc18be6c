"""What a client's profile demands of it. Everything not named here is the same for all.

A profile is data: the checks of the table, client authentication and the token endpoint read it. It is the client's
own, or where the client names none the tenant's (setting `profile`).
"""

from dataclasses import dataclass

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext

FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA", "Ed25519")
"""FAPI 2.0 Security Profile section 5.4."""
FAPI_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")

ANY_ENDPOINT, ISSUER, ISSUER_TEXT = "endpoint", "issuer", "issuer_text"
"""What the `aud` of a client assertion may be: one of our URLs, the issuer, the issuer as text and not as a list."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules a client is held to."""

    name: str
    pkce_from_confidential: bool = True
    """Whether confidential clients have to use PKCE as well. Public ones always do (RFC 9700 section 2.1.1)."""
    assertion_audience: str = ISSUER
    merges_request_objects: bool = False
    """Whether parameters beside a request object count where it does not say them (OIDC Core section 6.1)."""
    request_object_claims: tuple[str, ...] = ("iss", "aud", "exp", "client_id")
    """What a request object may not lack."""
    by_reference: bool = True
    """Whether requests may lie at a registered `request_uris`."""
    pushed: bool = False
    """Whether authorization requests have to be pushed (RFC 9126)."""
    signed_requests: bool = False
    """Whether they have to be signed (RFC 9101)."""
    signed_responses: bool = False
    """Whether authorization responses are signed (JARM)."""
    sender_constrained: bool = False
    """Whether tokens are bound to a key: DPoP or mutual TLS."""
    rotates_refresh_tokens: bool = True
    front_channel_tokens: bool = True
    """Whether the tenant's `legacy_response_types` may reach the client."""
    secure_redirects: bool = False
    """Whether redirect URIs are https or an app's own scheme."""
    auth_methods: tuple[str, ...] | None = None
    """How clients may authenticate; None: as they are registered."""
    algorithms: tuple[str, ...] | None = None
    """What the client signs with, and what is signed for it; None: whatever this server knows."""


_FAPI = {
    "assertion_audience": ISSUER_TEXT,
    "by_reference": False,
    "pushed": True,
    "sender_constrained": True,
    "rotates_refresh_tokens": False,
    "front_channel_tokens": False,
    "secure_redirects": True,
    "auth_methods": FAPI_METHODS,
    "algorithms": FAPI_ALGORITHMS,
}

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("oauth2.1"),
        # Plain OpenID Connect of 2014: its clients are told apart by their secret and bind the code by nonce.
        Profile(
            "oidc-legacy",
            pkce_from_confidential=False,
            assertion_audience=ANY_ENDPOINT,
            merges_request_objects=True,
            request_object_claims=(),
        ),
        Profile("fapi2-security", **_FAPI),  # type: ignore[arg-type]
        Profile(
            "fapi2-message-signing",
            signed_requests=True,
            signed_responses=True,
            # FAPI 2.0 Message Signing section 5.3.1.
            request_object_claims=("iss", "aud", "exp", "nbf", "client_id"),
            **_FAPI,  # type: ignore[arg-type]
        ),
    )
}


def of(client: ClientRecord, tenant: TenantContext) -> Profile:
    """The profile in force for a client."""
    return PROFILES[client.profile or tenant.settings.profile]


def demands_pkce(client: ClientRecord, tenant: TenantContext) -> bool:
    """Whether the client's authorization requests need a code challenge."""
    return client.is_public or of(client, tenant).pkce_from_confidential


def demands_pushing(client: ClientRecord, tenant: TenantContext) -> bool:
    """Whether its requests have to be pushed: by its own metadata, the tenant's, or its profile."""
    settings = tenant.settings
    return (
        client.require_pushed_authorization_requests
        or settings.require_pushed_authorization_requests
        or of(client, tenant).pushed
    )


def demands_signing(client: ClientRecord, tenant: TenantContext) -> bool:
    """Whether its requests have to be signed (RFC 9101 section 10.5)."""
    return client.require_signed_request_object or of(client, tenant).signed_requests


def merges_request_objects(client: ClientRecord, tenant: TenantContext) -> bool:
    """Whether parameters beside a request object count where it does not say them. Where requests have to be signed
    they do not: nobody signed those (RFC 9101 sections 5 and 10.5)."""
    return of(client, tenant).merges_request_objects and not demands_signing(client, tenant)


def rotates(client: ClientRecord, tenant: TenantContext) -> bool:
    """Whether its refresh tokens rotate. Those of a public client always do (RFC 9700 section 4.14.2)."""
    if client.is_public:
        return True
    return client.refresh_token_rotation and of(client, tenant).rotates_refresh_tokens


def accepted_algorithms(registered: str | None, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """What a client may sign with: the one algorithm it registered, under every name it has (RFC 9864), or whatever
    is allowed."""
    if registered is None:
        return allowed
    names = ("EdDSA", "Ed25519") if registered in ("EdDSA", "Ed25519") else (registered,)
    return tuple(name for name in names if name in allowed)


def signing_algorithm(registered: str, client: ClientRecord, tenant: TenantContext) -> str:
    """What we sign with for a client: what it registered, unless its profile forbids that; then ES256."""
    allowed = of(client, tenant).algorithms
    return registered if allowed is None or registered in allowed else "ES256"
