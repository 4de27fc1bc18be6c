"""Client authentication (RFC 6749 section 2.3, RFC 7523 section 2.2, OpenID Connect Core section 9).

A request uses exactly one method, and it has to be the one the client is registered with.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from app.domain.client_metadata import CLIENT_ID_PATTERN
from app.domain.client_secrets import ClientSecrets
from app.domain.clients import ClientDirectory, ClientRecord
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import CLIENT_FAILURES, CLIENT_REQUESTS, NETWORK_FAILURES, network_of
from app.infra.state import Op
from app.protocols.oauth import assertions, errors, mtls, profiles, refused
from app.protocols.oauth.assertions import Assertions
from app.protocols.oauth.client_keys import ClientKeys
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.federated import FederatedCredentials
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Executes, Trip

PARAMETERS = frozenset({"client_id", "client_secret", "client_assertion", "client_assertion_type"})
CHALLENGE = (("WWW-Authenticate", 'Basic realm="client", charset="UTF-8"'),)
"""Goes with every 401 (RFC 6749 section 5.2, RFC 9110 section 15.5.2)."""

_CLIENT_ID = re.compile(CLIENT_ID_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request authenticates with, nothing of it verified."""

    method: str
    client_id: str
    secret: str = ""


def read(request: ProtocolRequest) -> Credentials:
    """The one method a request uses. Raises `OAuthError` for none, several, and malformed ones."""
    form, authorization = request.form, request.headers.get("authorization")
    assertion, secret = form.get("client_assertion"), form.get("client_secret")
    if (authorization is not None) + (assertion is not None) + (secret is not None) > 1:
        raise errors.TWO_METHODS()
    stated = form.get("client_id")
    if authorization is not None:
        found = _basic(authorization)
    elif assertion is not None:
        if form.get("client_assertion_type") != assertions.TYPE:
            raise errors.ASSERTION_TYPE()
        if stated is not None and not assertions.is_own(assertion):
            found = Credentials("federated", stated, assertion)
        else:
            found = Credentials("assertion", assertions.claimed_client_id(assertion), assertion)
    elif "client_assertion_type" in form:
        raise errors.PARAMETER_MISSING("client_assertion")
    elif stated is None:
        raise errors.CLIENT_MISSING()
    elif secret is not None:
        found = Credentials("client_secret_post", stated, secret)
    else:
        found = Credentials("none", stated)
    if stated is not None and stated != found.client_id:
        raise errors.CLIENT_ID_MISMATCH()
    return found


