"""Authorization details (RFC 9396)."""

from app.protocols.oauth import details
from app.protocols.oauth.steps.draft import Draft


def details_understood(draft: Draft) -> None:
    """Each of a type the tenant defined and the client may use."""
    types = draft.directories.details_types.all(draft.tenant.id)
    asked = draft.parameters.get("authorization_details")
    draft.authorization_details = details.read(asked, types, draft.known_client) or ()
