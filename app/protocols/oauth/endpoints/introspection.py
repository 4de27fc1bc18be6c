"""Token introspection (RFC 7662): resource servers ask whether a token is good."""

from typing import Any

from app.domain import refresh, users
from app.domain.clients import ClientRecord
from app.infra import jose
from app.kernel import clock
from app.protocols.oauth import errors, lineage, profiles, tokens
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.reply import NO_STORE, Reply, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import kind_of
from app.protocols.oauth.tokens import AccessToken

_SIGNED = "application/token-introspection+jwt"
_JWT = (("Content-Type", _SIGNED), *NO_STORE)
_INACTIVE: dict[str, Any] = {"active": False}
_OURS_ALONE = ("epoch", "grant_id", lineage.CLAIM)


class Introspection:
    """Answers about a token whoever it is for or was issued to; to anybody else it does not exist (section 4)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """RFC 7662 section 2. Raises `OAuthError`."""
        exchange = Exchange(self._parts, request)
        client = exchange.authenticate()
        if client.is_public:
            raise errors.PUBLIC_CLIENT(client.client_id)
        token = request.form.get("token")
        if token is None:
            exchange.trip.go()
            raise errors.PARAMETER_MISSING("token")
        if refresh.parse(token) is not None:
            exchange.trip.go()
            return self._answer(request, client, self._refresh_token(exchange, client, token))
        return self._answer(request, client, self._access_token(exchange, client, token))

    def _answer(self, request: ProtocolRequest, client: ClientRecord, content: dict[str, Any]) -> Reply:
        """JSON, or a JWT for who asks for one (RFC 9701 sections 4 and 5)."""
        if _SIGNED not in request.headers.get("accept", "").lower():
            return ok(content)
        tenant = request.tenant
        alg = profiles.signing_algorithm(client.introspection_signed_response_alg, client, tenant)
        claims = {
            "iss": tenant.issuer,
            "aud": client.client_id,
            "iat": clock.timestamp(clock.now()),
            "token_introspection": content,
        }
        key = self._parts.keyring.current(tenant.id, alg)
        return Reply(200, _JWT, jose.sign(claims, key, typ="token-introspection+jwt").encode("ascii"))

    def _access_token(self, exchange: Exchange, client: ClientRecord, token: str) -> dict[str, Any]:
        parts, tenant = self._parts, exchange.request.tenant
        try:
            found = tokens.read(token, tenant, parts.keyring, parts.revocations, exchange.trip)
        except OAuthError as error:
            if error.error != "invalid_token":
                raise
            exchange.trip.go()
            return _INACTIVE
        if not _may_ask(client, found) or parts.clients.get(tenant.id, found.client_id) is None:
            return _INACTIVE
        shown = {name: value for name, value in found.claims.items() if name not in _OURS_ALONE}
        return {"active": True, "token_type": kind_of(shown), **shown}

    def _refresh_token(self, exchange: Exchange, client: ClientRecord, token: str) -> dict[str, Any]:
        """Only the client it was issued to may ask about a refresh token: nobody else should ever see one."""
        tenant, parsed = exchange.request.tenant, refresh.parse(token)
        with self._parts.tenancy.session(tenant.id) as session:
            found = self._parts.refresh_tokens.owner(session, tenant.id, token)
            if found is None or parsed is None:
                return _INACTIVE
            family, grant = found
            person = users.get(session, grant.user_id)
            if (
                grant.client_id != client.client_id
                or person is None
                or person.disabled_at is not None
                or family.revoked_at is not None
                or grant.revoked_at is not None
                or family.expires_at <= clock.now()
                or parsed.generation != family.generation
            ):
                return _INACTIVE
            return {
                "active": True,
                "iss": tenant.issuer,
                "sub": self._parts.keyring.subjects.of(tenant.id, client.sector, grant.user_id),
                "client_id": grant.client_id,
                "scope": " ".join(grant.scopes),
                "iat": clock.timestamp(family.rotated_at),
                "exp": clock.timestamp(family.expires_at),
            }


def _may_ask(client: ClientRecord, token: AccessToken) -> bool:
    """The client it was issued to, and resource servers it is for (`resource_server_for`)."""
    return token.client_id == client.client_id or not client.resource_server_for.isdisjoint(token.audience)
