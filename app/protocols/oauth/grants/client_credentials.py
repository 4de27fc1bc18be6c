"""The client credentials grant: a client acts for itself (RFC 6749 section 4.4)."""

from typing import Any

from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock, ids
from app.protocols.oauth import audience, repeated
from app.protocols.oauth.audience import Resources
from app.protocols.oauth.authlib_seam import ClientCredentialsGrant, TokenResponse
from app.protocols.oauth.client_auth import each_time
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.issuance import Issuance, issue, template, uses
from app.protocols.oauth.repeated import GRANT_TYPE, Granted
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Trip


class ClientCredentials(ClientCredentialsGrant):
    """Limits, the reuse of an assertion, the token and its record make one trip; the database is not asked."""

    PARAMETERS = frozenset({"scope", "authorization_details"})

    def generate_token(self, *_: Any, **__: Any) -> TokenResponse:
        """Issue, and only then go: what the trip refuses was never handed out."""
        exchange = self.exchange
        request, client, target = exchange.request, exchange.known_client, self._target(exchange)
        issuance = Issuance(
            tenant=request.tenant,
            client=client,
            grant_type=GRANT_TYPE,
            scopes=target.scopes,
            audience=target.audience,
            authorization_details=exchange.details(None, target.audience),
            cnf=exchange.cnf,
        )
        response = issue(issuance, exchange.parts.keyring, exchange.resources, exchange.trip)
        event = _event(request, issuance, exchange.resources)
        exchange.trip.add(audit.operation(event))
        exchange.trip.go()
        if repeated.may_be(request):
            _remember(exchange, issuance, event)
        return response

    def _target(self, exchange: Exchange) -> audience.Target:
        return audience.of_client(
            exchange.known_client,
            exchange.resources,
            exchange.request.tenant.issuer,
            audience.read_scope(self.parameter("scope")),
            audience.read_resources(exchange.request.values("resource")),
        )


def again(parts: Parts, tenant: TenantContext, digest: bytes) -> bytes | None:
    """The body of the answer to a request that was granted before, or None to find it out (`repeated`).

    Raises `OAuthError`.
    """
    granted = parts.repeated.recall(digest)
    if granted is None or granted.client.is_over or granted.version != parts.clients.version(tenant.id):
        return None
    trip, token_id, moment = Trip(parts.state), ids.new_token_id(), clock.now()
    for operation, case in granted.first:
        trip.add(operation, case)
    body = granted.token.issue(token_id, moment, parts.keyring, trip)
    trip.add(granted.record.operation(moment, token_id=token_id))
    trip.go()
    return body


def _remember(exchange: Exchange, issuance: Issuance, event: Event) -> None:
    token = template(issuance, exchange.parts.keyring, exchange.resources)
    record = audit.template(event, "token_id")
    if token is not None and record is not None:
        request, client = exchange.request, issuance.client
        noted = tuple((operation, None) for operation in uses(request.tenant.id, client))
        first = (*each_time(request, client), *noted)
        granted = Granted(exchange.version, client, first, token, record)
        exchange.parts.repeated.remember(request, granted)


def _event(request: ProtocolRequest, issuance: Issuance, resources: Resources) -> Event:
    return Event(
        "token.issued",
        tenant_id=request.tenant.id,
        outcome="success",
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=issuance.client.client_id,
        data=issuance.on_record(resources),
    )
