"""Identifiers. None of them is a secret; secrets come from `kernel.secrets`."""

import os
import time
import uuid


def new_id() -> str:
    """A time-ordered identifier for a row or an event: a UUID of version 7 (RFC 9562 section 5.7).

    Ordered, so that an index of them grows at its end.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def new_subject() -> str:
    """A subject identifier (OpenID Connect Core section 8): random, so that it tells nothing, never reassigned."""
    return str(uuid.uuid4())
