"""The client credentials grant: a client acts for itself (RFC 6749 section 4.4)."""

from typing import Any

from app.infra import audit
from app.infra.audit import Event
from app.protocols.oauth import audience
from app.protocols.oauth.authlib_seam import ClientCredentialsGrant, TokenResponse
from app.protocols.oauth.issuance import Issuance, issue


class ClientCredentials(ClientCredentialsGrant):
    """Limits, the reuse of an assertion, the token and its record make one trip; the database is not asked."""

    PARAMETERS = frozenset({"scope", "authorization_details"})

    def generate_token(self, *_: Any, **__: Any) -> TokenResponse:
        """Issue, and only then go: what the trip refuses was never handed out."""
        exchange = self.exchange
        request, client = exchange.request, exchange.known_client
        target = audience.of_client(
            client,
            exchange.resources,
            request.tenant.issuer,
            audience.read_scope(self.parameter("scope")),
            audience.read_resources(request.values("resource")),
        )
        issuance = Issuance(
            tenant=request.tenant,
            client=client,
            grant_type="client_credentials",
            scopes=target.scopes,
            audience=target.audience,
            authorization_details=exchange.details(None, target.audience),
            cnf=exchange.cnf,
        )
        response = issue(issuance, exchange.parts.keyring, exchange.resources, exchange.trip)
        event = Event(
            "token.issued",
            tenant_id=request.tenant.id,
            outcome="success",
            ip=request.remote_address,
            user_agent=request.user_agent,
            client_id=client.client_id,
            data=issuance.on_record(exchange.resources),
        )
        exchange.trip.add(audit.operation(event))
        exchange.trip.go()
        return response
