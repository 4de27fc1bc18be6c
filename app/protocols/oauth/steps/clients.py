"""Whose request it is, and where the answer goes: what has to be right before anything is sent anywhere."""

from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    CLIENT_MISSING,
    CLIENT_UNKNOWN,
    REDIRECT_MISSING,
    REDIRECT_UNREGISTERED,
    TARGET_REPEATED,
)


def client_known(draft: Draft) -> None:
    """The client is registered and enabled (RFC 6749 section 4.1.1)."""
    if not draft.repeated.isdisjoint(("client_id", "redirect_uri")):
        raise TARGET_REPEATED()
    client_id = draft.parameters.get("client_id")
    if client_id is None:
        raise CLIENT_MISSING()
    draft.client = (
        draft.directories.clients.get(draft.tenant.id, client_id) if len(client_id) <= 200 else None
    )
    if draft.client is None:
        raise CLIENT_UNKNOWN(f"client {client_id[:200]!r} is not registered or is disabled")


def redirect_uri_exact(draft: Draft) -> None:
    """The redirect URI is one of the client's, compared as a string (RFC 9700 section 2.1, contracts 17).

    It may be left out where there is only one, as OAuth allows; OpenID Connect does not (OIDC Core section 3.1.2.1).
    """
    client = draft.known_client
    asked = draft.parameters.get("redirect_uri")
    if asked is None:
        openid = "openid" in draft.parameters.get("scope", "").split(" ")
        # FAPI 2.0 section 5.3.2.2 wants it in every request.
        if len(client.redirect_uris) != 1 or openid or draft.profile.pushed:
            raise REDIRECT_MISSING(f"client {client.client_id} has to say which redirect URI it means")
        draft.redirect_uri = client.redirect_uris[0]
        return
    if not client.allows_redirect(asked):
        raise REDIRECT_UNREGISTERED(
            f"redirect URI {asked[:500]!r} is not registered for client {client.client_id}; register it there"
        )
    draft.redirect_uri, draft.redirect_uri_given = asked, True


def redirect_uri_for_later(draft: Draft) -> None:
    """Nobody is sent anywhere, so it may be left out. One that is given says where to go on, should it have to be in
    a browser after all (OAuth 2.0 for First-Party Applications section 5.2.2.1.1)."""
    asked = draft.parameters.get("redirect_uri")
    if asked is not None and not draft.known_client.allows_redirect(asked):
        raise REDIRECT_UNREGISTERED(
            f"redirect URI {asked[:500]!r} is not registered for client {draft.known_client.client_id}"
        )
    draft.redirect_uri = asked or ""
