"""Pushed authorization requests as they are kept (RFC 9126): under a name nobody can guess, for a minute and a half.

Opening the sign-in page uses nothing up: a person may load it again. The answer does, whatever it is; of several
windows that began with one request exactly one gets it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from app.infra.state import Delete, Get, Key, Op, Put, PutIfAbsent
from app.kernel import clock
from app.kernel.secrets import lookup_hash, new_secret

PREFIX = "urn:ietf:params:oauth:request_uri:"
LIFETIME_SECONDS = 90
SPENT_SECONDS = 7200
"""So long is an answered request remembered: longer than anything that began with it is kept."""
_KIND, _SPENT = "pushed-request", "pushed-request-spent"


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """What a client pushed, already unpacked where it was signed. It is checked again when it is used."""

    client_id: str
    parameters: Mapping[str, str]
    resources: tuple[str, ...]
    signed: bool
    dpop_jkt: str | None
    expires_at: int = field(default_factory=lambda: clock.timestamp(clock.after(LIFETIME_SECONDS)))

    @property
    def expired(self) -> bool:
        """Whether it is too late to use it, however long the state store keeps it."""
        return clock.timestamp(clock.now()) >= self.expires_at

    def to_bytes(self) -> bytes:
        """As stored."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "PushedRequest":
        """As it was stored."""
        raw = json.loads(data)
        return cls(**{**raw, "resources": tuple(raw["resources"])})


def is_pushed(request_uri: str) -> bool:
    """Whether it looks like one of ours rather than an address of the client's."""
    return request_uri.startswith(PREFIX)


def id_of(request_uri: str) -> str:
    """What a request is kept under."""
    return lookup_hash(request_uri[: len(PREFIX) + 64])


def new(tenant_id: str, request: PushedRequest) -> tuple[str, Put]:
    """A fresh `request_uri` of 256 bits, and the operation that stores the request."""
    request_uri = PREFIX + new_secret()
    return request_uri, Put(_key(tenant_id, id_of(request_uri)), request.to_bytes(), LIFETIME_SECONDS)


def look_up(tenant_id: str, pushed_id: str) -> Get:
    """The operation that reads it."""
    return Get(_key(tenant_id, pushed_id))


def spend(tenant_id: str, pushed_id: str) -> tuple[Op, Op]:
    """The operations that use it up; the first is refused when somebody did before."""
    spent = PutIfAbsent(Key(tenant_id, _SPENT, pushed_id), b"1", SPENT_SECONDS, required=True)
    return spent, Delete(_key(tenant_id, pushed_id))


def _key(tenant_id: str, pushed_id: str) -> Key:
    return Key(tenant_id, _KIND, pushed_id)
