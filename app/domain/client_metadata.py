"""What may be said of a client at registration, checked.

Members are those of RFC 7591 section 2, OIDC Dynamic Client Registration section 2, OIDC RP-Initiated Logout
section 3.1, Back-Channel Logout section 2.2 and Front-Channel Logout section 2, and ours. A member this server does
not act on is refused, so that nobody relies on it.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from app.domain.claims import ClaimRule
from app.domain.delegation import FederatedCredential, TokenExchangePolicy
from app.infra import certificates
from app.kernel import uris
from app.kernel.errors import Problem

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
REDIRECTING_GRANTS = frozenset({"authorization_code", "implicit", "refresh_token"})
"""Those whose tokens, or codes for them, go by a redirect URI. Any other hands them out elsewhere."""
GRANT_TYPE_PATTERN = (
    r"^(authorization_code|refresh_token|client_credentials|implicit|[a-z][a-z0-9+.-]*:[!-~]{1,180})$"
)
"""OAuth's own, or an absolute URI (RFC 6749 section 4.5). Which URIs there are is the protocols' to know."""
AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt")
TLS_METHODS = ("tls_client_auth", "self_signed_tls_client_auth")
"""Mutual TLS (RFC 8705 section 2), for deployments where certificates of clients arrive."""
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})
PROFILES = ("oauth2.1", "oidc-legacy", "fapi2-security", "fapi2-message-signing")
"""What each of them demands: `protocols.oauth.profiles`."""
LEGACY_RESPONSE_TYPES = ("id_token", "id_token token", "code id_token", "code token", "code id_token token")
"""With tokens in the front channel (OAuth 2.0 Multiple Response Type Encoding Practices section 3 and 5)."""
STORED: Mapping[str, Any] = MappingProxyType({})
"""The context to read stored metadata in: members that contradict each other are refused at registration alone."""
_FAULTS_TOLD = 5
"""So many of a list are told at once; there may be a hundred."""
REQUEST_OBJECT_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
SIGNING_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
CERTIFICATE_SUBJECTS = (
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
)
"""What a certificate may be known by (RFC 8705 section 2.1.2): exactly one of these."""
ASSERTION_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256")

CLIENT_ID_PATTERN = r"^[A-Za-z0-9._~:@/+-]{1,200}$"
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")

_KEYED = frozenset({"private_key_jwt", "self_signed_tls_client_auth"})
"""The methods whose proof is checked with the client's published keys."""
_FORBIDDEN_SCHEMES = frozenset({"javascript", "data", "vbscript", "file", "about", "blob", "ftp", "mailto"})
LOCALIZED = re.compile(
    r"^(client_name|client_uri|logo_uri|tos_uri|policy_uri)#[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
)

GrantType = Annotated[str, Field(pattern=GRANT_TYPE_PATTERN)]
AuthMethod = Literal[
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "client_secret_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
]
SigningAlgorithm = Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]
Uri = Annotated[str, Field(max_length=2048)]
Seconds = Annotated[int, Field(ge=10, le=366 * 86400)]


