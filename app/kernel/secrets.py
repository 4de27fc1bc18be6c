"""Making and comparing secrets."""

import base64
import hashlib
import hmac
import secrets

SECRET_BYTES = 32


def new_secret() -> str:
    """A secret of 256 bits in base64url without padding (43 characters)."""
    return secrets.token_urlsafe(SECRET_BYTES)


def keyed_hash(key: bytes, secret: str) -> bytes:
    """HMAC-SHA-256 of `secret`: what is stored in place of a generated secret."""
    return hmac.digest(key, secret.encode("utf-8", "surrogatepass"), "sha256")


def lookup_hash(secret: str) -> str:
    """The name under which a 256-bit secret is stored, so that the store never holds the secret itself.

    A plain SHA-256 is enough: what has 256 bits of entropy cannot be guessed from its digest.
    """
    return b64url(hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest())


def equal(one: bytes | str, other: bytes | str) -> bool:
    """Compare in constant time. Text may hold any character."""
    first = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
    second = other.encode("utf-8", "surrogatepass") if isinstance(other, str) else other
    return hmac.compare_digest(first, second)


def b64url(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """The bytes of unpadded base64url. Raises `ValueError` for all else, other spellings of the same bytes too."""
    raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64url(raw) != text:
        raise ValueError("not canonical base64url")
    return raw
