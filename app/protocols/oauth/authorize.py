"""The authorization endpoint's protocol: from what arrived to a checked request, or to a refusal and where it goes."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qsl

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.protocols.oauth import profiles, responses
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.responses import Address
from app.protocols.oauth.steps import table
from app.protocols.oauth.steps.draft import MULTIPLE, AuthorizationRequest, Directories, Draft, freeze
from app.protocols.oauth.steps.refusals import MALFORMED, TOO_LARGE

MAX_BYTES = 32 * 1024
"""Of a query string or form body."""
MAX_RESOURCES = 20


@dataclass(frozen=True, slots=True)
class Checked:
    """A request every step agreed to."""

    client: ClientRecord
    request: AuthorizationRequest


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that goes no further. Without `address` it is told on a page of ours (RFC 6749 section 4.1.2.1)."""

    case: Case
    detail: str
    address: Address | None
    client: ClientRecord | None


def start(
    encoded: str, tenant: TenantContext, directories: Directories, *, remote_address: str = "-"
) -> Checked | Rejected:
    """Read and check a form-encoded authorization request: the query of a GET or the body of a POST, never both."""
    try:
        draft = _read(encoded, tenant, directories)
        draft.remote_address = remote_address
    except OAuthError as refused:
        return Rejected(refused.case, refused.detail, None, None)
    try:
        table.run(draft, table.Endpoint.AUTHORIZE)
        return Checked(draft.known_client, freeze(draft))
    except OAuthError as refused:
        return Rejected(refused.case, refused.detail, _address(draft), draft.client)


def _read(encoded: str, tenant: TenantContext, directories: Directories) -> Draft:
    """The parameters, once each. Raises `OAuthError`."""
    if len(encoded) > MAX_BYTES:
        raise TOO_LARGE()
    try:
        # A parameter without a value counts as absent (RFC 6749 section 3.1): parse_qsl leaves it out.
        pairs = parse_qsl(encoded, max_num_fields=100, errors="strict")
    except ValueError:
        raise MALFORMED() from None
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise MALFORMED("a NUL character")
    counts = Counter(name for name, _ in pairs)
    resources = tuple(value for name, value in pairs if name == "resource")
    if len(resources) > MAX_RESOURCES:
        raise TOO_LARGE(f"{len(resources)} resources")
    return Draft(
        tenant=tenant,
        directories=directories,
        parameters={name: value for name, value in pairs if name not in MULTIPLE},
        resources_asked=resources,
        repeated=frozenset(name for name, n in counts.items() if n > 1 and name not in MULTIPLE),
    )


def _address(draft: Draft) -> Address | None:
    client = draft.client
    if draft.redirect_uri is None or client is None:
        return None
    return responses.address(
        draft.tenant,
        draft.directories.keyring,
        client_id=client.client_id,
        redirect_uri=draft.redirect_uri,
        response_mode=draft.response_mode,
        state=draft.state,
        alg=profiles.signing_algorithm(client.authorization_signed_response_alg, client, draft.tenant),
    )
