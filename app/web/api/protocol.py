"""How the protocols' endpoints look in OpenAPI: their forms and answers. Which there are, `web.endpoints` says."""

from collections.abc import Mapping
from typing import Any

from app.domain.client_metadata import AUTH_METHODS, LEGACY_RESPONSE_TYPES, TLS_METHODS
from app.protocols.oauth import challenges
from app.protocols.oauth.steps.response import RESPONSE_MODES
from app.web.endpoints import Endpoint

_TEXT = {"type": "string"}
_FORM = "application/x-www-form-urlencoded"

_CLIENT = {
    "client_id": _TEXT,
    "client_secret": _TEXT,
    "client_assertion": _TEXT,
    "client_assertion_type": {"const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
}
_AUTHORIZATION = {
    "client_id": _TEXT,
    "response_type": {"enum": ["code", *LEGACY_RESPONSE_TYPES]},
    "redirect_uri": {"type": "string", "format": "uri"},
    "scope": _TEXT,
    "state": _TEXT,
    "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"const": "S256"},
    "nonce": _TEXT,
    "response_mode": {"enum": list(RESPONSE_MODES)},
    "prompt": _TEXT,
    "max_age": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    "acr_values": _TEXT,
    "login_hint": _TEXT,
    "id_token_hint": _TEXT,
    "ui_locales": _TEXT,
    "claims": _TEXT,
    "authorization_details": _TEXT,
    "dpop_jkt": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "request": _TEXT,
    "resource": {"type": "string", "format": "uri"},
}

_FORMS: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "token": (
        {
            "grant_type": {"enum": ["authorization_code", "refresh_token", "client_credentials"]},
            "code": _TEXT,
            "redirect_uri": _TEXT,
            "code_verifier": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"},
            "refresh_token": _TEXT,
            "scope": _TEXT,
            "authorization_details": _TEXT,
            "resource": {"type": "array", "items": _TEXT},
            **_CLIENT,
        },
        ("grant_type",),
    ),
    "revoke": ({"token": _TEXT, "token_type_hint": _TEXT, **_CLIENT}, ("token",)),
    "introspect": ({"token": _TEXT, "token_type_hint": _TEXT, **_CLIENT}, ("token",)),
    "userinfo": ({"access_token": _TEXT}, ()),
    "authorize": (
        {**_AUTHORIZATION, "request_uri": _TEXT},
        ("client_id",),
    ),
    "par": ({**_AUTHORIZATION, **_CLIENT}, ()),
    "authorization_challenge": (
        {
            **_AUTHORIZATION,
            **_CLIENT,
            "response_type": {"const": "code"},
            "auth_session": _TEXT,
            "username": _TEXT,
            **dict.fromkeys(challenges.FACTORS, _TEXT),
            "begin": {"enum": list(challenges.BEGIN)},
            "device": _TEXT,
        },
        (),
    ),
    "logout": (
        {
            "id_token_hint": _TEXT,
            "logout_hint": _TEXT,
            "client_id": _TEXT,
            "post_logout_redirect_uri": _TEXT,
            "state": _TEXT,
            "ui_locales": _TEXT,
        },
        (),
    ),
}
"""Parameters by endpoint, and which are required."""

_ANSWERS: Mapping[str, str] = {
    "token": "TokenResponse",
    "par": "PushedRequest",
    "authorization_challenge": "ChallengeAnswered",
    "introspect": "Introspection",
    "userinfo": "UserInfo",
    "openid_configuration": "Metadata",
    "oauth_metadata": "Metadata",
    "jwks": "KeySet",
    "client_registration": "ClientInformation",
    "client_configuration": "ClientInformation",
}
_SECURITY: Mapping[str, list[dict[str, list[str]]]] = {
    "token": [{"client_basic": []}, {}],
    "par": [{"client_basic": []}, {}],
    "authorization_challenge": [{"client_basic": []}, {}],
    "revoke": [{"client_basic": []}, {}],
    "introspect": [{"client_basic": []}, {}],
    "userinfo": [{"bearer": []}, {}],
    "client_registration": [{"bearer": []}, {}],
    "client_configuration": [{"bearer": []}],
}

