"""Where the parameters come from: pushed, or signed, or plain, and never from two places (contracts 17)."""

from app.protocols.oauth import profiles, pushed
from app.protocols.oauth.pushed import PushedRequest
from app.protocols.oauth.steps import response
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    PUSHED_BY_REFERENCE,
    PUSHED_UNKNOWN,
    PUSHING_REQUIRED,
    SIGNING_REQUIRED,
    TWO_SOURCES,
)


def one_source(draft: Draft) -> None:
    """Either `request` or `request_uri` (RFC 9101 section 5), each once."""
    names = {"request", "request_uri"}
    if names <= draft.parameters.keys() or not draft.repeated.isdisjoint(names):
        raise TWO_SOURCES()


def pushed_not_by_reference(draft: Draft) -> None:
    """What is pushed may not point elsewhere (RFC 9126 section 2.1)."""
    if "request_uri" in draft.parameters:
        raise PUSHED_BY_REFERENCE()


def pushed_request(draft: Draft) -> None:
    """A pushed request takes the place of everything beside it (RFC 9126 section 4).

    Its client alone may use it, once and in time; which of these it was is nobody else's business.
    """
    request_uri = draft.parameters.get("request_uri")
    if request_uri is None or not pushed.is_pushed(request_uri):
        return
    pushed_id = pushed.id_of(request_uri)
    stored = draft.directories.state.execute(pushed.look_up(draft.tenant.id, pushed_id)).results[0]
    found = PushedRequest.from_bytes(stored) if stored is not None else None
    if found is None or found.expired or found.client_id != draft.known_client.client_id:
        raise PUSHED_UNKNOWN(
            "none, or used" if found is None else f"of {found.client_id}, until {found.expires_at}"
        )
    draft.parameters, draft.resources_asked = found.parameters, found.resources
    draft.repeated = frozenset()
    draft.pushed, draft.signed, draft.dpop_jkt = pushed_id, found.signed, found.dpop_jkt


def answerable(draft: Draft) -> None:
    """Where a request that cannot be read is told so: the redirect URI beside it, if it is one of the client's."""
    asked = draft.parameters.get("redirect_uri")
    if (
        asked is not None
        and "redirect_uri" not in draft.repeated
        and draft.known_client.allows_redirect(asked)
    ):
        draft.redirect_uri = asked
        response.response_mode_supported(draft)


def pushed_where_demanded(draft: Draft) -> None:
    """The client, its profile or the tenant may demand pushing (RFC 9126 sections 5 and 6)."""
    if draft.pushed is None and profiles.demands_pushing(draft.known_client, draft.tenant):
        raise PUSHING_REQUIRED()


def signed_where_demanded(draft: Draft) -> None:
    """The client or its profile may demand signed requests (RFC 9101 section 10.5)."""
    if not draft.signed and profiles.demands_signing(draft.known_client, draft.tenant):
        raise SIGNING_REQUIRED()