class ClientMetadata(BaseModel):
    """The metadata of one client, complete with its defaults."""

    model_config = ConfigDict(extra="forbid", strict=True)

    redirect_uris: Annotated[list[Uri], Field(max_length=100)] = []
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"
    token_endpoint_auth_signing_alg: (
        Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256"] | None
    ) = None
    grant_types: list[GrantType] = ["authorization_code"]
    response_types: list[
        Literal["code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"]
    ] = ["code"]
    """All but `code` need the tenant's `legacy_response_types` as well."""
    client_name: Annotated[str, Field(max_length=200)] = ""
    client_uri: Uri | None = None
    logo_uri: Uri | None = None
    scope: Annotated[str, Field(max_length=4000)] = "openid"
    contacts: list[Annotated[str, Field(max_length=320)]] = []
    tos_uri: Uri | None = None
    policy_uri: Uri | None = None
    jwks_uri: Uri | None = None
    jwks: dict[str, Any] | None = None
    software_id: Annotated[str, Field(max_length=200)] | None = None
    software_version: Annotated[str, Field(max_length=200)] | None = None
    application_type: Literal["web", "native"] = "web"
    subject_type: Literal["public", "pairwise"] = "public"
    sector_identifier_uri: Uri | None = None
    id_token_signed_response_alg: SigningAlgorithm = "RS256"
    userinfo_signed_response_alg: SigningAlgorithm | None = None
    introspection_signed_response_alg: SigningAlgorithm = "RS256"
    default_max_age: Annotated[int, Field(ge=0)] | None = None
    require_auth_time: bool = False
    default_acr_values: list[str] = []
    initiate_login_uri: Uri | None = None
    post_logout_redirect_uris: Annotated[list[Uri], Field(max_length=100)] = []
    backchannel_logout_uri: Uri | None = None
    """Where it is told that a session ended (Back-Channel Logout section 2.2)."""
    backchannel_logout_session_required: bool = False
    """Whether it wants to be told which one by `sid`. It always is."""
    frontchannel_logout_uri: Uri | None = None
    """What the browser loads when its person signs out there (Front-Channel Logout section 2)."""
    frontchannel_logout_session_required: bool = False
    """Whether `iss` and `sid` go along."""
    dpop_bound_access_tokens: bool = False
    tls_client_certificate_bound_access_tokens: bool = False
    tls_client_auth_subject_dn: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    tls_client_auth_san_dns: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    tls_client_auth_san_uri: Uri | None = None
    tls_client_auth_san_ip: Annotated[str, Field(max_length=45)] | None = None
    tls_client_auth_san_email: Annotated[str, Field(min_length=3, max_length=320)] | None = None

    dpop_nonce: bool = False
    """Whether its DPoP proofs have to carry a nonce of this server (RFC 9449 section 8)."""
    request_object_signing_alg: SigningAlgorithm | None = None
    """The only algorithm of its request objects (RFC 9101); absent: each of those its profile allows."""
    require_signed_request_object: bool = False
    request_uris: Annotated[list[Uri], Field(max_length=20)] = []
    """Where its request objects may lie. A fragment may follow; it is not compared."""
    require_pushed_authorization_requests: bool = False
    authorization_signed_response_alg: SigningAlgorithm = "RS256"
    """What authorization responses are signed with in the `jwt` response modes (JARM section 3)."""
    authorization_details_types: list[Annotated[str, Field(max_length=200)]] = []
    """The types of authorization details it may ask for (RFC 9396 section 10)."""

    profile: Literal["oauth2.1", "oidc-legacy", "fapi2-security", "fapi2-message-signing"] | None = None
    """What the client is held to; absent: the tenant's profile."""
    default_resources: list[Uri] = []
    """What tokens are for when the client names no `resource`."""
    allowed_groups: list[str] = []
    """Only members of one of these groups may use the client; empty: everybody of the tenant."""
    require_mfa: bool | Literal["always"] = False
    """Whether people show a second factor to use it, whatever the tenant demands of them; `always`: in a browser they
    trusted, too."""
    first_party: bool = False
    """The tenant's own application: people are not asked for consent."""
    authorization_challenge: bool = False
    """Whether it may ask people for their credentials itself (OAuth 2.0 for First-Party Applications). For clients that
    are `first_party`; public ones have to be native."""
    claims: list[ClaimRule] = []
    """Claim mapper of its ID tokens and UserInfo."""
    access_token_seconds: Seconds | None = None
    refresh_token_seconds: Seconds | None = None
    refresh_token_rotation: bool = True
    resource_server_for: list[Uri] = []
    """Resources whose tokens this client may introspect (RFC 7662 section 4)."""
    token_exchange: TokenExchangePolicy = TokenExchangePolicy()
    """What it may exchange, and for what (RFC 8693). Needs the grant type as well."""
    federated_credentials: Annotated[list[FederatedCredential], Field(max_length=20)] = []
    """Tokens of trusted issuers it may authenticate with in place of an assertion of its own (RFC 7523)."""

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _redirects(cls, values: list[str]) -> list[str]:
        if faults := [f"{uri}: {fault}" for uri in values if (fault := redirect_uri_fault(uri))]:
            more = f"; and {len(faults) - _FAULTS_TOLD} more" if len(faults) > _FAULTS_TOLD else ""
            raise ValueError("; ".join(faults[:_FAULTS_TOLD]) + more)
        return values

    @field_validator(
        "client_uri",
        "logo_uri",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
        "initiate_login_uri",
        "sector_identifier_uri",
    )
    @classmethod
    def _web_uri(cls, uri: str | None) -> str | None:
        if uri is not None and not _is_web_uri(uri):
            raise ValueError(f"{uri}: an https URI is wanted (http only for a loopback address)")
        return uri

    @field_validator("backchannel_logout_uri", "frontchannel_logout_uri")
    @classmethod
    def _logout_uri(cls, uri: str | None) -> str | None:
        if uri is not None and (not _is_web_uri(uri) or "#" in uri):
            raise ValueError(
                f"{uri}: an https URI without a fragment is wanted (http only for a loopback address)"
            )
        return uri

    @field_validator("request_uris")
    @classmethod
    def _request_uris(cls, values: list[str]) -> list[str]:
        for uri in values:
            if not _is_web_uri(uri):
                raise ValueError(f"{uri}: an https URI is wanted (http only for a loopback address)")
        return values

    @field_validator("response_types", mode="before")
    @classmethod
    def _response_types(cls, values: Any) -> Any:
        """The words of a response type have no order; they are kept in ours."""
        if not isinstance(values, list):
            return values
        known = {frozenset(kind.split()): kind for kind in ("code", *LEGACY_RESPONSE_TYPES)}
        return [known.get(frozenset(v.split()), v) if isinstance(v, str) else v for v in values]

    @field_validator("default_resources", "resource_server_for")
    @classmethod
    def _resources(cls, values: list[str]) -> list[str]:
        found = [uris.canonical_resource(v) for v in values]
        if None in found:
            raise ValueError("an absolute URI without a fragment is wanted")
        return [v for v in found if v]

    @field_validator("scope")
    @classmethod
    def _scope(cls, scope: str) -> str:
        words = scope.split(" ") if scope else []
        if not all(SCOPE_TOKEN.fullmatch(word) for word in words):
            raise ValueError("scope tokens separated by single spaces are wanted (RFC 6749 section 3.3)")
        return " ".join(dict.fromkeys(words))

    @model_validator(mode="after")
    def _together(self, info: ValidationInfo) -> "ClientMetadata":
        # What was registered under earlier rules stays readable; each request is held to those of today.
        faults = [] if info.context is STORED else list(_contradictions(self))
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _contradictions(client: ClientMetadata) -> list[str]:
    faults = []
    code = "authorization_code" in client.grant_types
    implicit = "implicit" in client.grant_types
    if (code or implicit) and not client.redirect_uris:
        faults.append("redirect_uris: at least one is needed for grant types authorization_code and implicit")
    if implicit != any(kind in LEGACY_RESPONSE_TYPES for kind in client.response_types):
        faults.append("grant_types: implicit goes with response types that have id_token or token in them")
    bound = client.dpop_bound_access_tokens or client.tls_client_certificate_bound_access_tokens
    if bound and any("token" in kind.split() for kind in client.response_types):
        faults.append(
            "response_types: an access token that comes by the browser is bound to no key "
            "(dpop_bound_access_tokens, tls_client_certificate_bound_access_tokens)"
        )
    if code and not any("code" in kind.split() for kind in client.response_types):
        faults.append("response_types: grant type authorization_code needs code")
    if "refresh_token" in client.grant_types and not code and DEVICE_CODE not in client.grant_types:
        faults.append("grant_types: refresh_token comes with authorization_code or the device code grant")
    if client.token_endpoint_auth_method == "none" and TOKEN_EXCHANGE in client.grant_types:
        faults.append("grant_types: a public client cannot exchange tokens: anybody could pretend to be it")
    if client.federated_credentials and client.token_endpoint_auth_method != "private_key_jwt":
        faults.append("federated_credentials go with token_endpoint_auth_method private_key_jwt")
    if client.token_endpoint_auth_method == "none" and "client_credentials" in client.grant_types:
        faults.append("grant_types: a public client has no client_credentials (RFC 6749 section 4.4)")
    if client.token_endpoint_auth_method == "none" and not client.refresh_token_rotation:
        faults.append("refresh_token_rotation: those of a public client rotate (RFC 9700 section 4.14.2)")
    if client.jwks is not None and client.jwks_uri is not None:
        faults.append("jwks and jwks_uri exclude each other (RFC 7591 section 2)")
    keys = client.jwks or client.jwks_uri or client.federated_credentials
    if client.token_endpoint_auth_method in _KEYED and not keys:
        faults.append(f"jwks or jwks_uri is needed for {client.token_endpoint_auth_method}")
    symmetric = client.token_endpoint_auth_signing_alg == "HS256"
    if client.token_endpoint_auth_signing_alg and symmetric != (
        client.token_endpoint_auth_method == "client_secret_jwt"
    ):
        faults.append(
            "token_endpoint_auth_signing_alg: HS256 goes with client_secret_jwt, the others with private_key_jwt"
        )
    faults += _certificate_faults(client)
    if client.authorization_challenge and not (client.first_party and code):
        faults.append("authorization_challenge is for first_party clients with grant type authorization_code")
    if (
        client.authorization_challenge
        and client.token_endpoint_auth_method == "none"
        and client.application_type != "native"
    ):
        faults.append(
            "authorization_challenge: a public client has to be native, as a page in a browser can send people to the "
            "authorization endpoint (OAuth 2.0 for First-Party Applications section 9.8)"
        )
    if client.frontchannel_logout_uri is not None and uris.origin(client.frontchannel_logout_uri) not in {
        uris.origin(uri) for uri in client.redirect_uris
    }:
        faults.append(
            "frontchannel_logout_uri: scheme, host and port of one of its redirect URIs are wanted "
            "(Front-Channel Logout section 2)"
        )
    if client.subject_type == "pairwise" and not client.sector_identifier_uri and len(_hosts(client)) > 1:
        faults.append(
            "sector_identifier_uri is needed for pairwise subjects with redirect URIs of several hosts "
            "(OpenID Connect Core section 8.1)"
        )
    if client.jwks is not None and (fault := _jwks_fault(client.jwks)):
        faults.append(f"jwks: {fault}")
    return faults


