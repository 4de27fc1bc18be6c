"""Where Authlib meets this server: the only importer of it on the token side (docs/decisions/0003-authlib-seam.md).

Authlib's grants are the protocol's core: who authenticates, which parameter is demanded when, in what order. Replaced
here is what reads the request (it would take parameters from the URL), what finds the grant (a scan), what makes the
token (it never sees the request), what refuses (it raises on a quote), and what is told to the log (tokens).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, OAuth2Payload, grants
from authlib.oauth2.rfc6749 import errors as authlib_errors
from authlib.oauth2.rfc6749.grants.base import BaseGrant, TokenEndpointMixin

from app.domain.clients import ClientRecord
from app.protocols.oauth import errors
from app.protocols.oauth.errors import Case
from app.protocols.oauth.exchange import Exchange
from app.protocols.oauth.reply import PRIVATE_JSON, Reply, encode

__all__ = [
    "AuthorizationCodeGrant",
    "ClientCredentialsGrant",
    "ClientMixin",
    "ExtensionGrant",
    "GrantClass",
    "RefreshTokenGrant",
    "Server",
    "TokenResponse",
]

_CASES: dict[type[OAuth2Error], Case] = {
    authlib_errors.InvalidRequestError: errors.PARAMETER_MISSING,
    authlib_errors.InvalidGrantError: errors.GRANT_INVALID,
    authlib_errors.InvalidScopeError: errors.SCOPE_EXCEEDED,
    authlib_errors.UnauthorizedClientError: errors.GRANT_TYPE_NOT_ALLOWED,
    authlib_errors.UnsupportedGrantTypeError: errors.GRANT_TYPE_UNSUPPORTED,
}


class TokenResponse(dict[str, Any]):
    """A token response whose `repr` tells nothing: Authlib prints it at DEBUG."""

    def __repr__(self) -> str:
        return "<token response>"

    __str__ = __repr__


class _Payload(OAuth2Payload):
    """The parameters of the body, and nothing but the body."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form

    @property
    def data(self) -> Mapping[str, str]:
        return self._form

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return defaultdict(list, {name: [value] for name, value in self._form.items()})


class _Request(OAuth2Request):
    """An exchange as Authlib sees it.

    Authlib's constructor is left out: it refuses http, and behind a proxy that ends TLS every request is http.
    """

    payload: Any
    exchange: Exchange

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.method = "POST"
        self.uri = ""
        self.headers = exchange.request.headers
        self.payload = _Payload(exchange.request.form)
        self.client = None
        self.auth_method = None
        self.user = None
        self.authorization_code = None
        self.refresh_token = None
        self.credential = None
        self._scope = None
        self._body = None

    @property
    def args(self) -> Mapping[str, str]:
        return {}

    @property
    def form(self) -> Mapping[str, str]:
        form: Mapping[str, str] = self.payload.data
        return form

    def keep(self, names: frozenset[str]) -> None:
        """Forget every parameter the grant did not declare: nothing later can read it by mistake."""
        self.payload = _Payload({k: v for k, v in self.payload.data.items() if k in names})


class _Ours:
    """What every grant of ours has in common. Comes before Authlib's class."""

    PARAMETERS: frozenset[str] = frozenset()
    """The parameters of the body this grant reads."""

    request: Any
    server: Any

    @property
    def exchange(self) -> Exchange:
        """The request in hand, its client once authenticated, and its trip."""
        return cast(Exchange, self.request.exchange)

    def parameter(self, name: str) -> str | None:
        """A declared parameter of the body."""
        return cast(_Request, self.request).form.get(name)

    def authenticate_token_endpoint_client(self) -> ClientMixin:
        """Authlib's first step: who is asking (RFC 6749 section 3.2.1)."""
        client = self.exchange.authenticate()
        self.exchange.bind()
        return cast(Server, self.server).view(client)

    def save_token(self, token: object) -> None:
        """Nothing to do: what has to be stored of a token rides in the trip of `issue`."""

    def validate_requested_scope(self) -> None:
        """Nothing to do: scopes are checked with their resources (`audience`)."""


