"""The ordered table of authorization-request checks: rows are checks, columns are the endpoints that make them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from app.protocols.oauth.steps import authentication, claims, clients, parameters, pkce, response, scopes
from app.protocols.oauth.steps.draft import Draft


class Endpoint(Enum):
    """Where an authorization request may arrive."""

    AUTHORIZE = "authorize"


Check = Callable[[Draft], None]
_A = frozenset({Endpoint.AUTHORIZE})


@dataclass(frozen=True, slots=True)
class Step:
    """One check: it fills the draft or raises `OAuthError`."""

    check: Check
    endpoints: frozenset[Endpoint]


STEPS: tuple[Step, ...] = (
    Step(clients.client_known, _A),
    Step(clients.redirect_uri_exact, _A),
    # From here on refusals are sent to the client.
    Step(response.response_mode_supported, _A),
    Step(parameters.none_repeated, _A),
    Step(parameters.none_too_long, _A),
    Step(parameters.no_request_object, _A),
    Step(response.response_type_code, _A),
    Step(pkce.challenge_s256, _A),
    Step(scopes.scopes_allowed, _A),
    Step(scopes.audience_known, _A),
    Step(claims.claims_readable, _A),
    Step(authentication.prompt_known, _A),
    Step(authentication.max_age_number, _A),
    Step(authentication.acr_available, _A),
    Step(authentication.display_known, _A),
    Step(authentication.id_token_hint_ours, _A),
)


def run(draft: Draft, endpoint: Endpoint) -> None:
    """Make every check of an endpoint's column, in order. Raises `OAuthError`."""
    for step in STEPS:
        if endpoint in step.endpoints:
            step.check(draft)
