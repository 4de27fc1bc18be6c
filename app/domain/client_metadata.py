"""What may be said of a client at registration, checked.

Members are those of RFC 7591 section 2, OIDC Dynamic Client Registration section 2 and OIDC RP-Initiated Logout
section 3.1, and ours. A member this server does not act on is refused, so that nobody relies on it.
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.domain.claims import ClaimRule
from app.kernel import uris
from app.kernel.errors import Problem

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
AUTH_METHODS = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt")
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post", "client_secret_jwt"})
PROFILES = ("oauth2.1", "oidc-legacy")
SIGNING_ALGORITHMS = ("RS256", "ES256", "EdDSA")
ASSERTION_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519", "HS256")

CLIENT_ID_PATTERN = r"^[A-Za-z0-9._~:@/+-]{1,200}$"
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")

_FORBIDDEN_SCHEMES = frozenset({"javascript", "data", "vbscript", "file", "about", "blob", "ftp", "mailto"})
_LOCALIZED = re.compile(
    r"^(client_name|client_uri|logo_uri|tos_uri|policy_uri)#[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
)

GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]
AuthMethod = Literal[
    "none", "client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt"
]
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
    response_types: list[Literal["code"]] = ["code"]
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
    subject_type: Literal["public"] = "public"
    id_token_signed_response_alg: Literal["RS256", "ES256", "EdDSA"] = "RS256"
    default_max_age: Annotated[int, Field(ge=0)] | None = None
    require_auth_time: bool = False
    default_acr_values: list[str] = []
    initiate_login_uri: Uri | None = None
    post_logout_redirect_uris: Annotated[list[Uri], Field(max_length=100)] = []

    profile: Literal["oauth2.1", "oidc-legacy"] = "oauth2.1"
    default_resources: list[Uri] = []
    """What tokens are for when the client names no `resource`."""
    allowed_groups: list[str] = []
    """Only members of one of these groups may use the client; empty: everybody of the tenant."""
    first_party: bool = False
    """The tenant's own application: people are not asked for consent."""
    claims: list[ClaimRule] = []
    """Claim mapper of its ID tokens and UserInfo."""
    access_token_seconds: Seconds | None = None
    refresh_token_seconds: Seconds | None = None
    refresh_token_rotation: bool = True
    resource_server_for: list[Uri] = []
    """Resources whose tokens this client may introspect (RFC 7662 section 4)."""

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _redirects(cls, values: list[str]) -> list[str]:
        for uri in values:
            if fault := redirect_uri_fault(uri):
                raise ValueError(f"{uri}: {fault}")
        return values

    @field_validator("client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri", "initiate_login_uri")
    @classmethod
    def _web_uri(cls, uri: str | None) -> str | None:
        if uri is not None and not _is_web_uri(uri):
            raise ValueError(f"{uri}: an https URI is wanted (http only for a loopback address)")
        return uri

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
    def _together(self) -> "ClientMetadata":
        faults = list(_contradictions(self))
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _contradictions(client: ClientMetadata) -> list[str]:
    faults = []
    code = "authorization_code" in client.grant_types
    if code and not client.redirect_uris:
        faults.append("redirect_uris: at least one is needed for grant type authorization_code")
    if code and not client.response_types:
        faults.append("response_types: grant type authorization_code needs code")
    if "refresh_token" in client.grant_types and not code:
        faults.append("grant_types: refresh_token comes with authorization_code")
    if client.token_endpoint_auth_method == "none" and "client_credentials" in client.grant_types:
        faults.append("grant_types: a public client has no client_credentials (RFC 6749 section 4.4)")
    if client.token_endpoint_auth_method == "none" and not client.refresh_token_rotation:
        faults.append("refresh_token_rotation: those of a public client rotate (RFC 9700 section 4.14.2)")
    if client.jwks is not None and client.jwks_uri is not None:
        faults.append("jwks and jwks_uri exclude each other (RFC 7591 section 2)")
    if client.token_endpoint_auth_method == "private_key_jwt" and not (client.jwks or client.jwks_uri):
        faults.append("jwks or jwks_uri is needed for private_key_jwt")
    symmetric = client.token_endpoint_auth_signing_alg == "HS256"
    if client.token_endpoint_auth_signing_alg and symmetric != (
        client.token_endpoint_auth_method == "client_secret_jwt"
    ):
        faults.append(
            "token_endpoint_auth_signing_alg: HS256 goes with client_secret_jwt, the others with private_key_jwt"
        )
    if client.jwks is not None and (fault := _jwks_fault(client.jwks)):
        faults.append(f"jwks: {fault}")
    return faults


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
    localized = {k: v for k, v in metadata.items() if _LOCALIZED.match(k)}
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
