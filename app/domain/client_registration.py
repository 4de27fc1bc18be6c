"""What a client may say of itself when it registers (RFC 7591 section 2, OIDC Dynamic Registration section 2).

Members nobody here acts on are passed over, as both specifications demand; so are those that are an administrator's to
say. What the tenant does not let such clients have is left out where something remains, and the answer says what
does; what contradicts itself is refused.
"""

import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from app.domain.client_metadata import (
    LEGACY_RESPONSE_TYPES,
    LOCALIZED,
    ClientMetadata,
    leaves_redirects,
    redirect_uri_fault,
    validate,
)
from app.domain.tenant_settings import TenantSettings
from app.kernel import uris
from app.kernel.errors import Problem

SAID_BY_CLIENTS = frozenset(
    """redirect_uris token_endpoint_auth_method token_endpoint_auth_signing_alg grant_types response_types client_name
    client_uri logo_uri scope contacts tos_uri policy_uri jwks_uri jwks software_id software_version application_type
    subject_type sector_identifier_uri id_token_signed_response_alg userinfo_signed_response_alg
    introspection_signed_response_alg default_max_age require_auth_time default_acr_values initiate_login_uri
    post_logout_redirect_uris dpop_bound_access_tokens tls_client_certificate_bound_access_tokens
    tls_client_auth_subject_dn tls_client_auth_san_dns tls_client_auth_san_uri tls_client_auth_san_ip
    tls_client_auth_san_email request_object_signing_alg require_signed_request_object request_uris
    require_pushed_authorization_requests authorization_signed_response_alg authorization_details_types
    backchannel_logout_uri backchannel_logout_session_required frontchannel_logout_uri
    frontchannel_logout_session_required""".split()
).intersection(ClientMetadata.model_fields)
"""The others are an administrator's: `first_party`, `profile`, `allowed_groups`, what may be exchanged."""

_UNSEEN = frozenset({"Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp"})
"""Categories of characters that show nothing, or something else everywhere: controls, what makes a name be read in
another order than it is written, and what a font may put anything in place of."""
_JOINER = "\u034f"
"""The combining grapheme joiner: a mark by its category, and nothing to be seen."""
_RESPONSE_TYPES = frozenset(frozenset(kind.split()) for kind in ("code", *LEGACY_RESPONSE_TYPES))


def read(
    said: Mapping[str, Any],
    settings: TenantSettings,
    *,
    stored: Mapping[str, Any] | None = None,
    scope_limit: Collection[str] | None = None,
) -> dict[str, Any]:
    """The metadata of a client that says this of itself, checked; `stored` keeps what an administrator said of it.

    Raises `Problem`: `client.redirect_uri_invalid`, or `client.metadata_invalid` naming every fault.
    """
    found = {name: value for name, value in said.items() if value is not None and _is_own(name)}
    _check_types(found)
    _choose_grants(found, settings)
    _check_redirects(found)
    _check_sector(found)
    if str(found.get("initiate_login_uri", "https:")).partition(":")[0].lower() != "https":
        # OIDC Dynamic Registration section 2: here a loopback address is no exception.
        raise _bad_metadata("initiate_login_uri: an https URI is wanted")
    _choose_scope(found, settings, scope_limit)
    if types := found.get("authorization_details_types"):
        allowed = settings.registration.client_rules.authorization_details_types
        found["authorization_details_types"] = [kind for kind in types if kind in allowed]
    kept = {name: value for name, value in (stored or {}).items() if not _is_own(name)}
    return validate({**kept, **found})


