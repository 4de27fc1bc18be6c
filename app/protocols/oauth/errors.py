"""Every OAuth error this server answers with: one constant per case, fixed ASCII text.

Fixed, because a text made of the request's own words would carry them into headers, logs and redirects, and because
RFC 6749 section 5.2 forbids quotes, backslashes and anything beyond printable ASCII there.
"""

from dataclasses import dataclass, replace

from app.kernel.errors import Problem


@dataclass(frozen=True, slots=True)
class Case:
    """One way to be refused. Calling it makes the exception; `detail` is for the log alone."""

    error: str
    """The code on the wire (RFC 6749 section 5.2 and its extensions)."""
    reason: str
    """Our stable reason code (contracts 24), for log and audit."""
    description: str
    status: int = 400

    def __call__(
        self,
        detail: str = "",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: int | None = None,
    ) -> "OAuthError":
        return OAuthError(self, detail, headers=headers, retry_after_seconds=retry_after_seconds)


class OAuthError(Problem):
    """A refusal in OAuth's words. `code` is the reason code, `error` the code on the wire."""

    def __init__(
        self,
        case: Case,
        detail: str = "",
        *,
        headers: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(case.reason, case.description, detail=detail, status=case.status)
        self.case = case
        self.error = case.error
        self.headers = headers
        self.retry_after_seconds = retry_after_seconds


def because(case: Case, reason: str) -> Case:
    """The same words for another reason: what exactly is wrong with somebody's token is for the audit alone."""
    return replace(case, reason=reason)


# The request itself
INVALID_REQUEST = Case("invalid_request", "request.invalid", "The request is malformed.")
PARAMETER_MISSING = Case("invalid_request", "request.parameter_missing", "A required parameter is missing.")
PARAMETER_REPEATED = Case("invalid_request", "request.parameter_repeated", "A parameter is repeated.")
PARAMETER_ENCODING = Case(
    "invalid_request", "request.encoding", "The parameters are not properly encoded as a UTF-8 form."
)
PARAMETERS_TOO_MANY = Case("invalid_request", "request.too_many_parameters", "There are too many parameters.")
QUERY_REFUSED = Case(
    "invalid_request",
    "request.query",
    "Parameters are accepted in the request body only, not in the query string.",
)
CONTENT_TYPE = Case(
    "invalid_request",
    "request.content_type",
    "The content type has to be application/x-www-form-urlencoded.",
)
JSON_TYPE = Case("invalid_request", "request.json_type", "The content type has to be application/json.")
JSON_MALFORMED = Case("invalid_request", "request.json", "The body has to be one JSON object in UTF-8.")
BODY_TOO_LARGE = Case("invalid_request", "request.too_large", "The request body is too large.", 413)
LENGTH_REQUIRED = Case(
    "invalid_request", "request.length_required", "The request needs a Content-Length.", 411
)
METHOD_NOT_ALLOWED = Case("invalid_request", "request.method", "The method is not allowed here.", 405)
NOT_FOUND = Case("invalid_request", "request.not_found", "There is nothing here.", 404)

# The client
TWO_METHODS = Case(
    "invalid_request",
    "client.two_methods",
    "Use exactly one method of client authentication.",
)
CLIENT_ID_MISMATCH = Case(
    "invalid_request",
    "client.id_mismatch",
    "The client_id parameter names another client than the one that authenticates.",
)
CLIENT_MISSING = Case("invalid_client", "client.missing", "Client authentication is missing.", 401)
CLIENT_UNKNOWN = Case("invalid_client", "client.unknown", "Client authentication failed.", 401)
CLIENT_METHOD = Case("invalid_client", "client.method_not_allowed", "Client authentication failed.", 401)
CLIENT_SECRET_WRONG = Case("invalid_client", "client.secret_wrong", "Client authentication failed.", 401)
CLIENT_CREDENTIALS_MALFORMED = Case(
    "invalid_client", "client.credentials_malformed", "Client authentication failed.", 401
)
ASSERTION_TYPE = Case(
    "invalid_client",
    "client.assertion_type",
    "The client_assertion_type has to be urn:ietf:params:oauth:client-assertion-type:jwt-bearer.",
    401,
)
# Who has not shown that they hold the client's key learns nothing: neither that there is such a client, nor how it
# authenticates. What is wrong with a signed assertion is told, to whoever signed it.
ASSERTION_INVALID = Case("invalid_client", "client.assertion_invalid", "Client authentication failed.", 401)
ASSERTION_AUDIENCE = Case(
    "invalid_client",
    "client.assertion_audience",
    "The audience of the client assertion has to be the issuer.",
    401,
)
ASSERTION_TIMES = Case(
    "invalid_client",
    "client.assertion_times",
    "The client assertion is expired, not yet valid, or lives longer than ten minutes.",
    401,
)
ASSERTION_REPLAYED = Case(
    "invalid_client", "client.assertion_replayed", "The client assertion was used before.", 401
)
CLIENT_KEYS_UNAVAILABLE = Case(
    "invalid_client", "client.keys_unavailable", "Client authentication failed.", 401
)
PUBLIC_CLIENT = Case(
    "invalid_client", "client.public", "This endpoint is for clients that authenticate.", 401
)
RATE_LIMITED = Case(
    "temporarily_unavailable", "rate.limited", "Too many requests. Try again after a while.", 429
)
TOO_MANY_FAILURES = Case(
    "temporarily_unavailable",
    "rate.client_failures",
    "Too many failed attempts. Try again after a while.",
    429,
)

CERTIFICATE_MISSING = Case(
    "invalid_client", "client.certificate_missing", "Client authentication failed.", 401
)
CERTIFICATE_UNTRUSTED = Case(
    "invalid_client", "client.certificate_untrusted", "Client authentication failed.", 401
)
CERTIFICATE_WRONG = Case("invalid_client", "client.certificate_wrong", "Client authentication failed.", 401)
CERTIFICATE_EXPIRED = Case(
    "invalid_client", "client.certificate_expired", "Client authentication failed.", 401
)
CERTIFICATE_MALFORMED = Case(
    "invalid_request", "client.certificate_malformed", "The client certificate cannot be read."
)


# Proof of possession (RFC 9449, RFC 8705)
def _proof(reason: str, description: str = "The DPoP proof is not valid.") -> Case:
    return Case("invalid_dpop_proof", reason, description)


DPOP_MISSING = _proof("dpop.missing", "A DPoP proof is needed here.")
DPOP_MALFORMED = _proof("dpop.malformed")
DPOP_TYPE = _proof("dpop.type")
DPOP_ALGORITHM = _proof("dpop.algorithm")
DPOP_KEY = _proof("dpop.key")
DPOP_SIGNATURE = _proof("dpop.signature")
DPOP_METHOD = _proof("dpop.method")
DPOP_URI = _proof("dpop.uri")
DPOP_TIMES = _proof("dpop.times")
DPOP_TOKEN = _proof("dpop.token")
DPOP_REPLAYED = _proof("dpop.replayed")
DPOP_NONCE = Case("use_dpop_nonce", "dpop.nonce", "Use the nonce of the DPoP-Nonce header.")
CERTIFICATE_NEEDED = Case(
    "invalid_request",
    "certificate.needed",
    "The tokens of this client are bound to its certificate: a TLS client certificate is needed.",
)
BINDING_NEEDED = Case(
    "invalid_dpop_proof",
    "sender.unconstrained",
    "The profile of this client binds its tokens: a DPoP proof or a TLS client certificate is needed.",
)

# The grant
GRANT_TYPE_UNSUPPORTED = Case(
    "unsupported_grant_type", "grant.type_unsupported", "The grant type is not supported."
)
GRANT_TYPE_NOT_ALLOWED = Case(
    "unauthorized_client",
    "grant.type_not_allowed",
    "The client is not registered for this grant type.",
)
GRANT_INVALID = Case("invalid_grant", "grant.invalid", "The grant is not valid.")
CODE_UNKNOWN = Case("invalid_grant", "code.unknown", "The authorization code is not valid.")
CODE_EXPIRED = Case("invalid_grant", "code.expired", "The authorization code is not valid.")
CODE_REPLAYED = Case("invalid_grant", "code.replayed", "The authorization code is not valid.")
CODE_REVOKED = Case("invalid_grant", "code.revoked", "The authorization code is not valid.")
CODE_WRONG_CLIENT = Case("invalid_grant", "code.wrong_client", "The authorization code is not valid.")
CODE_REDIRECT_URI = Case(
    "invalid_grant",
    "code.redirect_uri",
    "The redirect_uri is not the one of the authorization request.",
)
CODE_VERIFIER = Case("invalid_grant", "code.verifier", "The code_verifier does not match.")
CODE_VERIFIER_MISSING = Case("invalid_grant", "code.verifier_missing", "The code_verifier is missing.")
CODE_VERIFIER_UNEXPECTED = Case(
    "invalid_grant",
    "code.verifier_unexpected",
    "There is a code_verifier, but the authorization request had no code_challenge.",
)
CODE_WRONG_KEY = Case("invalid_grant", "code.wrong_key", "The authorization code is not valid.")
REFRESH_WRONG_KEY = Case("invalid_grant", "refresh.wrong_key", "The refresh token is not valid.")
REFRESH_UNKNOWN = Case("invalid_grant", "refresh.unknown", "The refresh token is not valid.")
REFRESH_WRONG_CLIENT = Case("invalid_grant", "refresh.wrong_client", "The refresh token is not valid.")
REFRESH_EXPIRED = Case("invalid_grant", "refresh.expired", "The refresh token is not valid.")
REFRESH_REVOKED = Case("invalid_grant", "refresh.revoked", "The refresh token is not valid.")
REFRESH_REPLAYED = Case("invalid_grant", "refresh.replayed", "The refresh token is not valid.")
SUBJECT_DISABLED = Case("invalid_grant", "user.disabled", "The grant is not valid any more.")
SUBJECT_NOT_ALLOWED = Case("invalid_grant", "user.not_in_group", "The grant is not valid any more.")
NETWORK_NOT_ALLOWED = Case(
    "invalid_grant", "network.not_allowed", "The grant may not be used from this network."
)
HOURS_CLOSED = Case("invalid_grant", "hours.closed", "The grant may not be used at this hour.")
ACCESS_RULES = {case.reason: case for case in (NETWORK_NOT_ALLOWED, HOURS_CLOSED)}
"""What `access_rules.check` said, in OAuth's words."""
SCOPE_INVALID = Case("invalid_scope", "scope.invalid", "The scope is malformed.")
SCOPE_NOT_ALLOWED = Case("invalid_scope", "scope.not_allowed", "The scope is unknown or not allowed.")
SCOPE_EXCEEDED = Case("invalid_scope", "scope.exceeded", "The scope exceeds what was granted.")
SCOPE_TOO_OLD = Case(
    "invalid_scope", "scope.sign_in_too_old", "The person's sign-in is too long ago for this scope."
)
TARGET_INVALID = Case(
    "invalid_target", "target.invalid", "The resource is malformed or unknown to this server."
)
TARGET_EXCEEDED = Case("invalid_target", "target.exceeded", "The resource exceeds what was granted.")
TARGET_AMBIGUOUS = Case(
    "invalid_target",
    "target.ambiguous",
    "The scopes belong to several resources. Name one with the resource parameter.",
)

# Tokens of other issuers
ASSERTION_REFUSED = Case("invalid_grant", "assertion.invalid", "The assertion is not valid.")
ASSERTION_REUSED = Case("invalid_grant", "assertion.replayed", "The assertion is not valid.")
FEDERATED_REFUSED = Case("invalid_client", "client.federation", "Client authentication failed.", 401)
FEDERATED_REUSED = Case("invalid_client", "assertion.replayed", "Client authentication failed.", 401)

# Token exchange (RFC 8693 section 2.2.2)
SUBJECT_TOKEN = Case("invalid_request", "exchange.token_type", "The subject token is not valid.")
ACTOR_TOKEN = Case("invalid_request", "exchange.token_type", "The actor token is not valid.")
SUBJECT_TOKEN_REUSED = Case("invalid_request", "assertion.replayed", "The subject token is not valid.")
ACTOR_TOKEN_REUSED = Case("invalid_request", "assertion.replayed", "The actor token is not valid.")
ACTOR_TYPE = Case(
    "invalid_request", "exchange.actor_type", "Send actor_token and actor_token_type together, or neither."
)
REQUESTED_TYPE = Case(
    "invalid_request", "exchange.requested_type", "Tokens of the requested type are not issued for this one."
)
EXCHANGE_NOT_YOURS = Case("invalid_request", "exchange.not_yours", "The subject token is not valid.")
EXCHANGE_IMPERSONATION = Case(
    "invalid_request", "exchange.impersonation", "The client needs an actor token for this exchange."
)
EXCHANGE_ACTOR = Case("invalid_request", "exchange.actor", "This actor may not act for the subject.")
EXCHANGE_CYCLE = Case("invalid_request", "exchange.cycle", "This actor acts for the subject already.")
EXCHANGE_DEPTH = Case("invalid_request", "exchange.depth", "The token cannot be handed on any further.")
EXCHANGE_UNBOUND = Case("invalid_request", "exchange.unbound", "The exchange needs a proof of possession.")
EXCHANGE_KEY = Case(
    "invalid_request", "exchange.key", "The proof of possession is not of the key of the actor token."
)
EXCHANGE_AUDIENCE = Case(
    "invalid_target", "exchange.audience", "The subject token cannot be exchanged for this audience."
)

# The device grant (RFC 8628 section 3.5)
DEVICE_UNKNOWN = Case("invalid_grant", "device.unknown", "The device code is not valid.")
DEVICE_WRONG_CLIENT = Case("invalid_grant", "device.wrong_client", "The device code is not valid.")
DEVICE_REDEEMED = Case("invalid_grant", "device.redeemed", "The device code is not valid.")
DEVICE_PENDING = Case("authorization_pending", "device.pending", "The person has not decided yet.")
DEVICE_SLOW_DOWN = Case("slow_down", "device.slow_down", "Ask less often: five seconds more in between.")
DEVICE_DENIED = Case("access_denied", "device.denied", "The person did not allow access.")
DEVICE_EXPIRED = Case("expired_token", "device.expired", "The device code expired. Start again.")

# The authorization challenge endpoint (OAuth 2.0 for First-Party Applications section 5.2.2.1)
NOT_FIRST_PARTY = Case(
    "unauthorized_client",
    "client.not_first_party",
    "The client may not ask people for their credentials: send them to the authorization endpoint.",
)
INSUFFICIENT_AUTHORIZATION = Case(
    "insufficient_authorization", "challenge.insufficient", "The person has to show more.", 403
)
REDIRECT_TO_WEB = Case(
    "redirect_to_web",
    "challenge.web",
    "Go on in a browser: there is something the application cannot do.",
    403,
)
CHALLENGE_TWO_FACTORS = Case("invalid_request", "challenge.two_factors", "Show one factor at a time.")
CHALLENGE_BEGIN = Case(
    "invalid_request", "challenge.begin", "The parameter begin has to be email, sms or passkey."
)


def _session(reason: str) -> Case:
    return Case("invalid_session", reason, "The auth_session is not valid any more. Begin again without it.")


AUTH_SESSION_UNKNOWN = _session("auth_session.unknown")
AUTH_SESSION_WRONG_CLIENT = _session("auth_session.wrong_client")
AUTH_SESSION_WRONG_KEY = _session("auth_session.wrong_key")
AUTH_SESSION_USED = _session("auth_session.used")
AUTH_SESSION_EXHAUSTED = _session("auth_session.exhausted")

# Authorization details (RFC 9396 section 5)
DETAILS_MALFORMED = Case(
    "invalid_authorization_details",
    "details.malformed",
    "The parameter authorization_details is not an array of JSON objects, or is too large.",
)
DETAILS_TYPE = Case(
    "invalid_authorization_details",
    "details.type",
    "A type of authorization details is unknown, or not one the client may use.",
)
DETAILS_INVALID = Case(
    "invalid_authorization_details",
    "details.invalid",
    "One of the authorization details does not have the members its type wants.",
)
DETAILS_EXCEEDED = Case(
    "invalid_authorization_details", "details.exceeded", "The authorization details exceed what was granted."
)
DETAILS_OTHER_RESOURCE = Case(
    "invalid_authorization_details",
    "details.other_resource",
    "One of the authorization details belongs to another resource than the one asked for.",
)

# Registration (RFC 7591 section 3.2.2, RFC 7592 section 2)
REGISTRATION_OFF = Case("access_denied", "registration.off", "Clients do not register themselves here.", 403)
REGISTRATION_FULL = Case("access_denied", "registration.full", "No more clients can register here.", 403)
REGISTRATION_TOKEN = Case(
    "invalid_token", "registration.token_unknown", "The initial access token is not valid.", 401
)
REGISTRATION_TOKEN_MISSING = Case(
    "invalid_token", "registration.token_missing", "Registering needs an initial access token.", 401
)
CONFIGURATION_TOKEN = Case(
    "invalid_token", "registration.access", "The registration access token is not valid for this client.", 401
)
CONFIGURATION_MEMBERS = Case(
    "invalid_request",
    "registration.members",
    "An update names the client_id of the client, and nothing that is the server's to say.",
)
CONFIGURATION_CHANGED = Case(
    "invalid_request",
    "registration.changed",
    "The registration was changed by somebody else at the same time. Read it again.",
    409,
)
REGISTRATION_SECRET = Case(
    "invalid_client_metadata", "client.secret_wrong", "The client_secret is not the one of the client."
)
METADATA_INVALID = Case(
    "invalid_client_metadata", "client.metadata_invalid", "The metadata of the client is not valid."
)
REDIRECT_URI_INVALID = Case(
    "invalid_redirect_uri", "client.redirect_uri_invalid", "A redirect URI is not valid."
)
METADATA_PROFILE = Case(
    "invalid_client_metadata",
    "registration.profile",
    "The profile that is in force here does not allow what the client asks for.",
)
STATEMENT_MISSING = Case(
    "invalid_software_statement", "statement.missing", "Registering needs a software statement."
)
STATEMENT_INVALID = Case(
    "invalid_software_statement", "statement.invalid", "The software statement is not valid."
)
STATEMENT_UNAPPROVED = Case(
    "unapproved_software_statement", "statement.issuer", "The software statement is of nobody trusted here."
)

# Tokens presented to us
TOKEN_MISSING = Case("invalid_request", "token.missing", "The access token is missing.", 401)
TOKEN_TWICE = Case("invalid_request", "token.twice", "Send the access token in one way only.")
TOKEN_MALFORMED = Case("invalid_token", "token.malformed", "The access token is not valid.", 401)
TOKEN_EXPIRED = Case("invalid_token", "token.expired", "The access token expired.", 401)
TOKEN_REVOKED = Case("invalid_token", "token.revoked", "The access token was revoked.", 401)
TOKEN_AUDIENCE = Case(
    "invalid_token", "token.audience", "The access token is not meant for this endpoint.", 401
)
TOKEN_NO_SUBJECT = Case("invalid_token", "token.no_subject", "The access token is not valid.", 401)
SCOPE_INSUFFICIENT = Case(
    "insufficient_scope", "token.scope", "The access token needs the scope openid.", 403
)
TOKEN_SCHEME = Case(
    "invalid_token", "token.scheme", "The access token is bound to a key; present it with its proof.", 401
)
TOKEN_NOT_BOUND = Case(
    "invalid_token", "token.not_bound", "The access token is not bound to a key; present it as Bearer.", 401
)
TOKEN_WRONG_KEY = Case("invalid_token", "token.wrong_key", "The access token is bound to another key.", 401)
TOKEN_TYPE_UNSUPPORTED = Case(
    "unsupported_token_type", "token.type_unsupported", "Tokens of this type cannot be revoked."
)

# Us
SERVER_ERROR = Case("server_error", "server.error", "The server failed to handle the request.", 500)
TEMPORARILY_UNAVAILABLE = Case(
    "temporarily_unavailable",
    "server.unavailable",
    "The service is not available right now. Try again shortly.",
    503,
)