def _certificate_faults(client: ClientMetadata) -> list[str]:
    """What is wrong with how its certificate is to be known (RFC 8705 section 2.1.2)."""
    named = [name for name in CERTIFICATE_SUBJECTS if getattr(client, name) is not None]
    if client.token_endpoint_auth_method != "tls_client_auth":
        return [f"{', '.join(named)}: only for tls_client_auth"] if named else []
    if len(named) != 1:
        return [f"tls_client_auth needs exactly one of {', '.join(CERTIFICATE_SUBJECTS)}"]
    if client.tls_client_auth_san_ip is not None:
        try:
            ipaddress.ip_address(client.tls_client_auth_san_ip)
        except ValueError:
            return ["tls_client_auth_san_ip: an IP address is wanted"]
    if client.tls_client_auth_subject_dn is not None and not certificates.is_distinguished_name(
        client.tls_client_auth_subject_dn
    ):
        return ["tls_client_auth_subject_dn: a distinguished name of RFC 4514 is wanted, such as CN=a,O=b"]
    return []


def _hosts(client: ClientMetadata) -> set[str]:
    return {host for uri in client.redirect_uris if (host := (urlsplit(uri).hostname or ""))}


def leaves_redirects(grant_types: Collection[str]) -> bool:
    """Whether tokens are had without anybody being sent to a redirect URI: what those say proves nothing then."""
    return not REDIRECTING_GRANTS.issuperset(grant_types)


