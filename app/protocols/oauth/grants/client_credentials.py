"""The client credentials grant: a client acts for itself (RFC 6749 section 4.4)."""

from typing import Any

from app.infra import audit
from app.infra.audit import Event
from app.protocols.oauth import audience
from app.protocols.oauth.authlib_seam import ClientCredentialsGrant, TokenResponse
from app.protocols.oauth.client_auth import add_limits
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.issuance import Issuance, issue
from app.protocols.oauth.repeated import Granted
from app.protocols.oauth.reply import Reply, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Trip


class ClientCredentials(ClientCredentialsGrant):
    """Limits, the reuse of an assertion, the token and its record make one trip; the database is not asked."""

    PARAMETERS = frozenset({"scope", "authorization_details"})

    def generate_token(self, *_: Any, **__: Any) -> TokenResponse:
        """Issue, and only then go: what the trip refuses was never handed out."""
        exchange = self.exchange
        granted = Granted(exchange.known_client, exchange.resources, self._target(exchange))
        issuance = _issuance(exchange.request, granted)
        issuance.authorization_details = exchange.details(None, granted.target.audience)
        issuance.cnf = exchange.cnf
        response = _issue(exchange.parts, exchange.request, granted, issuance, exchange.trip)
        exchange.parts.repeated.remember(exchange.request, granted)
        return response

    def _target(self, exchange: Exchange) -> audience.Target:
        return audience.of_client(
            exchange.known_client,
            exchange.resources,
            exchange.request.tenant.issuer,
            audience.read_scope(self.parameter("scope")),
            audience.read_resources(exchange.request.values("resource")),
        )


def again(parts: Parts, request: ProtocolRequest) -> Reply | None:
    """The answer to a request that was granted before, or None to find it out (`repeated`). Raises `OAuthError`."""
    digest = parts.repeated.digest_of(request)
    granted = parts.repeated.recall(digest) if digest is not None else None
    if granted is None:
        return None
    tenant_id, client_id = request.tenant.id, granted.client.client_id
    if (
        parts.clients.get(tenant_id, client_id) is not granted.client
        or parts.resources.all(tenant_id) is not granted.resources
    ):
        return None
    trip = Trip(parts.state)
    add_limits(request, client_id, trip)
    return ok(_issue(parts, request, granted, _issuance(request, granted), trip))


def _issuance(request: ProtocolRequest, granted: Granted) -> Issuance:
    return Issuance(
        tenant=request.tenant,
        client=granted.client,
        grant_type="client_credentials",
        scopes=granted.target.scopes,
        audience=granted.target.audience,
    )


def _issue(
    parts: Parts, request: ProtocolRequest, granted: Granted, issuance: Issuance, trip: Trip
) -> TokenResponse:
    response = issue(issuance, parts.keyring, granted.resources, trip)
    event = Event(
        "token.issued",
        tenant_id=request.tenant.id,
        outcome="success",
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=granted.client.client_id,
        data=issuance.on_record(granted.resources),
    )
    trip.add(audit.operation(event))
    trip.go()
    return response
