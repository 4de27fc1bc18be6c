"""Authorization responses (RFC 6749 section 4.1.2): one function for success and error, in every response mode."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from app.kernel import uris
from app.protocols.oauth.errors import Case
from app.protocols.oauth.steps.draft import AuthorizationRequest


@dataclass(frozen=True, slots=True)
class Address:
    """Where an answer goes and what goes with every answer."""

    redirect_uri: str
    response_mode: str
    state: str | None
    issuer: str


@dataclass(frozen=True, slots=True)
class Redirection:
    """An answer to be carried by the browser: to a URI, or as a form posted to it."""

    uri: str
    """With the parameters in its query, unless `fields` carries them."""
    fields: tuple[tuple[str, str], ...] = ()
    """The form's fields (OAuth 2.0 Form Post Response Mode)."""

    @property
    def is_form(self) -> bool:
        """Whether the browser has to post a form."""
        return bool(self.fields)

    @property
    def host(self) -> str:
        """Where it leads, in words: the host, or the app's scheme."""
        parts = urlsplit(self.uri)
        return parts.netloc or f"{parts.scheme}:"

    @property
    def source(self) -> str:
        """The target as a Content-Security-Policy source: the origin, or the scheme of an app."""
        parts = urlsplit(self.uri)
        is_web = parts.scheme in ("http", "https")
        return f"{parts.scheme}://{parts.netloc}" if is_web else f"{parts.scheme}:"


def address_of(request: AuthorizationRequest, issuer: str) -> Address:
    """Where the answer to a checked request goes."""
    return Address(request.redirect_uri, request.response_mode, request.state, issuer)


def success(address: Address, code: str) -> Redirection:
    """The code, on its way to the client."""
    return send(address, [("code", code)])


def refusal(address: Address, refused: Case) -> Redirection:
    """An error, on its way to the client."""
    return send(address, [("error", refused.error), ("error_description", refused.description)])


def send(address: Address, parameters: list[tuple[str, str]]) -> Redirection:
    """Any answer, with the `state` unchanged and `iss` (RFC 9207 section 2)."""
    if address.state is not None:
        parameters = [*parameters, ("state", address.state)]
    parameters = [*parameters, ("iss", address.issuer)]
    if address.response_mode == "form_post":
        return Redirection(address.redirect_uri, tuple(parameters))
    return Redirection(uris.with_query(address.redirect_uri, parameters))
