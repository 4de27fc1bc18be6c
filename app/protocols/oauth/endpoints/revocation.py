"""Token revocation (RFC 7009): a client gives a token back."""

from typing import Any

from app.domain import grants, refresh
from app.infra import audit
from app.infra.audit import Event
from app.infra.state import Delete
from app.kernel import clock
from app.protocols.oauth import errors, tokens
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.reply import NO_STORE, Reply
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.tokens import AccessToken

_DONE = Reply(200, NO_STORE, b"")


class Revocation:
    """Revokes a client's own tokens.

    A token that is unknown, of another client, or gone already is answered the same way as one that was revoked
    (section 2.2): there is nothing left to do, and nothing to learn.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """RFC 7009 section 2. `token_type_hint` is not needed: tokens tell their type. Raises `OAuthError`."""
        exchange = Exchange(self._parts, request)
        exchange.authenticate()
        token = request.form.get("token")
        if token is None:
            exchange.trip.go()
            raise errors.PARAMETER_MISSING("token")
        if refresh.parse(token) is not None:
            exchange.trip.go()
            self._refresh_token(exchange, token)
        elif tokens.is_jwt(token):
            exchange.trip.go()
            self._jwt(exchange, token)
        else:
            self._opaque(exchange, token)
        return _DONE

    def _refresh_token(self, exchange: Exchange, token: str) -> None:
        """The whole grant goes: access tokens issued under it are of no use to a client that gives this one back."""
        tenant_id, client = exchange.request.tenant.id, exchange.known_client
        with self._parts.tenancy.session(tenant_id, write=True) as session:
            found = self._parts.refresh_tokens.owner(session, tenant_id, token)
            if found is None or found[1].client_id != client.client_id:
                return
            family, grant = found
            log = self._parts.revocations
            if grants.revoke(session, tenant_id, grant.id, "token_revoked", log=log):
                data = {"kind": "refresh_token", "family": family.id}
                audit.record(session, _event(exchange, data, grant.user_id, grant.id))

    def _jwt(self, exchange: Exchange, token: str) -> None:
        tenant = exchange.request.tenant
        try:
            found = tokens.read_jwt(token, tenant, self._parts.keyring)
        except OAuthError:
            return
        if found.client_id != exchange.known_client.client_id:
            return
        self._mark(exchange, found)

    def _opaque(self, exchange: Exchange, token: str) -> None:
        """The stored token is deleted as well: it exists nowhere else."""
        look_up = tokens.look_up(token, exchange.request.tenant)
        place = exchange.trip.add(look_up)
        found = tokens.from_stored(exchange.trip.go()[place], self._parts.keyring)
        if found is None or found.client_id != exchange.known_client.client_id:
            return
        exchange.trip.add(Delete(look_up.key))
        exchange.trip.go()
        self._mark(exchange, found)

    def _mark(self, exchange: Exchange, token: AccessToken) -> None:
        """Write it down: what was exchanged for the token falls with it, whatever became of the token itself."""
        tenant_id = exchange.request.tenant.id
        expires_at = clock.from_timestamp(token.claims["exp"])
        with self._parts.tenancy.session(tenant_id, write=True) as session:
            self._parts.revocations.revoke_token(session, tenant_id, token.claims["jti"], expires_at)
            audit.record(session, _of_access_token(exchange, token))


def _of_access_token(exchange: Exchange, token: AccessToken) -> Event:
    data = {"kind": "access_token", "token_id": token.claims["jti"]}
    return _event(exchange, data, token.facts.user_id, token.grant_id)


def _event(exchange: Exchange, data: dict[str, Any], user_id: str | None, grant_id: str | None) -> Event:
    request = exchange.request
    return Event(
        "token.revoked",
        tenant_id=request.tenant.id,
        outcome="success",
        user_id=user_id,
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=exchange.known_client.client_id,
        grant_id=grant_id,
        data=data,
    )
