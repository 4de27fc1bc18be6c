"""Authorization codes: what is remembered of one between the authorization response and its redemption.

The state store holds it under the hash of the code, ten minutes longer than it is good for, so that a late replay is
still known for what it is. Whether it was redeemed is the grant row's to say (`domain.grants.redeem`).
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from app.infra.state import Get, Increment, Key, Put
from app.kernel import clock
from app.kernel.secrets import lookup_hash, new_secret

KIND = "code"
TOMBSTONE_SECONDS = 600
WRONG_ATTEMPTS = 5
"""So often may a code be presented with a wrong client, redirect URI or verifier before it is gone."""


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """Everything the token request is checked against, and everything its tokens depend on. Times are NumericDates."""

    grant_id: str
    client_id: str
    user_id: str
    user_epoch: int
    redirect_uri: str
    redirect_uri_given: bool
    """Whether the authorization request named it, so that the token request has to (RFC 6749 section 4.1.3)."""
    code_challenge: str | None
    nonce: str | None
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    session_id: str | None
    session_expires_at: int | None
    auth_time: int
    amr: tuple[str, ...]
    acr: str
    offline: bool
    claims_request: dict[str, Any]
    expires_at: int
    dpop_jkt: str | None = None
    """The thumbprint of the DPoP key the token request has to prove (RFC 9449 section 10)."""

    authorization_details: tuple[dict[str, Any], ...] = ()

    def to_bytes(self) -> bytes:
        """As stored."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "CodeRecord":
        """As it was stored."""
        raw = json.loads(data)
        for name in ("scopes", "resources", "amr", "authorization_details"):
            raw[name] = tuple(raw.get(name, ()))
        return cls(**raw)

    @property
    def expired(self) -> bool:
        """Whether it is too late to redeem."""
        return clock.timestamp(clock.now()) >= self.expires_at


def key(tenant_id: str, code: str) -> Key:
    """Where a code's record lies."""
    return Key(tenant_id, KIND, lookup_hash(code))


def new(tenant_id: str, record: CodeRecord) -> tuple[str, Put]:
    """A fresh code of 256 bits, and the operation that stores its record."""
    code = new_secret()
    ttl = record.expires_at - clock.timestamp(clock.now()) + TOMBSTONE_SECONDS
    return code, Put(key(tenant_id, code), record.to_bytes(), ttl)


def look_up(tenant_id: str, code: str) -> Get:
    """The operation that reads a code's record."""
    return Get(key(tenant_id, code))


def count_wrong_attempt(tenant_id: str, code: str) -> Increment:
    """The operation that counts one wrong presentation; above `WRONG_ATTEMPTS` the caller deletes the code."""
    return Increment(Key(tenant_id, "code-attempts", lookup_hash(code)), TOMBSTONE_SECONDS)