def shown(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a client is told of itself: what it may say, defaults included (RFC 7591 section 3.2.1)."""
    localized = {name: value for name, value in metadata.items() if LOCALIZED.match(name)}
    whole = ClientMetadata.model_validate({k: v for k, v in metadata.items() if k not in localized})
    told = whole.model_dump(mode="json", exclude_none=True)
    return {name: told[name] for name in told if name in SAID_BY_CLIENTS and told[name] != ""} | localized


def _is_own(name: str) -> bool:
    return name in SAID_BY_CLIENTS or LOCALIZED.match(name) is not None


def _check_types(found: Mapping[str, Any]) -> None:
    """Of what is looked at before everything is validated."""
    for name in ("redirect_uris", "grant_types", "response_types", "authorization_details_types"):
        value = found.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _bad_metadata(f"{name}: a list of texts is wanted")
    for name in ("scope", "application_type", "initiate_login_uri"):
        if not isinstance(found.get(name, ""), str):
            raise _bad_metadata(f"{name}: text is wanted")
    for name, value in found.items():
        if name.startswith("client_name") and isinstance(value, str) and _misleads(value):
            raise _bad_metadata(f"{name}: a character that cannot be seen")


def _misleads(name: str) -> bool:
    """Whether a name holds what cannot be seen: two names people cannot tell apart, or one that is none."""
    return any(unicodedata.category(sign) in _UNSEEN or sign == _JOINER for sign in name)


def _choose_grants(found: dict[str, Any], settings: TenantSettings) -> None:
    """Grant and response types that go together (RFC 7591 section 2.1), as far as the tenant allows them."""
    grants, responses = found.get("grant_types"), found.get("response_types")
    if grants is None:
        kinds = responses if responses is not None else ["code"]
        grants = sorted({grant for kind in kinds for grant in _needed(kind)}) or ["authorization_code"]
    if responses is None:
        responses = ["code"] if "authorization_code" in grants else []
    for kind in responses:
        if missing := sorted(set(_needed(kind)).difference(grants)):
            raise _bad_metadata(f"response_types: {kind} needs grant type {', '.join(missing)}")
    allowed = set(settings.registration.client_rules.grant_types)
    allowed |= {"implicit"} if settings.legacy_response_types else set()
    kept = [grant for grant in grants if grant in allowed]
    fitting = [kind for kind in responses if _is_known(kind) and set(_needed(kind)) <= set(kept)]
    if not kept or ("response_types" in found and responses and not fitting):
        raise _bad_metadata(f"grant_types: of those named none is allowed here; there are {sorted(allowed)}")
    found["grant_types"], found["response_types"] = kept, fitting


def _needed(response_type: str) -> list[str]:
    """The grants a response type is of (RFC 7591 section 2.1, OIDC Dynamic Registration section 2)."""
    words = response_type.split()
    front = ["implicit"] if {"token", "id_token"}.intersection(words) else []
    return (["authorization_code"] if "code" in words else []) + front


def _is_known(response_type: str) -> bool:
    return frozenset(response_type.split()) in _RESPONSE_TYPES


def _check_redirects(found: dict[str, Any]) -> None:
    """Where a client of its type may have people sent (OIDC Dynamic Registration section 2, RFC 8252 section 8.4)."""
    redirects: list[str] = found.get("redirect_uris", [])
    for uri in redirects:
        if fault := redirect_uri_fault(uri):
            raise _bad_redirect(f"{ascii(uri)[:300]}: {fault}")
    implicit = "implicit" in found["grant_types"]
    installed = bool(redirects) and not any(uri.lower().startswith("https:") for uri in redirects)
    if found.setdefault("application_type", "web") == "web" and installed and not implicit:
        # Many who write installed applications do not say so, or say otherwise; what they register tells.
        found["application_type"] = "native"
    if found["application_type"] == "web":
        for uri in redirects:
            if not uri.lower().startswith("https:"):
                raise _bad_redirect(f"{uri}: a web application's redirect URIs are https")
            if implicit and uris.is_loopback_uri(uri):
                raise _bad_redirect(f"{uri}: tokens are not sent to this machine by way of the browser")


def _check_sector(found: Mapping[str, Any]) -> None:
    """Nobody is in a sector by naming it: what it learns of people has to arrive at redirect URIs the sector lists."""
    if found.get("sector_identifier_uri") is None:
        return
    if not found.get("redirect_uris"):
        raise _bad_metadata("sector_identifier_uri: it goes with redirect_uris, which its document lists")
    if leaves_redirects(found["grant_types"]):
        raise _bad_metadata(
            "sector_identifier_uri: a client that gets tokens without a redirect is a sector of its own"
        )


def _choose_scope(
    found: dict[str, Any], settings: TenantSettings, scope_limit: Collection[str] | None
) -> None:
    allowed = settings.registration.client_rules.scopes
    if scope_limit is not None:
        allowed = tuple(scope for scope in allowed if scope in scope_limit)
    asked = found["scope"].split() if "scope" in found else allowed
    kept = [scope for scope in asked if scope in allowed]
    if not kept:
        raise _bad_metadata("scope: of the scopes that were named none is allowed here")
    found["scope"] = " ".join(kept)


def _bad_metadata(what: str) -> Problem:
    return Problem("client.metadata_invalid", f"The client's metadata is not valid: {what}")


def _bad_redirect(what: str) -> Problem:
    return Problem("client.redirect_uri_invalid", f"A redirect URI is not valid: {what}")