def sector_of(client: ClientMetadata, *, is_registered: bool = False) -> str | None:
    """What pairwise subjects are told apart by: a host (OpenID Connect Core section 8.1). None: subjects are public.

    A client without redirect URIs on the web is a sector of its own (empty). One that registered itself is in a host's
    sector only if whatever it learns of people arrives at that host: it says itself what its redirect URIs are.
    """
    if client.subject_type != "pairwise":
        return None
    if is_registered and not _arrives(client):
        return ""
    if client.sector_identifier_uri is not None:
        return urlsplit(client.sector_identifier_uri).hostname
    return next(iter(_hosts(client)), None) or ""


def _arrives(client: ClientMetadata) -> bool:
    """Whether a client that registered itself learns who people are at its redirect URIs, and there alone."""
    if leaves_redirects(client.grant_types) or not client.redirect_uris:
        return False
    hosts = _hosts(client)
    if client.backchannel_logout_uri and urlsplit(client.backchannel_logout_uri).hostname not in hosts:
        return False
    if client.sector_identifier_uri is not None:
        return True  # Its document has every one of them.
    # Any application may claim a scheme, whatever host stands behind it, and listen on the person's own machine.
    return all(
        uri.lower().startswith("https:") and not uris.is_loopback_uri(uri) for uri in client.redirect_uris
    )


