"""The key a code is to be bound to (RFC 9449 section 10)."""

import re

from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import DPOP_JKT

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


def dpop_jkt_agreed(draft: Draft) -> None:
    """`dpop_jkt`, the proof of a pushed request, or both, which then have to name one key (section 10.1)."""
    named = draft.parameters.get("dpop_jkt")
    if named is None:
        return
    if not _THUMBPRINT.fullmatch(named) or draft.dpop_jkt not in (None, named):
        raise DPOP_JKT()
    draft.dpop_jkt = named
