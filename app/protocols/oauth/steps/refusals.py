"""Every way an authorization request is refused: fixed ASCII texts, so that nothing of the request is reflected.

The texts keep to the characters of RFC 6749 section 4.1.2.1 (no quote, no backslash).
"""

from app.protocols.oauth.errors import Case


def _case(error: str, description: str, reason: str) -> Case:
    return Case(error, reason, description)


def _invalid(reason: str, description: str) -> Case:
    return _case("invalid_request", description, f"request.{reason}")


# Shown on a page of ours, never sent anywhere: there is no redirect URI to trust yet.
CLIENT_MISSING = _invalid("client_missing", "The parameter client_id is missing.")
CLIENT_UNKNOWN = _case("invalid_client", "This client is not registered here.", "client.unknown")
REDIRECT_MISSING = _invalid("redirect_uri_missing", "The parameter redirect_uri is missing.")
REDIRECT_UNREGISTERED = _invalid(
    "redirect_uri_unregistered", "This redirect_uri is not registered for the client."
)
TARGET_REPEATED = _invalid("parameter_repeated", "client_id or redirect_uri is given more than once.")
TOO_LARGE = _invalid("too_large", "The request is too large.")
MALFORMED = _invalid("malformed", "The request cannot be read.")
TWO_SOURCES = _invalid("two_sources", "A request has either request or request_uri, once.")

# Where the parameters come from (RFC 9101, RFC 9126). Why an object is not believed is for the log alone.
PUSHED_UNKNOWN = _case(
    "invalid_request_uri",
    "This request_uri has expired, was used, or is not this client's.",
    "request_uri.unknown",
)
PUSHED_SPENT = _case("invalid_request_uri", "This request was answered already.", "request_uri.spent")
PUSHED_BY_REFERENCE = _case(
    "invalid_request", "A pushed request may not have a request_uri.", "request_uri.pushed"
)
PUSHING_REQUIRED = _case(
    "invalid_request",
    "The client has to push its requests to the pushed authorization request endpoint.",
    "request.push_required",
)
SIGNING_REQUIRED = _case(
    "invalid_request",
    "The client has to sign its requests: send a request object.",
    "request.signing_required",
)
REQUEST_URI_NOT_ALLOWED = _case(
    "request_uri_not_supported",
    "The profile of the client does not allow requests by reference.",
    "request_uri.not_allowed",
)
REQUEST_URI_UNREGISTERED = _case(
    "invalid_request_uri", "This request_uri is not registered for the client.", "request_uri.unregistered"
)
REQUEST_URI_FETCH = _case(
    "invalid_request_uri", "There is no request object at the request_uri.", "request_uri.fetch"
)
REQUEST_URI_BUSY = _case(
    "temporarily_unavailable", "Too many requests by reference. Try again in a minute.", "request_uri.busy"
)
_OBJECT = "The request object is not valid."
OBJECT_INVALID = _case("invalid_request_object", _OBJECT, "request_object.invalid")
OBJECT_ALGORITHM = _case("invalid_request_object", _OBJECT, "request_object.algorithm")
OBJECT_AUDIENCE = _case("invalid_request_object", _OBJECT, "request_object.audience")
OBJECT_CLIENT = _case("invalid_request_object", _OBJECT, "request_object.client")
OBJECT_ISSUER = _case("invalid_request_object", _OBJECT, "request_object.issuer")
OBJECT_KEYS = _case("invalid_request_object", _OBJECT, "request_object.keys")
OBJECT_REPLAYED = _case("invalid_request_object", _OBJECT, "request_object.replayed")
OBJECT_SIGNATURE = _case("invalid_request_object", _OBJECT, "request_object.signature")
OBJECT_TIMES = _case("invalid_request_object", _OBJECT, "request_object.times")
OBJECT_TYPE = _case("invalid_request_object", _OBJECT, "request_object.type")

