"""The device authorization endpoint (RFC 8628 section 3.1): a device without a browser asks to be let in."""

from app.domain.client_metadata import DEVICE_CODE
from app.domain.clients import ClientRecord
from app.domain.devices_pending import INTERVAL_SECONDS, LIFETIME_SECONDS
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import DEVICE_CLIENT, DEVICE_NETWORK, network_of
from app.protocols.oauth import errors, refused
from app.protocols.oauth.client_auth import PARAMETERS
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.reply import Reply, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.steps import table
from app.protocols.oauth.steps.draft import AuthorizationRequest, Directories, Draft, freeze

PATH = "/device"
"""Where the person types the code."""


class DeviceAuthorization:
    """Keeps the request, and gives the device one code for itself and one for the person."""

    def __init__(self, parts: Parts, directories: Directories) -> None:
        self._parts = parts
        self._directories = directories

    def __call__(self, request: ProtocolRequest) -> Reply:
        """RFC 8628 section 3.2. Raises `OAuthError`, put on record once the client is known."""
        exchange = Exchange(self._parts, request)
        client = exchange.authenticate()
        with refused.authorization(self._parts.state, request, client.client_id):
            return self._begin(exchange, client)

    def _begin(self, exchange: Exchange, client: ClientRecord) -> Reply:
        request, tenant = exchange.request, exchange.request.tenant
        if DEVICE_CODE not in client.grant_types:
            exchange.trip.go()
            raise errors.GRANT_TYPE_NOT_ALLOWED(f"{client.client_id}: {DEVICE_CODE}")
        network = network_of(request.remote_address)
        exchange.trip.add(DEVICE_NETWORK.count(tenant.id, network), errors.RATE_LIMITED)
        exchange.trip.add(DEVICE_CLIENT.count(tenant.id, client.client_id), errors.RATE_LIMITED)
        draft = self._draft(request, client)
        asked = self._checked(draft)
        for operation, case in draft.first_uses:
            exchange.trip.add(operation, case)
        exchange.trip.go()
        new = self._parts.devices.begin(
            tenant.id,
            client.client_id,
            asked.to_json(),
            ip=request.remote_address,
            user_agent=request.user_agent or "",
            event=audit.operation(_event(exchange, client, asked)),
        )
        page = tenant.issuer + PATH
        return ok(
            {
                "device_code": new.device_code,
                "user_code": new.user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={new.user_code}",
                "expires_in": LIFETIME_SECONDS,
                "interval": INTERVAL_SECONDS,
            }
        )

    def _draft(self, request: ProtocolRequest, client: ClientRecord) -> Draft:
        credentials = PARAMETERS - {"client_id"}
        return Draft(
            tenant=request.tenant,
            directories=self._directories,
            parameters={name: value for name, value in request.form.items() if name not in credentials},
            resources_asked=request.values("resource"),
            repeated=frozenset(),
            remote_address=request.remote_address,
            client=client,
        )

    def _checked(self, draft: Draft) -> AuthorizationRequest:
        table.run(draft, table.Endpoint.DEVICE)
        draft.redirect_uri = ""  # Nobody is sent anywhere.
        return freeze(draft)


def _event(exchange: Exchange, client: ClientRecord, asked: AuthorizationRequest) -> Event:
    request = exchange.request
    return Event(
        "device.requested",
        tenant_id=request.tenant.id,
        outcome="success",
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=client.client_id,
        data={"scopes": list(asked.scopes), "resources": list(asked.resources)},
    )