def _jwks_fault(jwks: dict[str, Any]) -> str | None:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= 20 or not all(isinstance(k, dict) for k in keys):
        return "an object with 1 to 20 keys in `keys` is wanted (RFC 7517 section 5)"
    for key in keys:
        if key.get("kty") == "oct" or any(member in key for member in ("d", "p", "q", "dp", "dq", "qi", "k")):
            return "public keys only: this one holds private or symmetric material"
    return None


def _is_web_uri(uri: str) -> bool:
    parts = uris.split(uri)
    if parts is None or not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and uris.is_loopback_host(parts.hostname))


def redirect_uri_fault(uri: str) -> str | None:
    """What is wrong with a redirect URI to be registered, or None (RFC 6749 section 3.1.2, RFC 8252 section 7)."""
    parts = uris.split(uri)
    if parts is None:
        return "an absolute URI of ASCII characters is wanted"
    if "#" in uri:
        return "a redirect URI has no fragment (RFC 6749 section 3.1.2)"
    if "*" in uri:
        return "redirect URIs are compared exactly; there are no wildcards"
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        return None if _is_web_uri(uri) else "https is wanted; http only for a loopback address"
    if scheme in _FORBIDDEN_SCHEMES or "." not in scheme:
        return (
            "a private-use scheme is a reversed domain name, such as com.example.app (RFC 8252 section 7.1)"
        )
    return None


def validate(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata, checked and normalised; only what was said, no defaults, so that defaults may change.

    Raises `Problem` (`client.metadata_invalid`) naming every fault.
    """
    localized = {k: v for k, v in metadata.items() if LOCALIZED.match(k)}
    said = {k: v for k, v in metadata.items() if k not in localized}
    faults = [f"{k}: text is wanted" for k, v in localized.items() if not isinstance(v, str) or len(v) > 2048]
    faults += [f"{k}: not a web URI" for k, v in localized.items() if "uri" in k and not _is_web_uri(str(v))]
    try:
        checked = ClientMetadata.model_validate(said)
    except ValidationError as fault:
        faults += [_sentence(error) for error in fault.errors()]
    if faults:
        raise Problem("client.metadata_invalid", "The client's metadata is not valid: " + "; ".join(faults))
    return {**checked.model_dump(mode="json", exclude_unset=True), **localized}


def _sentence(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    what = "this server does not act on this member" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{where}: {what}" if where else str(what).removeprefix("Value error, ")


def redirect_host(uri: str) -> str:
    """Where a redirect URI leads, in a few words a person can judge: the host, or the app's scheme."""
    parts = urlsplit(uri)
    return parts.netloc or f"{parts.scheme}:"
