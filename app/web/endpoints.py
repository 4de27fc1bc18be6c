"""Every endpoint of the protocols: one plain table the edge, Flask, discovery and the API description read.

Paths stand under a tenant's own prefix. A path under `/.well-known/` is also answered in the form of RFC 8414
section 3.1, with the issuer's path after it.
"""

from dataclasses import dataclass

EDGE = "edge"
FLASK = "flask"

GET = ("GET", "HEAD")
POST = ("POST",)

FORM = "form"
JSON = "json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint."""

    name: str
    path: str
    methods: tuple[str, ...]
    answered_by: str
    """`edge`: without Flask and without a browser session. `flask`: a page."""
    cors: bool
    """Whether scripts of any origin may call it. Credentials are never allowed, so `*` gives nothing away."""
    member: str | None
    """The metadata member that carries its URL (RFC 8414 section 2), if any does."""
    summary: str
    body: str = FORM
    """What its POST and PUT carry."""
    beside_pages: bool = False
    """Whether the other methods at this path are a page's."""

    @property
    def parent(self) -> str | None:
        """Of a path whose last segment names something: what precedes that segment."""
        return self.path.partition("{")[0] if self.path.endswith("}") else None


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "openid_configuration",
        "/.well-known/openid-configuration",
        GET,
        EDGE,
        True,
        None,
        "OpenID Provider metadata (OpenID Connect Discovery 1.0 section 4).",
    ),
    Endpoint(
        "oauth_metadata",
        "/.well-known/oauth-authorization-server",
        GET,
        EDGE,
        True,
        None,
        "Authorization server metadata (RFC 8414).",
    ),
    Endpoint("jwks", "/jwks", GET, EDGE, True, "jwks_uri", "The public signing keys (RFC 7517)."),
    Endpoint(
        "authorize",
        "/authorize",
        ("GET", "POST"),
        FLASK,
        False,
        "authorization_endpoint",
        "Start signing in (RFC 6749 section 3.1).",
    ),
    Endpoint(
        "par",
        "/par",
        POST,
        EDGE,
        True,
        "pushed_authorization_request_endpoint",
        "Leave an authorization request here, and get a name for it (RFC 9126).",
    ),
    Endpoint(
        "device_authorization",
        "/device_authorization",
        POST,
        EDGE,
        True,
        "device_authorization_endpoint",
        "Ask for a device to be let in (RFC 8628).",
    ),
    Endpoint(
        "authorization_challenge",
        "/authorization_challenge",
        POST,
        EDGE,
        False,
        "authorization_challenge_endpoint",
        "Sign a person in from the tenant's own application (OAuth 2.0 for First-Party Applications).",
    ),
    Endpoint("token", "/token", POST, EDGE, True, "token_endpoint", "Get tokens (RFC 6749 section 3.2)."),
    Endpoint("revoke", "/revoke", POST, EDGE, True, "revocation_endpoint", "Give a token back (RFC 7009)."),
    Endpoint(
        "introspect",
        "/introspect",
        POST,
        EDGE,
        False,
        "introspection_endpoint",
        "Ask about a token (RFC 7662).",
    ),
    Endpoint(
        "userinfo",
        "/userinfo",
        ("GET", "HEAD", "POST"),
        EDGE,
        True,
        "userinfo_endpoint",
        "Claims about the person (OpenID Connect Core section 5.3).",
    ),
    Endpoint(
        "client_registration",
        "/register",
        POST,
        EDGE,
        True,
        "registration_endpoint",
        "Register a client (RFC 7591).",
        body=JSON,
        beside_pages=True,
    ),
    Endpoint(
        "client_configuration",
        "/clients/{client_id}",
        ("GET", "HEAD", "PUT", "DELETE"),
        EDGE,
        True,
        None,
        "Read, change or delete a client that registered itself (RFC 7592).",
        body=JSON,
    ),
    Endpoint(
        "logout",
        "/logout",
        ("GET", "POST"),
        FLASK,
        False,
        "end_session_endpoint",
        "Sign out (OpenID Connect RP-Initiated Logout 1.0).",
    ),
)

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
