"""What the client wants back, and how."""

from app.kernel import uris
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    GRANT_TYPE,
    RESPONSE_MODE,
    RESPONSE_TYPE,
    RESPONSE_TYPE_MISSING,
)

RESPONSE_MODES = ("query", "form_post")


def response_mode_supported(draft: Draft) -> None:
    """`query` or `form_post`; first of all, because every answer after this one is sent that way."""
    if "response_mode" in draft.repeated:
        return
    mode = draft.parameters.get("response_mode", "query")
    if mode not in RESPONSE_MODES:
        raise RESPONSE_MODE()
    parts = uris.split(draft.redirect_uri or "")
    if mode == "form_post" and (parts is None or parts.scheme not in ("http", "https")):
        raise RESPONSE_MODE("form_post needs a web redirect URI")
    draft.response_mode = mode


def response_type_code(draft: Draft) -> None:
    """`code` alone (OAuth 2.1 section 4.1.1), from a client that is registered for it."""
    response_type = draft.parameters.get("response_type")
    if response_type is None:
        raise RESPONSE_TYPE_MISSING()
    if response_type != "code":
        raise RESPONSE_TYPE()
    client = draft.known_client
    if "authorization_code" not in client.grant_types or "code" not in client.response_types:
        raise GRANT_TYPE(f"register grant type authorization_code for client {client.client_id}")