def _basic(authorization: str) -> Credentials:
    """HTTP Basic, both halves form-encoded first (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise errors.CLIENT_CREDENTIALS_MALFORMED("the Authorization header is not Basic")
    try:
        decoded = base64.b64decode(encoded.strip().encode("ascii"), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        client_id, secret = _form_decode(client_id), _form_decode(secret)
    except (binascii.Error, ValueError):
        raise errors.CLIENT_CREDENTIALS_MALFORMED("not base64 of UTF-8 of two form-encoded values") from None
    if not colon or not client_id:
        raise errors.CLIENT_CREDENTIALS_MALFORMED("no client_id and colon")
    return Credentials("client_secret_basic", client_id, secret)


def _form_decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        if _BAD_ESCAPE.search(text):
            raise ValueError("a percent sign that escapes nothing")
        text = unquote_to_bytes(text).decode("utf-8")
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return text


class ClientAuthentication:
    """Authenticates clients at every endpoint where they do."""

    def __init__(
        self,
        clients: ClientDirectory,
        client_secrets: ClientSecrets,
        client_assertions: Assertions,
        client_keys: ClientKeys,
        federated: FederatedCredentials,
        state: Executes,
    ) -> None:
        self._federated = federated
        self._keys = client_keys
        self._clients = clients
        self._secrets = client_secrets
        self._assertions = client_assertions
        self._state = state

    def authenticate(self, request: ProtocolRequest, trip: Trip) -> ClientRecord:
        """The client of a request, as soon as `trip` has gone: limits and the reuse of an assertion are its to tell.

        Raises `OAuthError`; every failure is counted and put on record.
        """
        client_id = None
        try:
            credentials = read(request)
            client_id = credentials.client_id
            client = self._verify(credentials, request, trip)
        except OAuthError as error:
            if error.error == "invalid_client":
                self._failed(request, client_id, error)
                error.headers = CHALLENGE
            elif error.error == "invalid_request":
                self._note(request, client_id, error)
            raise
        for operation, case in each_time(request, client):
            trip.add(operation, case)
        return client

    def _verify(self, credentials: Credentials, request: ProtocolRequest, trip: Trip) -> ClientRecord:
        known = _CLIENT_ID.fullmatch(credentials.client_id)
        client = self._clients.get(request.tenant.id, credentials.client_id) if known else None
        if client is None:
            # As much work as for a client that exists, so that the time tells nothing.
            self._secrets.verify(credentials.secret, None)
            raise errors.CLIENT_UNKNOWN(ascii(credentials.client_id)[:200])
        registered = client.token_endpoint_auth_method
        allowed = profiles.of(client, request.tenant).auth_methods
        if allowed is not None and registered not in allowed:
            self._secrets.verify(credentials.secret, None)
            raise errors.CLIENT_METHOD(f"the profile of {client.client_id} does not allow {registered}")
        if credentials.method == "assertion":
            if registered not in assertions.METHODS:
                raise errors.CLIENT_METHOD(f"{client.client_id} is registered for {registered}")
            endpoint_url = f"{request.tenant.issuer}/{request.endpoint}"
            used = self._assertions.verify(credentials.secret, client, request.tenant, endpoint_url)
            trip.add(used, errors.ASSERTION_REPLAYED)
        elif credentials.method == "federated":
            if allowed is not None:
                raise errors.CLIENT_METHOD(f"the profile of {client.client_id} wants its own key")
            if not client.federated_credentials:
                raise errors.ASSERTION_INVALID("iss and sub have to be the client_id")
            first_use = self._federated.verify(credentials.secret, client, request.tenant)
            if first_use is not None:
                trip.add(first_use, errors.FEDERATED_REUSED)
        elif credentials.method == "none" and registered in mtls.METHODS:
            mtls.verify(request.certificate, client, request.tenant.id, self._keys)
        elif credentials.method != registered:
            self._secrets.verify(credentials.secret, None)
            raise errors.CLIENT_METHOD(
                f"{client.client_id} is registered for {registered}, used {credentials.method}"
            )
        elif registered != "none" and not self._is_secret(credentials.secret, client, request):
            raise errors.CLIENT_SECRET_WRONG(client.client_id)
        return client

    def _is_secret(self, secret: str, client: ClientRecord, request: ProtocolRequest) -> bool:
        """Compare. Where that takes an expensive hash, whoever guessed too often is refused before it."""
        former = client.former_secret_hash if client.has_former_secret else None

        def ask_limits() -> None:
            trip, tenant_id = Trip(self._state), request.tenant.id
            network = network_of(request.remote_address)
            trip.add(NETWORK_FAILURES.look(tenant_id, network), errors.TOO_MANY_FAILURES)
            trip.add(CLIENT_FAILURES.look(tenant_id, client.client_id, network), errors.TOO_MANY_FAILURES)
            trip.go()

        if self._secrets.verify(secret, client.secret_hash, before_hashing=ask_limits):
            return True
        return former is not None and self._secrets.verify(secret, former, before_hashing=ask_limits)

    def _failed(self, request: ProtocolRequest, client_id: str | None, error: OAuthError) -> None:
        """Count the failure and put it on record. Raises `OAuthError` instead of `error` once there were too many."""
        trip, tenant_id = Trip(self._state), request.tenant.id
        network = network_of(request.remote_address)
        trip.add(NETWORK_FAILURES.count(tenant_id, network), errors.TOO_MANY_FAILURES)
        trip.add(CLIENT_FAILURES.count(tenant_id, client_id or "", network), errors.TOO_MANY_FAILURES)
        trip.add(
            audit.operation(
                Event(
                    "client.authentication.fail",
                    tenant_id=tenant_id,
                    outcome="failure",
                    reason=error.code,
                    ip=request.remote_address,
                    user_agent=request.user_agent,
                    client_id=client_id[:200] if client_id else None,
                    data={"endpoint": request.endpoint},
                )
            )
        )
        trip.go()

    def _note(self, request: ProtocolRequest, client_id: str | None, error: OAuthError) -> None:
        """Put a request on record that authenticates in no way at all: no guess, so that it does not count as one."""
        refused.record(
            self._state,
            "client.authentication.fail",
            tenant_id=request.tenant.id,
            client_id=client_id[:200] if client_id else None,
            reason=error.code,
            ip=request.remote_address,
            user_agent=request.user_agent,
            data={"endpoint": request.endpoint},
            is_known=False,
        )


def each_time(request: ProtocolRequest, client: ClientRecord) -> tuple[tuple[Op, Case | None], ...]:
    """The operations of every request of a client, with what their refusal means. They ask whether it may go on: where
    somebody guessed too often, even the right secret is refused."""
    tenant_id, client_id, network = request.tenant.id, client.client_id, network_of(request.remote_address)
    return (
        (CLIENT_FAILURES.look(tenant_id, client_id, network), errors.TOO_MANY_FAILURES),
        (CLIENT_REQUESTS.count(tenant_id, client_id), errors.RATE_LIMITED),
    )
