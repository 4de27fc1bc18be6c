"""Identifiers. None of them is a secret; secrets come from `kernel.secrets`."""

import time
import uuid

from app.kernel.randomness import portion
from app.kernel.secrets import b64url

_VERSION_7 = 0x7 << 76 | 0x2 << 62
_RANDOM = (1 << 76) - 1 & ~(0x3 << 62)


def new_id() -> str:
    """A time-ordered identifier for a row or an event: a UUID of version 7 (RFC 9562 section 5.7).

    Ordered, so that an index of them grows at its end.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | _VERSION_7 | int.from_bytes(portion()) & _RANDOM
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_token_id() -> str:
    """The `jti` of a token: 128 random bits in base64url."""
    return b64url(portion())


def new_request_id() -> str:
    """What a request is called in logs and in the reference people quote."""
    return portion()[:12].hex()


def new_subject() -> str:
    """A subject identifier (OpenID Connect Core section 8): random, so that it tells nothing, never reassigned."""
    return str(uuid.uuid4())
