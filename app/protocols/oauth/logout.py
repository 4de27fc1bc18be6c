"""RP-initiated logout: what a sign-out request is worth (OpenID Connect RP-Initiated Logout 1.0 section 2)."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

from app.domain.clients import ClientDirectory
from app.domain.tenants import TenantContext
from app.infra.keyring import Keyring
from app.kernel import uris
from app.protocols.oauth import hints
from app.protocols.oauth.errors import Case

MAX_BYTES = 32 * 1024
MAX_STATE = 2048


MALFORMED = Case("invalid_request", "logout.malformed", "The request cannot be read.")
HINT = Case("invalid_request", "logout.id_token_hint", "The id_token_hint is not an ID token of this issuer.")
CLIENT = Case(
    "invalid_request",
    "logout.client",
    "The client is not registered here, or the id_token_hint is another one's.",
)
REDIRECT = Case(
    "invalid_request",
    "logout.redirect_uri",
    "This post_logout_redirect_uri is not registered for the client.",
)
REDIRECT_WITHOUT_CLIENT = Case(
    "invalid_request",
    "logout.redirect_uri_without_client",
    "A post_logout_redirect_uri needs an id_token_hint or a client_id.",
)


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    """A checked sign-out request."""

    client_id: str | None = None
    redirect_uri: str | None = None
    """Registered for the client, exactly."""
    state: str | None = None
    user_id: str | None = None
    """Whom the `id_token_hint` names; None without one."""
    session_id: str | None = None

    def target(self) -> str | None:
        """Where the browser goes afterwards: `state` comes back unchanged, and not at all when there was none."""
        if self.redirect_uri is None:
            return None
        return uris.with_query(self.redirect_uri, [("state", self.state)] if self.state is not None else [])

    def is_about(self, user_id: str, session_id: str) -> bool:
        """Whether the hint proves that whoever asks knows this very sign-in, so that nobody has to be asked: one that
        names no session is about a person alone, and good for months."""
        return self.user_id == user_id and self.session_id == session_id

    def to_json(self) -> dict[str, Any]:
        """As it is kept while the person is asked."""
        return asdict(self)


def read(
    encoded: str, tenant: TenantContext, clients: ClientDirectory, keyring: Keyring
) -> LogoutRequest | Case:
    """Check a form-encoded sign-out request. A hint may have expired; it has to be ours."""
    try:
        pairs = parse_qsl(encoded, max_num_fields=100, errors="strict") if len(encoded) <= MAX_BYTES else None
    except ValueError:
        pairs = None
    if pairs is None or any(n > 1 for n in Counter(name for name, _ in pairs).values()):
        return MALFORMED
    parameters = dict(pairs)
    state = parameters.get("state")
    if any("\x00" in value for value in parameters.values()) or len(state or "") > MAX_STATE:
        return MALFORMED
    hint = None
    if (token := parameters.get("id_token_hint")) is not None:
        hint = hints.read(token, tenant, keyring)
        if hint is None:
            return HINT
    client_id = parameters.get("client_id") or (hint.client_id if hint else None)
    client = clients.get(tenant.id, client_id) if client_id and len(client_id) <= 200 else None
    if client_id and (client is None or (hint and client_id not in hint.audience)):
        return CLIENT
    redirect_uri = parameters.get("post_logout_redirect_uri")
    if redirect_uri is not None:
        if client is None:
            return REDIRECT_WITHOUT_CLIENT
        if redirect_uri not in client.post_logout_redirect_uris:
            return REDIRECT
    return LogoutRequest(
        client_id=client_id,
        redirect_uri=redirect_uri,
        state=state,
        user_id=hint.user_id if hint else None,
        session_id=hint.session_id if hint else None,
    )
