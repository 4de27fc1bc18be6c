"""Pushed authorization requests (RFC 9126): a client leaves its request here and sends the browser with a name for it.

Every check of the authorization endpoint is made now, and again when the request is used: what was true then may not
be any more.
"""

from app.domain.clients import ClientRecord
from app.protocols.oauth import pushed, refused
from app.protocols.oauth.client_auth import PARAMETERS
from app.protocols.oauth.dpop import nonce_header
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.pushed import PushedRequest
from app.protocols.oauth.reply import Reply, created
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import Binding
from app.protocols.oauth.steps import table
from app.protocols.oauth.steps.draft import Directories, Draft
from app.protocols.oauth.steps.refusals import TOO_LARGE

MAX_BYTES = 32 * 1024
"""Of all parameters, once a request object is unpacked."""


class PushedAuthorization:
    """Stores what a client that authenticated asks for. Everything it asks of the state store is one trip."""

    def __init__(self, parts: Parts, directories: Directories) -> None:
        self._parts = parts
        self._directories = directories

    def __call__(self, request: ProtocolRequest) -> Reply:
        """RFC 9126 section 2. Raises `OAuthError`, put on record once the client is known."""
        exchange = Exchange(self._parts, request)
        client = exchange.authenticate()
        with refused.authorization(self._parts.state, request, client.client_id):
            return self._store(exchange, client)

    def _store(self, exchange: Exchange, client: ClientRecord) -> Reply:
        request = exchange.request
        binding = self._parts.sender.pushed(request, client, exchange.trip)
        draft = self._checked(request, client, binding)
        for operation, case in draft.first_uses:
            exchange.trip.add(operation, case)
        kept = PushedRequest(
            client_id=client.client_id,
            parameters=draft.parameters,
            resources=draft.resources_asked,
            signed=draft.signed,
            dpop_jkt=draft.dpop_jkt,
        )
        request_uri, store = pushed.new(request.tenant.id, kept)
        if len(store.value) > MAX_BYTES:
            raise TOO_LARGE(f"{len(store.value)} bytes")
        exchange.trip.add(store)
        exchange.trip.go()
        answer = created({"request_uri": request_uri, "expires_in": pushed.LIFETIME_SECONDS})
        nonce = nonce_header(binding.nonce) if binding.nonce is not None else ()
        return Reply(answer.status, answer.headers + nonce, answer.body)

    def _checked(self, request: ProtocolRequest, client: ClientRecord, binding: Binding) -> Draft:
        credentials = PARAMETERS - {"client_id"}
        draft = Draft(
            tenant=request.tenant,
            directories=self._directories,
            parameters={name: value for name, value in request.form.items() if name not in credentials},
            resources_asked=request.values("resource"),
            repeated=frozenset(),
            remote_address=request.remote_address,
            client=client,
            dpop_jkt=binding.jkt,
        )
        table.run(draft, table.Endpoint.PAR)
        return draft
