"""Identifiers. None of them is a secret; secrets come from `kernel.secrets`."""

import os
import time
import uuid

from app.kernel.randomness import portion
from app.kernel.secrets import b64url

_REQUEST_IDS = 64
_request_ids: list[str] = []
"""Ready to be taken, which `list.pop` does for one caller alone. A forked child takes none of its parent's."""
os.register_at_fork(after_in_child=_request_ids.clear)

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id() -> str:
    """A time-ordered identifier for a row or an event: a UUID of version 7 (RFC 9562 section 5.7).

    Ordered, so that an index of them grows at its end.
    """
    at = f"{time.time_ns() // 1_000_000:012x}"
    random = portion().hex()
    return f"{at[:8]}-{at[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"


def new_token_id() -> str:
    """The `jti` of a token: 128 random bits in base64url."""
    return b64url(portion())


def new_request_id() -> str:
    """What a request is called in logs and in the reference people quote."""
    try:
        return _request_ids.pop()
    except IndexError:
        _request_ids.extend(portion()[:12].hex() for _ in range(_REQUEST_IDS))
        return portion()[:12].hex()


def new_subject() -> str:
    """A subject identifier (OpenID Connect Core section 8): random, so that it tells nothing, never reassigned."""
    return str(uuid.uuid4())
