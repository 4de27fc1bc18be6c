"""The token side of the authorization server, put together."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from app.domain.authorization_details import DetailsTypes
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientDirectory
from app.domain.devices_pending import DevicesPending
from app.domain.refresh import RefreshTokens
from app.domain.registered_clients import RegisteredClients
from app.domain.resources import ResourceDirectory
from app.domain.revocation import Revocations
from app.domain.tenants import TenantContext
from app.domain.trusted_issuers import TrustedIssuers
from app.infra import metrics
from app.infra.fetch import Fetcher
from app.infra.keyring import Keyring
from app.infra.state import StateStore
from app.infra.tenancy import Tenancy
from app.protocols.oauth import refused, registering
from app.protocols.oauth.assertions import Assertions
from app.protocols.oauth.authlib_seam import ExtensionGrant, GrantClass, Server
from app.protocols.oauth.challenges import SignIn
from app.protocols.oauth.client_auth import ClientAuthentication
from app.protocols.oauth.client_keys import ClientKeys
from app.protocols.oauth.client_view import ClientView
from app.protocols.oauth.dpop import nonce_header
from app.protocols.oauth.endpoints.authorization_challenge import AuthorizationChallenge
from app.protocols.oauth.endpoints.client_configuration import ClientConfiguration
from app.protocols.oauth.endpoints.device_authorization import DeviceAuthorization
from app.protocols.oauth.endpoints.introspection import Introspection
from app.protocols.oauth.endpoints.par import PushedAuthorization
from app.protocols.oauth.endpoints.registration import Registration
from app.protocols.oauth.endpoints.revocation import Revocation
from app.protocols.oauth.endpoints.userinfo import UserInfo
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.federated import FederatedCredentials
from app.protocols.oauth.foreign import ForeignTokens
from app.protocols.oauth.grants import client_credentials
from app.protocols.oauth.grants.authorization_code import AuthorizationCode
from app.protocols.oauth.grants.client_credentials import ClientCredentials
from app.protocols.oauth.grants.device_code import DeviceCode
from app.protocols.oauth.grants.jwt_bearer import JwtBearer
from app.protocols.oauth.grants.refresh_token import RefreshToken
from app.protocols.oauth.grants.token_exchange import TokenExchange
from app.protocols.oauth.reply import PRIVATE_JSON, Reply
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import Sender
from app.protocols.oauth.steps.draft import Directories

GRANTS: tuple[GrantClass, ...] = (
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
    DeviceCode,
    TokenExchange,
    JwtBearer,
)
"""Every grant of the token endpoint. Discovery reads it too."""

GRANT_TYPES: tuple[str, ...] = tuple(cls.GRANT_TYPE for cls in GRANTS)


def grant_types_of(trusted_issuers: TrustedIssuers, tenant_id: str) -> tuple[str, ...]:
    """The grants a tenant has a use for: what discovery says."""
    trusts = trusted_issuers.any(tenant_id)
    return tuple(
        cls.GRANT_TYPE
        for cls in GRANTS
        if trusts or not (issubclass(cls, ExtensionGrant) and cls.NEEDS_TRUSTED_ISSUER)
    )


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
        if exchange.binding.nonce is not None:
            return replace(answer, headers=answer.headers + nonce_header(exchange.binding.nonce))
        return answer

    def again(
        self, tenant: TenantContext, authorization: str, address: str, user_agent: str, body: bytes
    ) -> Reply | None:
        """The answer to a request that was granted before in the same words, without a certificate or proof; or None.

        Raises `OAuthError`.
        """
        digest = self._parts.repeated.digest_of(tenant.id, authorization, address, user_agent, body)
        answer = client_credentials.again(self._parts, tenant, digest)
        if answer is None:
            return None
        metrics.issued(ClientCredentials.GRANT_TYPE)
        return Reply(200, PRIVATE_JSON, answer)

    def _record(self, exchange: Exchange, error: OAuthError) -> None:
        request = exchange.request
        refused.record(
            self._parts.state,
            "token.refused",
            tenant_id=request.tenant.id,
            client_id=exchange.known_client.client_id,
            reason=error.code,
            ip=request.remote_address,
            user_agent=request.user_agent,
            data={"grant_type": exchange.grant_type, "endpoint": "token", "error": error.error},
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
    fetcher: Fetcher,
    client_keys: ClientKeys,
    sender: Sender,
    details_types: DetailsTypes,
    trusted_issuers: TrustedIssuers,
    devices: DevicesPending,
    registered: RegisteredClients,
    pepper: Callable[[], bytes],
    on_change: Callable[[], object],
    tls_methods: tuple[str, ...],
    sign_in: SignIn,
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
        client_auth=ClientAuthentication(
            clients, client_secrets, assertions, client_keys, FederatedCredentials(foreign), state
        ),
        sender=sender,
        details_types=details_types,
        foreign=foreign,
        devices=devices,
    )
    directories = Directories(
        clients, resources, keyring, details_types, client_keys, fetcher.for_strangers, state
    )
    registration = registering.Parts(
        tenancy, state, registered, pepper, foreign, fetcher.for_strangers, on_change, tls_methods
    )
    return {
        "client_registration": Registration(registration),
        "client_configuration": ClientConfiguration(registration),
        "par": PushedAuthorization(parts, directories),
        "authorization_challenge": AuthorizationChallenge(parts, directories, sign_in),
        "device_authorization": DeviceAuthorization(parts, directories),
        "token": TokenEndpoint(parts),
        "introspect": Introspection(parts),
        "revoke": Revocation(parts),
        "userinfo": UserInfo(parts),
    }