class ClientCredentialsGrant(_Ours, grants.ClientCredentialsGrant):
    """Authlib's grant of RFC 6749 section 4.4."""


class AuthorizationCodeGrant(_Ours, grants.AuthorizationCodeGrant):
    """Authlib's grant of RFC 6749 section 4.1, token request only."""


class RefreshTokenGrant(_Ours, grants.RefreshTokenGrant):
    """Authlib's grant of RFC 6749 section 6."""


class ExtensionGrant(_Ours, BaseGrant, TokenEndpointMixin):
    """A grant Authlib does not know (RFC 6749 section 4.5): it names its `GRANT_TYPE` and `PARAMETERS`, and responds.

    Before `respond` is asked, the client has authenticated and is registered for the grant; the trip, with limits and
    the reuse of an assertion on it, has not gone yet.
    """

    GRANT_TYPE: str = ""  # type: ignore[assignment]
    TOKEN_RESPONSE_HEADER: list[tuple[str, str]] = []  # noqa: RUF012
    NEEDS_TRUSTED_ISSUER: bool = False
    """Whether it is of no use to a tenant that trusts nobody: then it is not advertised there."""

    def validate_token_request(self) -> None:
        """Authlib's first step."""
        client = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(self.GRANT_TYPE):  # type: ignore[no-untyped-call]
            raise errors.GRANT_TYPE_NOT_ALLOWED(f"{self.exchange.known_client.client_id}: {self.GRANT_TYPE}")

    def create_token_response(self) -> tuple[int, TokenResponse, object]:
        """Authlib's second step."""
        return 200, self.respond(), self.TOKEN_RESPONSE_HEADER

    def respond(self) -> TokenResponse:
        """The tokens. Raises `OAuthError`."""
        raise NotImplementedError

    def required(self, name: str) -> str:
        """A declared parameter that has to be there. Raises `OAuthError`."""
        value = self.parameter(name)
        if value is None:
            raise errors.PARAMETER_MISSING(name)
        return value


GrantClass = (
    type[ClientCredentialsGrant]
    | type[AuthorizationCodeGrant]
    | type[RefreshTokenGrant]
    | type[ExtensionGrant]
)

_COMMON = frozenset({"grant_type", "client_id"})


class Server(AuthorizationServer):
    """Authlib's authorization server, its token endpoint, over our parts."""

    def __init__(self, classes: tuple[GrantClass, ...], view: Callable[[ClientRecord], ClientMixin]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.view = view
        self._by_type = {cls.GRANT_TYPE: (cls, cls.PARAMETERS | _COMMON) for cls in classes}

    def token(self, exchange: Exchange) -> Reply:
        """Answer a token request. Raises `OAuthError`."""
        answer: Reply = self.create_token_response(exchange)  # type: ignore[no-untyped-call]
        return answer

    def create_oauth2_request(self, request: Exchange) -> _Request:
        """Authlib's view of the exchange."""
        return _Request(request)

    def get_token_grant(self, request: _Request) -> Any:
        """The grant of a `grant_type`, found in one step."""
        grant_type = request.payload.grant_type
        if grant_type is None:
            raise errors.PARAMETER_MISSING("grant_type")
        found = self._by_type.get(grant_type)
        if found is None:
            raise errors.GRANT_TYPE_UNSUPPORTED(ascii(grant_type[:100]))
        cls, parameters = found
        request.keep(parameters)
        request.exchange.grant_type = grant_type
        return cls(request, self)

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: dict[str, Any], headers: object) -> Reply:
        """The answer, never cached (RFC 6749 section 5.1)."""
        return Reply(status, PRIVATE_JSON, encode(body))

    def handle_error_response(self, request: object, error: OAuth2Error) -> Reply:
        """Authlib's refusal in our fixed words; its own text is for the log."""
        raise _CASES.get(type(error), errors.INVALID_REQUEST)(str(error.description)) from None
