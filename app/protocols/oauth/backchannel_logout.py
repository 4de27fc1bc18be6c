"""Logout tokens: a client is told, server to server, that a session ended (OpenID Connect Back-Channel Logout 1.0).

The worker calls `deliver` for each notice of `domain.session_notices`. Every attempt makes a token of its own, which is
good for two minutes, with what is registered for the client by then.
"""

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from app.domain.clients import ClientDirectory, ClientRecord
from app.domain.tenant_directory import TenantDirectory
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.audit import Event
from app.infra.fetch import Fetched, FetchFailed
from app.infra.keyring import Keyring
from app.infra.outbox import DeliveryFailed
from app.kernel import clock, ids
from app.protocols.oauth import profiles

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_TYPE = "logout+jwt"
TOKEN_SECONDS = 120
"""At most two minutes are recommended (section 4)."""
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 65_536
"""More than the error page of a framework; none of it is looked at."""
DELIVERED = frozenset({200, 204})
"""204 is what some frameworks make of an empty 200 (section 2.8)."""
ATTEMPTS_REFUSED = 3
"""A client that says no will hardly change its mind; it may not have known a new key yet."""

_NOT_ALLOWED = frozenset({"fetch.address", "fetch.url"})
_PASSING = frozenset({408, 425, 429})


class Posts(Protocol):
    """The guarded fetcher (contracts 19): no redirects, no proxies, no addresses of the inside."""

    def post(
        self, url: str, body: bytes, *, content_type: str, max_bytes: int, timeout_seconds: float, accept: str
    ) -> Fetched:
        """The answer. Raises `FetchFailed`."""
        ...


class BackchannelLogout:
    """Delivers notices. One per worker; safe for threads."""

    def __init__(
        self, tenants: TenantDirectory, clients: ClientDirectory, keyring: Keyring, fetcher: Posts
    ) -> None:
        self._tenants = tenants
        self._clients = clients
        self._keyring = keyring
        self._fetcher = fetcher

    def deliver(self, tenant_id: str, payload: Mapping[str, Any]) -> Event | None:
        """The outbox handler: send one logout token. Raises `DeliveryFailed`.

        A client that was removed, disabled, or does not want to be told any more is not told.
        """
        tenant = self._tenants.by_id(tenant_id)
        if tenant is None:
            raise DeliveryFailed("the tenant is disabled")
        client = self._clients.get(tenant_id, payload["client_id"])
        if client is None or client.backchannel_logout_uri is None:
            return None
        user_id, session_id = payload["user_id"], payload["session_id"]
        token = self.token(tenant, client, user_id=user_id, session_id=session_id)
        try:
            self._post(client.client_id, client.backchannel_logout_uri, token)
        except DeliveryFailed as fault:
            fault.event = _event("logout.failed", tenant_id, payload, reason="logout.undeliverable")
            raise
        return _event("logout.sent", tenant_id, payload)

    def token(self, tenant: TenantContext, client: ClientRecord, *, user_id: str, session_id: str) -> str:
        """A logout token (section 2.4), signed as the client's ID tokens are (section 2.6, steps 2 and 3)."""
        alg = profiles.signing_algorithm(client.id_token_signed_response_alg, client, tenant)
        now = clock.timestamp(clock.now())
        claims = {
            "iss": tenant.issuer,
            "aud": client.client_id,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": ids.new_token_id(),
            "events": {LOGOUT_EVENT: {}},
            "sub": self._keyring.subjects.of(tenant.id, client.sector, user_id),
            "sid": session_id,
        }
        return jose.sign(claims, self._keyring.current(tenant.id, alg), typ=LOGOUT_TOKEN_TYPE)

    def _post(self, client_id: str, uri: str, token: str) -> None:
        """Section 2.5: one parameter, in a form."""
        try:
            answer = self._fetcher.post(
                uri,
                urlencode({"logout_token": token}).encode("ascii"),
                content_type="application/x-www-form-urlencoded",
                max_bytes=MAX_ANSWER_BYTES,
                timeout_seconds=TIMEOUT_SECONDS,
                accept="*/*",
            )
        except FetchFailed as fault:
            # The code alone: an address behind a name is nothing a tenant has to know of our network.
            raise DeliveryFailed(
                f"{client_id}: {fault.code}",
                permanent=fault.code in _NOT_ALLOWED,
                attempts=ATTEMPTS_REFUSED if fault.code == "fetch.too_large" else None,
            ) from fault
        if answer.status in DELIVERED:
            return
        passing = answer.status >= 500 or answer.status in _PASSING
        raise DeliveryFailed(
            f"{client_id}: answered {answer.status}", attempts=None if passing else ATTEMPTS_REFUSED
        )


def _event(name: str, tenant_id: str, payload: Mapping[str, Any], *, reason: str | None = None) -> Event:
    return Event(
        name,
        tenant_id=tenant_id,
        outcome="failure" if reason else "success",
        reason=reason,
        user_id=payload["user_id"],
        session_id=payload["session_id"],
        client_id=payload["client_id"],
    )
