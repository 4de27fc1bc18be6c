"""One request in hand, and the parts of the server it is answered with."""

from dataclasses import dataclass

from app.domain.clients import ClientDirectory, ClientRecord
from app.domain.refresh import RefreshTokens
from app.domain.resources import ResourceDirectory
from app.domain.revocation import Revocations
from app.infra.keyring import Keyring
from app.infra.state import StateStore
from app.infra.tenancy import Tenancy
from app.protocols.oauth.audience import Resources
from app.protocols.oauth.client_auth import ClientAuthentication
from app.protocols.oauth.foreign import ForeignTokens
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Trip


@dataclass(frozen=True, slots=True)
class Parts:
    """What the token side stands on. One set per process."""

    tenancy: Tenancy
    state: StateStore
    clients: ClientDirectory
    resources: ResourceDirectory
    keyring: Keyring
    refresh_tokens: RefreshTokens
    revocations: Revocations
    client_auth: ClientAuthentication
    foreign: ForeignTokens


class Exchange:
    """A request, its trip to the state store, and the client once it is known."""

    __slots__ = ("client", "grant_type", "parts", "request", "resources", "trip")

    def __init__(self, parts: Parts, request: ProtocolRequest) -> None:
        self.parts = parts
        self.request = request
        self.trip = Trip(parts.state)
        self.client: ClientRecord | None = None
        self.grant_type = ""
        self.resources: Resources = parts.resources.all(request.tenant.id)

    def authenticate(self) -> ClientRecord:
        """The client, provided that the trip agrees. Raises `OAuthError`."""
        self.client = self.parts.client_auth.authenticate(self.request, self.trip)
        return self.client

    @property
    def known_client(self) -> ClientRecord:
        """The client, after `authenticate`."""
        if self.client is None:
            raise RuntimeError("the client was not authenticated yet")
        return self.client
