"""What this server says of itself (RFC 8414, OpenID Connect Discovery 1.0). It says only what is so.

Every name is a registered one: certification validates against a closed set (contracts 21).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain import claims as domain_claims
from app.domain.assurance import ACR_VALUES
from app.domain.client_metadata import (
    ASSERTION_ALGORITHMS,
    AUTH_METHODS,
    LEGACY_RESPONSE_TYPES,
    REQUEST_OBJECT_ALGORITHMS,
)
from app.domain.tenants import TenantContext
from app.infra.jose import SIGNING_ALGORITHMS
from app.kernel import languages
from app.kernel.settings import Settings
from app.protocols.oauth import dpop, mtls
from app.protocols.oauth.profiles import PROFILES
from app.protocols.oauth.steps.authentication import CREATE, DISPLAYS, prompts
from app.protocols.oauth.steps.response import RESPONSE_MODES

CONFIDENTIAL_METHODS = tuple(method for method in AUTH_METHODS if method != "none")
PROMPT_VALUES = ("none", "login", "consent", "select_account")
ID_TOKEN_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid")


@dataclass(frozen=True, slots=True)
class Transport:
    """What the deployment's TLS is able to tell of clients."""

    tls_methods: tuple[str, ...] = ()
    mtls_url: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "Transport":
        """As it is set up."""
        return cls(mtls.available(settings), settings.mtls_url)

    def members(self, tenant: TenantContext, endpoints: Mapping[str, str]) -> dict[str, Any]:
        """What follows from it (RFC 8705 sections 3.3 and 5); nothing where clients show no certificates."""
        if not self.tls_methods:
            return {}
        found: dict[str, Any] = {"tls_client_certificate_bound_access_tokens": True}
        if self.mtls_url:
            base = mtls.alias(tenant, self.mtls_url)
            found["mtls_endpoint_aliases"] = {
                member: base + path for member, path in endpoints.items() if member in _ALIASED
            }
        return found


_ALIASED = frozenset(
    {
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "userinfo_endpoint",
        "pushed_authorization_request_endpoint",
        "device_authorization_endpoint",
        "authorization_challenge_endpoint",
        "registration_endpoint",
    }
)


def oauth_document(
    tenant: TenantContext,
    endpoints: Mapping[str, str],
    grant_types: Iterable[str],
    transport: Transport = Transport(),
    details_types: Iterable[str] = (),
) -> dict[str, Any]:
    """The document of RFC 8414. `endpoints` are metadata members and the paths they stand for."""
    return {
        "issuer": tenant.issuer,
        **{
            member: tenant.issuer + path
            for member, path in endpoints.items()
            if member != "userinfo_endpoint"
        },
        **_common(tenant, grant_types, transport),
        **_requests(tenant, details_types),
        **transport.members(tenant, endpoints),
        "ui_locales_supported": list(tenant.settings.languages.among(languages.available())),
    }


def openid_document(
    tenant: TenantContext,
    endpoints: Mapping[str, str],
    grant_types: Iterable[str],
    transport: Transport = Transport(),
    details_types: Iterable[str] = (),
) -> dict[str, Any]:
    """The document of OpenID Connect Discovery 1.0 section 3."""
    return {
        "issuer": tenant.issuer,
        **{member: tenant.issuer + path for member, path in endpoints.items()},
        **_common(tenant, grant_types, transport),
        **_requests(tenant, details_types),
        **transport.members(tenant, endpoints),
        "ui_locales_supported": list(tenant.settings.languages.among(languages.available())),
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
        "userinfo_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
        "acr_values_supported": list(ACR_VALUES),
        "display_values_supported": list(DISPLAYS),
        "claim_types_supported": ["normal"],
        "claims_supported": list(dict.fromkeys((*ID_TOKEN_CLAIMS, *domain_claims.STANDARD_CLAIMS))),
        "claims_parameter_supported": True,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": True,
        "require_request_uri_registration": True,
        "prompt_values_supported": [p for p in (*PROMPT_VALUES, CREATE) if p in prompts(tenant)],
    }


def _common(tenant: TenantContext, grant_types: Iterable[str], transport: Transport) -> dict[str, Any]:
    """What both documents say: clients read the one or the other."""
    legacy = LEGACY_RESPONSE_TYPES if tenant.settings.legacy_response_types else ()
    return {
        "scopes_supported": list(domain_claims.OPENID_SCOPES),
        "response_types_supported": ["code", *legacy],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": [*grant_types, *(["implicit"] if legacy else [])],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS + transport.tls_methods),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS + transport.tls_methods),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL_METHODS + transport.tls_methods),
        "introspection_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "introspection_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
    }


def _requests(tenant: TenantContext, details_types: Iterable[str]) -> dict[str, Any]:
    """How requests may come and answers go. What is demanded of every client is said; what of some, is theirs."""
    profile = PROFILES[tenant.settings.profile]
    found: dict[str, Any] = {
        "request_object_signing_alg_values_supported": list(REQUEST_OBJECT_ALGORITHMS),
        "authorization_signing_alg_values_supported": list(SIGNING_ALGORITHMS),
    }
    if profile.pushed or tenant.settings.require_pushed_authorization_requests:
        found["require_pushed_authorization_requests"] = True
    if profile.signed_requests:
        found["require_signed_request_object"] = True
    if types := list(details_types):
        found["authorization_details_types_supported"] = types
    return found