# Sent to the redirect URI.
PARAMETER_REPEATED = _invalid("parameter_repeated", "A parameter is given more than once.")
PARAMETER_TOO_LONG = _invalid("parameter_too_long", "A parameter is too long.")
REGISTRATION = _case(
    "registration_not_supported", "The parameter registration is not supported.", "request.registration"
)
RESPONSE_TYPE_MISSING = _invalid("response_type_missing", "The parameter response_type is missing.")
RESPONSE_TYPE = _case(
    "unsupported_response_type", "This response_type is not supported; use code.", "request.response_type"
)
RESPONSE_TYPE_UNREGISTERED = _case(
    "unauthorized_client",
    "The client is not registered for this response_type.",
    "client.response_type",
)
NONCE_MISSING = _invalid("nonce_missing", "An ID token in the response needs the parameter nonce.")
OPENID_MISSING = _case("invalid_scope", "An ID token needs the scope openid.", "scope.openid_missing")
REDIRECT_INSECURE = _invalid(
    "redirect_uri_insecure", "The profile of the client does not allow redirect URIs of plain http."
)
DPOP_JKT = _invalid("dpop_jkt", "The dpop_jkt is not the thumbprint of the key the request proves.")
GRANT_TYPE = _case(
    "unauthorized_client",
    "The client is not registered for the authorization code grant.",
    "client.grant_type",
)
RESPONSE_MODE = _invalid("response_mode", "This response_mode is not supported here.")
RESPONSE_UNSIGNED = _invalid(
    "response_unsigned", "The client has its responses signed: response_mode has to be one of those with jwt."
)
PKCE_MISSING = _invalid(
    "pkce_missing", "The parameter code_challenge is missing: PKCE with S256 is required."
)
PKCE_METHOD = _invalid("pkce_method", "The code_challenge_method has to be S256.")
PKCE_CHALLENGE = _invalid(
    "pkce_challenge", "The code_challenge is not that of S256: 43 base64url characters."
)
SCOPE_MALFORMED = _case("invalid_scope", "The parameter scope is malformed.", "scope.malformed")
SCOPE_NOT_ALLOWED = _case(
    "invalid_scope", "The client may not ask for one of these scopes.", "scope.not_allowed"
)
SCOPE_EMPTY = _case("invalid_scope", "No scope was asked for that can be granted.", "scope.empty")
SCOPE_OF_OTHER_RESOURCE = _case(
    "invalid_scope", "A scope belongs to another resource than the one asked for.", "scope.other_resource"
)
RESOURCE_MALFORMED = _case(
    "invalid_target", "A resource is an absolute URI without a fragment.", "resource.malformed"
)
RESOURCE_UNKNOWN = _case("invalid_target", "A resource asked for is not registered here.", "resource.unknown")
RESOURCE_AMBIGUOUS = _case(
    "invalid_target", "The scopes belong to several resources: name one with resource.", "resource.ambiguous"
)
CLAIMS_MALFORMED = _invalid("claims", "The parameter claims is not the JSON object of OpenID Connect.")
MAX_AGE = _invalid("max_age", "The parameter max_age is a number of seconds.")
PROMPT = _invalid("prompt", "The parameter prompt has an unknown value or combines none with another.")
DISPLAY = _invalid("display", "The parameter display has an unknown value.")
HINT_INVALID = _invalid(
    "id_token_hint",
    "The id_token_hint is not an ID token of this issuer for this client, or the sub in claims is not its own.",
)
ACR_UNMET = _case(
    "unmet_authentication_requirements", "The authentication asked for is not available.", "acr.unmet"
)

# What `prompt=none` turns an unmet requirement into, and what a person decides.
LOGIN_REQUIRED = _case("login_required", "The person has to sign in.", "session.missing")
CONSENT_REQUIRED = _case("consent_required", "The person has to allow access.", "consent.missing")
ACCOUNT_SELECTION_REQUIRED = _case(
    "account_selection_required", "The person has to choose an account.", "session.unchosen"
)
INTERACTION_REQUIRED = _case(
    "interaction_required", "The person has to do something first.", "interaction.needed"
)
ACCESS_DENIED = _case("access_denied", "The person did not allow access.", "consent.denied")
DEVICE_GONE = _case("access_denied", "The device waits no longer.", "device.expired")
NOT_ALLOWED = _case("access_denied", "The person may not use this client.", "client.group_missing")
EXPIRED = _case("login_required", "The sign-in took too long; start again.", "interaction.expired")
UNAVAILABLE = _case(
    "temporarily_unavailable", "The service is not available right now.", "service.unavailable"
)
SERVER_ERROR = _case("server_error", "Something went wrong here.", "service.fault")
