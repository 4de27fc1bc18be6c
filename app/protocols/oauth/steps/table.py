"""The ordered table of authorization-request checks: rows are checks, columns are the endpoints that make them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from app.protocols.oauth.steps import (
    authentication,
    claims,
    clients,
    dpop,
    jar,
    parameters,
    pkce,
    rar,
    response,
    scopes,
    sources,
)
from app.protocols.oauth.steps.draft import Draft


class Endpoint(Enum):
    """Where an authorization request may arrive."""

    AUTHORIZE = "authorize"
    PAR = "par"
    DEVICE = "device_authorization"
    CHALLENGE = "authorization_challenge"


Check = Callable[[Draft], None]
_A = frozenset({Endpoint.AUTHORIZE})
_P = frozenset({Endpoint.PAR})
_C = frozenset({Endpoint.CHALLENGE})
_AP = _A | _P
_APC = _AP | _C
_PDC = _P | _C | frozenset({Endpoint.DEVICE})
_APDC = _A | _PDC


@dataclass(frozen=True, slots=True)
class Step:
    """One check: it fills the draft or raises `OAuthError`."""

    check: Check
    endpoints: frozenset[Endpoint]


STEPS: tuple[Step, ...] = (
    Step(clients.client_known, _A),  # At the other endpoints the client has authenticated.
    Step(sources.one_source, _A),
    Step(sources.pushed_not_by_reference, _PDC),
    Step(sources.pushed_request, _A),
    Step(jar.request_object, _APDC),
    Step(clients.redirect_uri_exact, _AP),
    Step(clients.redirect_uri_for_later, _C),
    # From here on refusals are sent to the client.
    Step(response.response_mode_supported, _AP),
    Step(parameters.none_repeated, _AP),
    Step(parameters.none_too_long, _APDC),
    Step(parameters.no_registration, _APDC),
    Step(sources.pushed_where_demanded, _A),
    Step(sources.signed_where_demanded, _APDC),
    Step(response.redirect_uri_secure, _APC),
    Step(response.response_type_allowed, _APC),
    Step(response.code_alone, _C),
    Step(pkce.challenge_s256, _APC),
    Step(dpop.dpop_jkt_agreed, _APC),
    Step(rar.details_understood, _APDC),
    Step(scopes.scopes_allowed, _APDC),
    Step(scopes.audience_known, _APDC),
    Step(response.id_token_has_nonce, _AP),
    Step(claims.claims_readable, _APDC),
    Step(authentication.prompt_known, _APC),
    Step(authentication.max_age_number, _APDC),
    Step(authentication.acr_available, _APDC),
    Step(authentication.display_known, _AP),
    Step(authentication.id_token_hint_ours, _APDC),
)


def run(draft: Draft, endpoint: Endpoint) -> None:
    """Make every check of an endpoint's column, in order. Raises `OAuthError`."""
    for step in STEPS:
        if endpoint in step.endpoints:
            step.check(draft)
