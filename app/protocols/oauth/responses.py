"""Authorization responses (RFC 6749 section 4.1.2): one function for success and error, in every response mode."""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.jose import SigningKeyHandle
from app.infra.keyring import Keyring
from app.kernel import clock, uris
from app.protocols.oauth.errors import Case
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.protocols.oauth.steps.response import SIGNED

JWT_SECONDS = 600
"""So long may a signed response be on its way (JARM section 2.1: ten minutes at most)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Whom a signed response is for, and what it is signed with (JARM section 2.1)."""

    client_id: str
    key: SigningKeyHandle


@dataclass(frozen=True, slots=True)
class Address:
    """Where an answer goes and what goes with every answer."""

    redirect_uri: str
    response_mode: str
    state: str | None
    issuer: str
    signature: Signature | None = None
    """Of a mode that has `jwt` in its name."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """An answer to be carried by the browser: to a URI, or as a form posted to it."""

    uri: str
    """With the parameters in its query or fragment, unless `fields` carries them."""
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


def address(
    tenant: TenantContext,
    keyring: Keyring,
    *,
    client_id: str,
    redirect_uri: str,
    response_mode: str,
    state: str | None,
    alg: str,
) -> Address:
    """Where an answer goes; `alg` counts where it is signed."""
    signature = None
    if response_mode.endswith(SIGNED):
        signature = Signature(client_id, keyring.current(tenant.id, alg))
    return Address(redirect_uri, response_mode, state, tenant.issuer, signature)


def address_of(request: AuthorizationRequest, tenant: TenantContext, keyring: Keyring) -> Address:
    """Where the answer to a checked request goes."""
    return address(
        tenant,
        keyring,
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        response_mode=request.response_mode,
        state=request.state,
        alg=request.response_alg,
    )


def refusal(where: Address, refused: Case) -> Redirection:
    """An error, on its way to the client."""
    return send(where, [("error", refused.error), ("error_description", refused.description)])


def send(where: Address, parameters: list[tuple[str, str]]) -> Redirection:
    """Any answer, with the `state` unchanged and `iss` (RFC 9207 section 2).

    A signed one is a JWT of these, and nothing beside it (JARM section 2.3).
    """
    if where.state is not None:
        parameters = [*parameters, ("state", where.state)]
    if where.signature is None:
        parameters = [*parameters, ("iss", where.issuer)]
    else:
        parameters = [("response", _signed(where.issuer, where.signature, parameters))]
    mode = where.response_mode.removesuffix(SIGNED)
    if mode == "form_post":
        return Redirection(where.redirect_uri, tuple(parameters))
    if mode == "fragment":
        return Redirection(f"{where.redirect_uri}#{urlencode(parameters)}")
    return Redirection(uris.with_query(where.redirect_uri, parameters))


def _signed(issuer: str, signature: Signature, parameters: list[tuple[str, str]]) -> str:
    expires_at = clock.timestamp(clock.after(JWT_SECONDS))
    claims = {"iss": issuer, "aud": signature.client_id, "exp": expires_at, **dict(parameters)}
    return jose.sign(claims, signature.key, typ="JWT")
