"""The hash Watchword makes of a password: argon2id (RFC 9106), written as a PHC string.

libsodium computes it: the same function as anybody else's, in little more than half the time of a core, because it uses
the widest instructions the processor has. It knows one lane and a salt of 16 bytes, which is what is made here.
"""

import base64
import os
import re
from hmac import compare_digest

from nacl.pwhash.argon2id import kdf

MEMORY_KIB = 19_456
PASSES = 2
SALT_BYTES = 16
HASH_BYTES = 32

_PREFIX = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1$"
_WHOLE = re.compile(re.escape(_PREFIX) + r"([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})")


def make(password: bytes) -> str:
    """What to store for a password. Raises `RuntimeError` where there is no memory for it."""
    salt = os.urandom(SALT_BYTES)
    return _written(salt, _digest(password, salt))


def is_own(stored: str) -> bool:
    """Whether a hash is like those made here: function, cost, and lengths."""
    return _WHOLE.fullmatch(stored) is not None


def matches(password: bytes, stored: str) -> bool:
    """Whether a hash like those made here is the password's. Raises `RuntimeError` where there is no memory for it."""
    found = _WHOLE.fullmatch(stored)
    if found is None:
        return False
    salt, digest = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in found.groups())
    return compare_digest(_digest(password, salt), digest)


def unmatchable() -> str:
    """A well-formed hash of our own cost that is the hash of nothing: random where the digest stands."""
    return _written(os.urandom(SALT_BYTES), os.urandom(HASH_BYTES))


def _digest(password: bytes, salt: bytes) -> bytes:
    return kdf(HASH_BYTES, password, salt, opslimit=PASSES, memlimit=MEMORY_KIB * 1024)


def _written(salt: bytes, digest: bytes) -> str:
    parts = (base64.b64encode(part).rstrip(b"=").decode("ascii") for part in (salt, digest))
    return _PREFIX + "$".join(parts)
