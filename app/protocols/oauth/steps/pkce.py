"""Proof Key for Code Exchange (RFC 7636): S256 for everybody."""

import re

from app.protocols.oauth import profiles
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import PKCE_CHALLENGE, PKCE_METHOD, PKCE_MISSING

_S256 = re.compile(r"[A-Za-z0-9_-]{43}")


def challenge_s256(draft: Draft) -> None:
    """A challenge of S256 (RFC 9700 section 2.1.1). Only confidential clients of the legacy profile may go without.

    A missing method means `plain` (RFC 7636 section 4.3), which shows the verifier to whoever sees the request.
    """
    challenge = draft.parameters.get("code_challenge")
    method = draft.parameters.get("code_challenge_method")
    client = draft.known_client
    if "code" not in draft.response_type.split():
        return
    if challenge is None:
        if method is None and not profiles.demands_pkce(client, draft.tenant):
            return
        raise PKCE_MISSING(f"client {client.client_id} sent no code_challenge")
    if method != "S256":
        raise PKCE_METHOD()
    if not _S256.fullmatch(challenge):
        raise PKCE_CHALLENGE()
    draft.code_challenge = challenge
