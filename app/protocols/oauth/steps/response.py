"""What the client wants back, and how."""

from app.domain.client_metadata import LEGACY_RESPONSE_TYPES
from app.kernel import uris
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    GRANT_TYPE,
    NONCE_MISSING,
    OPENID_MISSING,
    REDIRECT_INSECURE,
    RESPONSE_MODE,
    RESPONSE_TYPE,
    RESPONSE_TYPE_MISSING,
    RESPONSE_TYPE_UNREGISTERED,
    RESPONSE_UNSIGNED,
)

SIGNED = ".jwt"
"""What the name of a mode ends with whose answers are JWTs (JARM section 2.3)."""
RESPONSE_MODES = ("query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt")

_BY_WORDS = {frozenset(kind.split()): kind for kind in ("code", *LEGACY_RESPONSE_TYPES)}
_FRONT = frozenset({"token", "id_token"})


def response_mode_supported(draft: Draft) -> None:
    """How the answer travels; first of all, because every answer after this one is sent that way.

    Without `response_mode`: the query, or the fragment where tokens come back, which no server's log shows
    (OAuth 2.0 Multiple Response Type Encoding Practices section 5); signed where the client's profile says so.
    """
    asked = None if "response_mode" in draft.repeated else draft.parameters.get("response_mode")
    in_front = draft.tenant.settings.legacy_response_types and not _FRONT.isdisjoint(
        draft.parameters.get("response_type", "").split()
    )
    usual = "fragment" if in_front else "query"
    signs = draft.profile.signed_responses
    draft.response_mode = usual + SIGNED if signs else usual
    if asked is None:
        return
    mode = usual + SIGNED if asked == "jwt" else asked
    if asked not in RESPONSE_MODES or (in_front and mode.startswith("query")):
        raise RESPONSE_MODE()
    parts = uris.split(draft.redirect_uri or "")
    if mode.startswith("form_post") and (parts is None or parts.scheme not in ("http", "https")):
        raise RESPONSE_MODE("form_post needs a web redirect URI")
    if signs and not mode.endswith(SIGNED):
        raise RESPONSE_UNSIGNED()
    draft.response_mode = mode


def redirect_uri_secure(draft: Draft) -> None:
    """Some profiles allow no plain http, not even on a loopback address (FAPI 2.0 section 5.3.2.2)."""
    if draft.profile.secure_redirects and (draft.redirect_uri or "").lower().startswith("http:"):
        raise REDIRECT_INSECURE()


def response_type_allowed(draft: Draft) -> None:
    """`code` (OAuth 2.1 section 4.1.1), or what came before it where tenant, profile and client all want that."""
    asked = draft.parameters.get("response_type")
    if asked is None:
        raise RESPONSE_TYPE_MISSING()
    client = draft.known_client
    kind = _BY_WORDS.get(frozenset(asked.split(" ")))
    if kind is None or len(kind.split()) != len(asked.split(" ")):
        raise RESPONSE_TYPE()
    if kind != "code":
        if not (draft.tenant.settings.legacy_response_types and draft.profile.front_channel_tokens):
            raise RESPONSE_TYPE()
        if kind not in client.response_types or "implicit" not in client.grant_types:
            raise RESPONSE_TYPE_UNREGISTERED(
                f"{client.client_id} is registered for {sorted(client.response_types)}"
            )
        if "token" in kind.split() and (client.dpop_bound or client.certificate_bound):
            # A browser that is sent on proves no key (RFC 9449 section 5, RFC 8705 section 3).
            raise RESPONSE_TYPE_UNREGISTERED(f"the tokens of {client.client_id} are bound to a key")
    if "code" in kind.split() and "authorization_code" not in client.grant_types:
        raise GRANT_TYPE(f"register grant type authorization_code for client {client.client_id}")
    if kind == "code" and "code" not in client.response_types:
        raise GRANT_TYPE(f"register response type code for client {client.client_id}")
    draft.response_type = kind


def code_alone(draft: Draft) -> None:
    """Where no browser carries the answer, it is a code (OAuth 2.0 for First-Party Applications section 5.1)."""
    if draft.response_type != "code":
        raise RESPONSE_TYPE()


def id_token_has_nonce(draft: Draft) -> None:
    """What comes by the browser could be somebody else's answer (OIDC Core section 3.2.2.1)."""
    if "id_token" not in draft.response_type.split():
        return
    if "nonce" not in draft.parameters:
        raise NONCE_MISSING()
    if "openid" not in draft.scopes:
        raise OPENID_MISSING()
