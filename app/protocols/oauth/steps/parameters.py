"""What no authorization request may contain."""

from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    PARAMETER_REPEATED,
    PARAMETER_TOO_LONG,
    REGISTRATION,
    REQUEST_OBJECT,
    REQUEST_URI,
)

MAX_LENGTH = 2048
LONGER = {"claims": 8192, "id_token_hint": 8192, "scope": 4000}


def none_repeated(draft: Draft) -> None:
    """Parameters come once (RFC 6749 section 3.1), but for `resource`."""
    if draft.repeated:
        raise PARAMETER_REPEATED(f"repeated: {sorted(draft.repeated)}")


def none_too_long(draft: Draft) -> None:
    """Values fit what is stored with an interaction and a code."""
    for name, value in draft.parameters.items():
        if len(value) > LONGER.get(name, MAX_LENGTH):
            raise PARAMETER_TOO_LONG(f"{name[:100]!r} has {len(value)} characters")


def no_request_object(draft: Draft) -> None:
    """Request objects are refused aloud rather than ignored (OIDC Core section 6, RFC 9101 section 5)."""
    for name, refusal in (
        ("request", REQUEST_OBJECT),
        ("request_uri", REQUEST_URI),
        ("registration", REGISTRATION),
    ):
        if name in draft.parameters:
            raise refusal()
