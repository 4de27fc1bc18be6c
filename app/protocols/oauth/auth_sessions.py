"""Auth sessions: what goes on between an application and the authorization challenge endpoint
(OAuth 2.0 for First-Party Applications section 5.3.1).

To the application it is a name of 256 bits, good for one request: each answer brings another. Stored is its hash. It is
good for one client alone, and for one DPoP key where it began with one (section 9.6.1). While somebody signs in it
lives ten minutes at a time; once they are signed in, as long as their session, so that a later request asks only for
what is missing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from app.infra.state import Get, Key, Put, StateStore, TakeOnce
from app.kernel import clock
from app.kernel.secrets import lookup_hash, new_secret
from app.protocols.oauth import errors

KIND = "auth-session"
SECONDS = 600
MAX_REQUESTS = 50
"""So many requests may one sign-in take."""
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class AuthSession:
    """One of them. Of what the person showed it knows nothing but where that is kept."""

    client_id: str
    jkt: str | None
    """The thumbprint of the DPoP key it is bound to."""
    flow: str = field(default_factory=new_secret)
    """What codes and challenges of this sign-in are bound to. No request and no answer names it."""
    request: dict[str, Any] | None = None
    """The checked authorization request; None: it was answered."""
    pushable: dict[str, Any] | None = None
    """The same as it came, for a browser to go on with."""
    sign_in: dict[str, Any] = field(default_factory=dict)
    """Where the person stands. The sign-in's own."""
    requests: int = 0
    expires_at: int = 0

    def to_bytes(self) -> bytes:
        """As stored."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


class AuthSessions:
    """Where they are kept."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def look_up(self, tenant_id: str, name: str) -> Get:
        """The operation that reads one."""
        return Get(_key(tenant_id, name))

    def take(
        self, tenant_id: str, name: str, stored: bytes | None, *, client_id: str, jkt: str | None
    ) -> AuthSession:
        """Use the name up, provided that whoever presents it may. Others use nothing up. Raises `OAuthError`."""
        found = _read(stored)
        if found is None or found.expires_at <= clock.timestamp(clock.now()):
            raise errors.AUTH_SESSION_UNKNOWN("none, or expired")
        if found.client_id != client_id:
            raise errors.AUTH_SESSION_WRONG_CLIENT(f"of {found.client_id}")
        if found.jkt != jkt:
            raise errors.AUTH_SESSION_WRONG_KEY(
                "another key, or none" if found.jkt else "it began without one"
            )
        if self._state.execute(TakeOnce(_key(tenant_id, name))).results[0] != stored:
            raise errors.AUTH_SESSION_USED()
        if found.requests >= MAX_REQUESTS:
            raise errors.AUTH_SESSION_EXHAUSTED(f"{found.requests} requests")
        return found

    def keep(self, tenant_id: str, session: AuthSession) -> str:
        """Keep it until it expires, under a new name. Gives the name."""
        name = new_secret()
        self._put(tenant_id, name, session)
        return name

    def give_back(self, tenant_id: str, name: str, session: AuthSession) -> None:
        """Keep it under the name that was used up: nothing came of the request."""
        self._put(tenant_id, name, session)

    def _put(self, tenant_id: str, name: str, session: AuthSession) -> None:
        seconds = max(1, session.expires_at - clock.timestamp(clock.now()))
        self._state.execute(Put(_key(tenant_id, name), session.to_bytes(), seconds))


def _read(stored: bytes | None) -> AuthSession | None:
    if stored is None:
        return None
    content: Mapping[str, Any] = json.loads(stored)
    return AuthSession(**content)


def _key(tenant_id: str, name: str) -> Key:
    return Key(tenant_id, KIND, lookup_hash(name[:_MAX_NAME]))
