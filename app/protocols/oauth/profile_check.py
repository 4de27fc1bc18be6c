"""What a client is registered for that a profile does not allow: rules as data, for `watchword client check`.

Where the profile is in force the server refuses all of it when it is tried. Before that, the list says what has to
change first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.kernel import uris
from app.protocols.oauth import profiles
from app.protocols.oauth.profiles import Profile

_KEY_TYPES = {"RSA": {"PS256", "RS256"}, "EC": {"ES256"}, "OKP": {"EdDSA", "Ed25519"}}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing a profile may forbid."""

    member: str
    """The registration member it is about."""
    says: str
    broken: Callable[[ClientRecord, TenantContext, Profile], bool]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule the client breaks."""

    member: str
    says: str


RULES: tuple[Rule, ...] = (
    Rule(
        "token_endpoint_auth_method",
        "may authenticate by another method than private_key_jwt or mutual TLS",
        lambda c, t, p: p.auth_methods is not None and c.token_endpoint_auth_method not in p.auth_methods,
    ),
    Rule(
        "token_endpoint_auth_signing_alg",
        "may sign its assertions with an algorithm that is too weak",
        lambda c, t, p: _is_other(c.token_endpoint_auth_signing_alg, p),
    ),
    Rule(
        "request_object_signing_alg",
        "may sign its requests with an algorithm that is too weak",
        lambda c, t, p: _is_other(c.request_object_signing_alg, p),
    ),
    Rule(
        "id_token_signed_response_alg",
        "is registered for ID tokens of an algorithm that is too weak; it gets ES256 instead",
        lambda c, t, p: "openid" in c.scopes and _is_other(c.id_token_signed_response_alg, p),
    ),
    Rule(
        "userinfo_signed_response_alg",
        "is registered for UserInfo signed with an algorithm that is too weak; it gets ES256 instead",
        lambda c, t, p: _is_other(c.userinfo_signed_response_alg, p),
    ),
    Rule(
        "federated_credentials",
        "may authenticate with a token of another issuer",
        lambda c, t, p: p.auth_methods is not None and bool(c.federated_credentials),
    ),
    Rule(
        "authorization_signed_response_alg",
        "is registered for responses signed with an algorithm that is too weak; it gets ES256 instead",
        lambda c, t, p: p.signed_responses and _is_other(c.authorization_signed_response_alg, p),
    ),
    Rule(
        "redirect_uris",
        "may be sent answers over plain http",
        lambda c, t, p: p.secure_redirects and any(u.lower().startswith("http:") for u in c.redirect_uris),
    ),
    Rule(
        "response_types",
        "may be given tokens in the authorization response",
        lambda c, t, p: not p.front_channel_tokens and bool(c.response_types - {"code"}),
    ),
    Rule(
        "grant_types",
        "may use the implicit grant",
        lambda c, t, p: not p.front_channel_tokens and "implicit" in c.grant_types,
    ),
    Rule(
        "request_uris",
        "may leave its requests at addresses of its own",
        lambda c, t, p: not p.by_reference and bool(c.request_uris),
    ),
    Rule(
        "require_pushed_authorization_requests",
        "may send authorization requests that were not pushed",
        lambda c, t, p: p.pushed and "authorization_code" in c.grant_types and not _is_pushed(c, t),
    ),
    Rule(
        "require_signed_request_object",
        "may send authorization requests that are not signed",
        lambda c, t, p: (
            p.signed_requests and "authorization_code" in c.grant_types and not profiles.demands_signing(c, t)
        ),
    ),
    Rule(
        "response_mode",
        "may be given authorization responses that are not signed",
        lambda c, t, p: (
            p.signed_responses
            and "authorization_code" in c.grant_types
            and not profiles.of(c, t).signed_responses
        ),
    ),
    Rule(
        "dpop_bound_access_tokens",
        "may get tokens that are bound to no key",
        lambda c, t, p: (
            p.sender_constrained
            and not (c.dpop_bound or c.certificate_bound or profiles.of(c, t).sender_constrained)
        ),
    ),
    Rule(
        "refresh_token_rotation",
        "has its refresh tokens rotated",
        lambda c, t, p: (
            not p.rotates_refresh_tokens and "refresh_token" in c.grant_types and profiles.rotates(c, t)
        ),
    ),
    Rule(
        "profile",
        "may go without PKCE",
        lambda c, t, p: (
            p.pkce_from_confidential
            and "authorization_code" in c.grant_types
            and not profiles.demands_pkce(c, t)
        ),
    ),
    Rule(
        "profile",
        "may sign client assertions for another audience than the issuer",
        lambda c, t, p: (
            p.assertion_audience != profiles.ANY_ENDPOINT
            and c.token_endpoint_auth_method in ("private_key_jwt", "client_secret_jwt")
            and profiles.of(c, t).assertion_audience == profiles.ANY_ENDPOINT
        ),
    ),
    Rule(
        "jwks",
        "has no key of an algorithm that is allowed",
        lambda c, t, p: p.algorithms is not None and c.jwks is not None and not _has_key(c, p.algorithms),
    ),
    Rule(
        "jwks_uri",
        "publishes its keys over plain http",
        lambda c, t, p: (
            p.secure_redirects
            and c.jwks_uri is not None
            and not uris.is_loopback_uri(c.jwks_uri)
            and c.jwks_uri.lower().startswith("http:")
        ),
    ),
)


def findings(client: ClientRecord, tenant: TenantContext, profile: Profile | None = None) -> list[Finding]:
    """What the client may still do, or is registered for, that `profile` forbids; without one, its own."""
    wanted = profile or profiles.of(client, tenant)
    return [Finding(rule.member, rule.says) for rule in RULES if rule.broken(client, tenant, wanted)]


def _is_other(alg: str | None, profile: Profile) -> bool:
    return alg is not None and profile.algorithms is not None and alg not in profile.algorithms


def _is_pushed(client: ClientRecord, tenant: TenantContext) -> bool:
    return profiles.demands_pushing(client, tenant)


def _has_key(client: ClientRecord, algorithms: tuple[str, ...]) -> bool:
    keys = (client.jwks or {}).get("keys", [])
    found = {
        alg
        for key in keys
        for alg in ({key["alg"]} if "alg" in key else _KEY_TYPES.get(key.get("kty"), set()))
    }
    return not found.isdisjoint(algorithms)
