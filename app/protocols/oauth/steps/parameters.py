"""What no authorization request may contain."""

from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import PARAMETER_REPEATED, PARAMETER_TOO_LONG, REGISTRATION

MAX_LENGTH = 2048
LONGER = {"claims": 8192, "id_token_hint": 8192, "scope": 4000, "authorization_details": 8192}


def none_repeated(draft: Draft) -> None:
    """Parameters come once (RFC 6749 section 3.1), but for `resource`."""
    if draft.repeated:
        raise PARAMETER_REPEATED(f"repeated: {sorted(draft.repeated)}")


def none_too_long(draft: Draft) -> None:
    """Values fit what is stored with an interaction and a code."""
    for name, value in draft.parameters.items():
        if len(value) > LONGER.get(name, MAX_LENGTH):
            raise PARAMETER_TOO_LONG(f"{name[:100]!r} has {len(value)} characters")


def no_registration(draft: Draft) -> None:
    """Clients do not describe themselves in a request (OIDC Core section 7.2.1); it is refused aloud."""
    if "registration" in draft.parameters:
        raise REGISTRATION()