SCHEMAS: dict[str, Any] = {
    "ClientMetadata": {
        "type": "object",
        "properties": {
            "redirect_uris": {"type": "array", "items": {"type": "string", "format": "uri"}},
            "token_endpoint_auth_method": {"enum": list(AUTH_METHODS + TLS_METHODS)},
            "grant_types": {"type": "array", "items": _TEXT},
            "response_types": {"type": "array", "items": _TEXT},
            "client_name": _TEXT,
            "scope": _TEXT,
        },
    },
    "ClientInformation": {
        "type": "object",
        "required": ["client_id", "registration_access_token", "registration_client_uri"],
        "properties": {
            "client_id": _TEXT,
            "client_secret": _TEXT,
            "client_secret_expires_at": {"type": "integer"},
            "registration_access_token": _TEXT,
            "registration_client_uri": {"type": "string", "format": "uri"},
        },
    },
    "OAuthError": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": _TEXT, "error_description": _TEXT},
    },
    "ChallengeAnswered": {
        "type": "object",
        "required": ["authorization_code", "auth_session", "device"],
        "properties": {"authorization_code": _TEXT, "auth_session": _TEXT, "device": _TEXT},
    },
    "ChallengeUnmet": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": _TEXT,
            "error_description": _TEXT,
            "auth_session": _TEXT,
            "factors": {"type": "array", "items": {"enum": list(challenges.FACTORS)}},
            "failed": {"enum": list(challenges.FACTORS)},
            "reason": _TEXT,
            "acr": _TEXT,
            "sent": {"type": "boolean"},
            "sent_to": _TEXT,
            "passkey_options": {"type": "object"},
            "request_uri": _TEXT,
            "expires_in": {"type": "integer"},
        },
    },
    "PushedRequest": {
        "type": "object",
        "required": ["request_uri", "expires_in"],
        "properties": {"request_uri": _TEXT, "expires_in": {"type": "integer"}},
    },
    "TokenResponse": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in"],
        "properties": {
            "access_token": _TEXT,
            "token_type": {"enum": ["Bearer", "DPoP"]},
            "expires_in": {"type": "integer"},
            "scope": _TEXT,
            "refresh_token": _TEXT,
            "id_token": _TEXT,
        },
    },
    "Introspection": {
        "type": "object",
        "required": ["active"],
        "properties": {"active": {"type": "boolean"}},
    },
    "UserInfo": {"type": "object", "required": ["sub"], "properties": {"sub": _TEXT}},
    "Metadata": {
        "type": "object",
        "required": ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"],
        "properties": {"issuer": {"type": "string", "format": "uri"}},
    },
    "KeySet": {
        "type": "object",
        "required": ["keys"],
        "properties": {
            "keys": {
                "type": "array",
                "items": {"type": "object", "required": ["kty", "kid", "alg", "use"]},
            }
        },
    },
}

_OAUTH_REFUSALS = {
    400: "The request is not valid.",
    401: "The client or the token is not.",
    403: "The token's scope, or the tenant, does not allow this.",
    409: "Somebody else changed the same.",
    411: "The request needs a Content-Length.",
    413: "The body is too large.",
    429: "Too many requests. Try again after `Retry-After` seconds.",
    503: "Something this server stands on does not answer. Try again after `Retry-After` seconds.",
}
_PAGE_ANSWERS = {
    200: "A page.",
    302: "On to the client.",
    303: "On to a page of this server, or to the client.",
    400: "A page that says what is wrong.",
    404: "A page that says what is wrong.",
    413: "A page that says what is wrong.",
    429: "A page that says what is wrong.",
    503: "A page that asks to try again.",
}


def operations(endpoint: Endpoint) -> dict[str, Any]:
    """The path item of one endpoint: an operation per method."""
    return {method.lower(): _operation(endpoint, method) for method in endpoint.methods if method != "HEAD"}


_SEGMENTS: Mapping[str, dict[str, Any]] = {
    "client_configuration": {
        "name": "client_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
}
"""What the last segment of a path names."""
_OBJECTS: Mapping[str, str] = {
    "client_registration": "ClientMetadata",
    "client_configuration": "ClientMetadata",
}
"""What the JSON of a request's body is."""
_MADE = frozenset({"par", "client_registration"})
"""Where something is made, so that the answer is 201."""


def _operation(endpoint: Endpoint, method: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": endpoint.name
        if method == endpoint.methods[0]
        else f"{endpoint.name}_{method.lower()}",
        "summary": endpoint.summary,
        "tags": ["protocol"],
        "responses": _responses(endpoint, method),
    }
    if endpoint.name in _SEGMENTS:
        said["parameters"] = [_SEGMENTS[endpoint.name]]
    if endpoint.name in _SECURITY:
        said["security"] = _SECURITY[endpoint.name]
    properties, required = _FORMS.get(endpoint.name, ({}, ()))
    if method in ("POST", "PUT") and endpoint.name in _OBJECTS:
        body = {"schema": {"$ref": f"#/components/schemas/{_OBJECTS[endpoint.name]}"}}
        said["requestBody"] = {"required": True, "content": {"application/json": body}}
    elif method == "POST":
        schema = {"type": "object", "properties": properties, "required": list(required)}
        said["requestBody"] = {"required": bool(required), "content": {_FORM: {"schema": schema}}}
    elif endpoint.answered_by == "flask":
        said["parameters"] = [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    return said


def _responses(endpoint: Endpoint, method: str) -> dict[str, Any]:
    if endpoint.answered_by == "flask":
        page = {"text/html": {"schema": _TEXT}}
        return {str(status): {"description": said, "content": page} for status, said in _PAGE_ANSWERS.items()}
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    found: dict[str, Any] = {
        str(status): {"description": said, "content": refusal} for status, said in _OAUTH_REFUSALS.items()
    }
    done: dict[str, Any] = {"description": "Done."}
    if (schema := _ANSWERS.get(endpoint.name)) is not None:
        done["content"] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    if endpoint.name == "authorization_challenge":
        unmet = {"application/json": {"schema": {"$ref": "#/components/schemas/ChallengeUnmet"}}}
        found["403"] = {
            "description": "The person has to show more, or go on in a browser.",
            "content": unmet,
        }
    if method == "DELETE":
        return {"204": {"description": "Done."}, **found}
    return {"201" if endpoint.name in _MADE else "200": done, **found}
