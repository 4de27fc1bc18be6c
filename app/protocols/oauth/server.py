"""The token side of the authorization server, put together."""

from collections.abc import Callable, Mapping

from app.domain.authorization_details import DetailsTypes
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientDirectory
from app.domain.refresh import RefreshTokens
from app.domain.resources import ResourceDirectory
from app.domain.revocation import Revocations
from app.domain.trusted_issuers import TrustedIssuers
from app.infra import audit, metrics
from app.infra.audit import Event
from app.infra.keyring import Keyring
from app.infra.state import Increment, Key, StateStore
from app.infra.tenancy import Tenancy
from app.protocols.oauth.assertions import Assertions
from app.protocols.oauth.authlib_seam import GrantClass, Server
from app.protocols.oauth.client_auth import ClientAuthentication
from app.protocols.oauth.client_keys import ClientKeys, Fetches
from app.protocols.oauth.client_view import ClientView
from app.protocols.oauth.endpoints.introspection import Introspection
from app.protocols.oauth.endpoints.revocation import Revocation
from app.protocols.oauth.endpoints.userinfo import UserInfo
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.foreign import ForeignTokens
from app.protocols.oauth.grants.authorization_code import AuthorizationCode
from app.protocols.oauth.grants.client_credentials import ClientCredentials
from app.protocols.oauth.grants.refresh_token import RefreshToken
from app.protocols.oauth.reply import Reply
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.steps.draft import Directories

GRANTS: tuple[GrantClass, ...] = (AuthorizationCode, RefreshToken, ClientCredentials)
"""Every grant of the token endpoint. Discovery reads it too."""

GRANT_TYPES: tuple[str, ...] = tuple(cls.GRANT_TYPE for cls in GRANTS)

RECORDED_REFUSALS, REFUSAL_SECONDS = 60, 60
"""So many refusals of a client are put on record in so many seconds: a broken client must not fill the audit."""

Handler = Callable[[ProtocolRequest], Reply]


class TokenEndpoint:
    """RFC 6749 section 3.2."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._server = Server(GRANTS, ClientView)

    def __call__(self, request: ProtocolRequest) -> Reply:
        """Issue tokens. Raises `OAuthError`, put on record once the client is known."""
        exchange = Exchange(self._parts, request)
        try:
            answer = self._server.token(exchange)
        except OAuthError as error:
            if exchange.client is not None and error.status == 400:
                self._record(exchange, error)
            raise
        metrics.issued(exchange.grant_type)
        return answer

    def _record(self, exchange: Exchange, error: OAuthError) -> None:
        request, client = exchange.request, exchange.known_client
        count = Key(request.tenant.id, "recorded-refusals", client.client_id)
        self._parts.state.execute(
            Increment(count, REFUSAL_SECONDS, limit=RECORDED_REFUSALS),
            audit.operation(
                Event(
                    "token.refused",
                    tenant_id=request.tenant.id,
                    outcome="failure",
                    reason=error.code,
                    ip=request.remote_address,
                    user_agent=request.user_agent,
                    client_id=client.client_id,
                    data={"grant_type": exchange.grant_type, "endpoint": "token", "error": error.error},
                )
            ),
        )


def build(
    *,
    tenancy: Tenancy,
    state: StateStore,
    clients: ClientDirectory,
    resources: ResourceDirectory,
    keyring: Keyring,
    refresh_tokens: RefreshTokens,
    revocations: Revocations,
    client_secrets: ClientSecrets,
    fetcher: Fetches,
    client_keys: ClientKeys,
    details_types: DetailsTypes,
    trusted_issuers: TrustedIssuers,
) -> Mapping[str, Handler]:
    """The handlers of the token side, by the name of their endpoint."""
    assertions = Assertions(client_keys, client_secrets)
    foreign = ForeignTokens(trusted_issuers, client_keys, fetcher)
    parts = Parts(
        tenancy=tenancy,
        state=state,
        clients=clients,
        resources=resources,
        keyring=keyring,
        refresh_tokens=refresh_tokens,
        revocations=revocations,
        client_auth=ClientAuthentication(clients, client_secrets, assertions, state),
        foreign=foreign,
    )
    directories = Directories(clients, resources, keyring, details_types, client_keys, fetcher, state)
    return {
        "token": TokenEndpoint(parts),
        "introspect": Introspection(parts),
        "revoke": Revocation(parts),
        "userinfo": UserInfo(parts),
    }
