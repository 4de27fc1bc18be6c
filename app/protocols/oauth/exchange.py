"""One request in hand, and the parts of the server it is answered with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.domain.authorization_details import Detail, DetailsTypes
from app.domain.clients import ClientDirectory, ClientRecord
from app.domain.devices_pending import DevicesPending
from app.domain.refresh import RefreshTokens
from app.domain.resources import ResourceDirectory
from app.domain.revocation import Revocations
from app.infra.keyring import Keyring
from app.infra.state import StateStore
from app.infra.tenancy import Tenancy
from app.protocols.oauth import details, errors
from app.protocols.oauth.audience import Resources
from app.protocols.oauth.client_auth import ClientAuthentication
from app.protocols.oauth.foreign import ForeignTokens
from app.protocols.oauth.repeated import Repeated
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import UNBOUND, Sender
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
    devices: DevicesPending
    sender: Sender
    details_types: DetailsTypes
    repeated: Repeated = field(default_factory=Repeated)


class Exchange:
    """A request, its trip to the state store, and the client once it is known."""

    __slots__ = ("_resources", "binding", "client", "grant_type", "parts", "request", "trip", "version")

    def __init__(self, parts: Parts, request: ProtocolRequest) -> None:
        self.parts = parts
        self.request = request
        self.trip = Trip(parts.state)
        self.client: ClientRecord | None = None
        self.binding = UNBOUND
        self.grant_type = ""
        self.version = parts.clients.version(request.tenant.id)
        """Of the configuration, before anything of it is looked at."""
        self._resources: Resources | None = None

    @property
    def resources(self) -> Resources:
        """The tenant's resources, the same for the whole request."""
        if self._resources is None:
            self._resources = self.parts.resources.all(self.request.tenant.id)
        return self._resources

    def authenticate(self) -> ClientRecord:
        """The client, provided that the trip agrees. Raises `OAuthError`."""
        self.client = self.parts.client_auth.authenticate(self.request, self.trip)
        return self.client

    def bind(self) -> None:
        """Find what the tokens are to be bound to, provided that the trip agrees. Raises `OAuthError`."""
        self.binding = self.parts.sender.bind(self.request, self.known_client, self.trip)

    def details(self, granted: Iterable[Detail] | None, audience: tuple[str, ...]) -> tuple[Detail, ...]:
        """The authorization details of the token: what the request asks for of those granted, as far as they concern
        its audience. None is granted: the client may have whatever it is registered for. Raises `OAuthError`."""
        client, types = self.known_client, self.parts.details_types.all(self.request.tenant.id)
        asked = details.read(self.request.form.get("authorization_details"), types, client)
        found = asked or ()
        if granted is not None:
            found = details.narrowed(details.still_good(granted, types, client), asked)
        kept = details.for_audience(found, types, audience)
        if asked is not None and len(kept) != len(found):
            raise errors.DETAILS_OTHER_RESOURCE(f"the token is for {audience}")
        return kept

    @property
    def cnf(self) -> Mapping[str, str] | None:
        """What every token of this request is bound to: goes into each `Issuance`."""
        return self.binding.cnf

    @property
    def known_client(self) -> ClientRecord:
        """The client, after `authenticate`."""
        if self.client is None:
            raise RuntimeError("the client was not authenticated yet")
        return self.client
