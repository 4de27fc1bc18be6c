"""Tokens in the authorization response: the implicit and hybrid flows (OIDC Core sections 3.2 and 3.3).

Only where the tenant's `legacy_response_types`, the client's registration and its profile all allow it.
"""

from dataclasses import replace

from app.infra.keyring import Keyring
from app.protocols.oauth.audience import Resources
from app.protocols.oauth.issuance import Issuance, Subject, issue, issue_id_token
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.protocols.oauth.trip import Trip


def answer(
    asked: AuthorizationRequest,
    issuance: Issuance,
    subject: Subject,
    keyring: Keyring,
    resources: Resources,
    trip: Trip,
    code: str | None,
) -> list[tuple[str, str]]:
    """The tokens a response type asks for, as parameters of the answer. `trip` has to go before they do.

    The ID token vouches for what comes with it: `c_hash`, `at_hash`, `s_hash` (section 3.3.2.11).
    """
    found: list[tuple[str, str]] = []
    access_token = None
    if "token" in asked.response_types:
        response = issue(replace(issuance, with_id_token=False), keyring, resources, trip)
        access_token = response["access_token"]
        found += [
            ("access_token", access_token),
            ("token_type", response["token_type"]),
            ("expires_in", str(response["expires_in"])),
            ("scope", response["scope"]),
        ]
    if "id_token" in asked.response_types:
        id_token, _ = issue_id_token(
            issuance,
            subject,
            keyring,
            vouches_for={"at_hash": access_token, "c_hash": code, "s_hash": asked.state},
            # Where no access token ever comes, nobody can ask UserInfo (section 5.4).
            with_scopes=asked.response_type == "id_token",
        )
        found.append(("id_token", id_token))
    return found
