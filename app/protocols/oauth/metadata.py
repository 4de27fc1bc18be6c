"""What this server says of itself (RFC 8414, OpenID Connect Discovery 1.0). It says only what is so.

Every name is a registered one: certification validates against a closed set (contracts 21).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain import claims as domain_claims
from app.domain.assurance import ACR_VALUES
from app.domain.client_metadata import ASSERTION_ALGORITHMS, AUTH_METHODS
from app.domain.tenants import TenantContext
from app.infra.jose import SIGNING_ALGORITHMS
from app.kernel import languages
from app.protocols.oauth.steps.authentication import CREATE, DISPLAYS, prompts
from app.protocols.oauth.steps.response import RESPONSE_MODES

CONFIDENTIAL_METHODS = tuple(method for method in AUTH_METHODS if method != "none")
PROMPT_VALUES = ("none", "login", "consent", "select_account")
ID_TOKEN_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")


def oauth_document(
    tenant: TenantContext, endpoints: Mapping[str, str], grant_types: Iterable[str]
) -> dict[str, Any]:
    """The document of RFC 8414. `endpoints` are metadata members and the paths they stand for."""
    return {
        "issuer": tenant.issuer,
        **{
            member: tenant.issuer + path
            for member, path in endpoints.items()
            if member != "userinfo_endpoint"
        },
        **_common(grant_types),
        "ui_locales_supported": list(tenant.settings.languages.among(languages.available())),
    }


def openid_document(
    tenant: TenantContext, endpoints: Mapping[str, str], grant_types: Iterable[str]
) -> dict[str, Any]:
    """The document of OpenID Connect Discovery 1.0 section 3."""
    return {
        "issuer": tenant.issuer,
        **{member: tenant.issuer + path for member, path in endpoints.items()},
        **_common(grant_types),
        "ui_locales_supported": list(tenant.settings.languages.among(languages.available())),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
        "acr_values_supported": list(ACR_VALUES),
        "display_values_supported": list(DISPLAYS),
        "claim_types_supported": ["normal"],
        "claims_supported": list(dict.fromkeys((*ID_TOKEN_CLAIMS, *domain_claims.STANDARD_CLAIMS))),
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "prompt_values_supported": [p for p in (*PROMPT_VALUES, CREATE) if p in prompts(tenant)],
    }


def _common(grant_types: Iterable[str]) -> dict[str, Any]:
    """What both documents say: clients read the one or the other."""
    return {
        "scopes_supported": list(domain_claims.OPENID_SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": list(grant_types),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_METHODS),
        "introspection_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
