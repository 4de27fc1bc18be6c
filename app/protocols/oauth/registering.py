"""What registering a client and changing its registration have in common (RFC 7591, RFC 7592)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain import client_registration
from app.domain.client_metadata import LOCALIZED, TLS_METHODS, ClientMetadata
from app.domain.registered_clients import RegisteredClients, Registration
from app.domain.sectors import Fetches, Sectors
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import REGISTRATION_TOKENS, network_of
from app.infra.state import Increment, Key
from app.infra.tenancy import Tenancy
from app.kernel import clock
from app.kernel.errors import Problem, Unavailable
from app.protocols.oauth import errors, refused
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.foreign import ForeignRefused, ForeignTokens
from app.protocols.oauth.profiles import PROFILES
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Executes, Trip

CONFIGURATION_PATH = "/clients/"
"""Before the client's id: where it finds its registration."""

_TOKEN = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]{1,512}=*)")
_UNSAID = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
_MAX_SAID = 400


@dataclass(frozen=True, slots=True)
class Parts:
    """What registration stands on."""

    tenancy: Tenancy
    state: Executes
    registered: RegisteredClients
    pepper: Callable[[], bytes]
    foreign: ForeignTokens
    fetcher: Fetches
    on_change: Callable[[], object]
    """Called once a client was written, so that this process knows at once."""
    tls_methods: tuple[str, ...]
    """How clients may authenticate by certificate in this deployment."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client says of itself, verified and checked."""

    metadata: dict[str, Any]
    statement: str | None
    statement_issuer: str | None


def asked(
    parts: Parts,
    request: ProtocolRequest,
    *,
    stored: Mapping[str, Any] | None = None,
    scope_limit: list[Any] | None = None,
    vouched_before: bool = False,
) -> Asked:
    """Read what the body says. Raises `OAuthError` in RFC 7591's words (section 3.2.2).

    Whom somebody vouched for once (`vouched_before`) brings a statement with every change.
    """
    said, tenant = dict(request.content or {}), request.tenant
    statement, issuer = said.pop("software_statement", None), None
    rules = tenant.settings.registration.client_rules
    if statement is not None and rules.software_statements != "off":
        issuer, claims = _vouched(parts, statement, tenant)
        # Section 2.3: what is in the statement goes before what is beside it.
        said |= {k: v for k, v in claims.items() if k in client_registration.SAID_BY_CLIENTS or _is_tagged(k)}
    elif rules.software_statements == "required" or vouched_before:
        raise errors.STATEMENT_MISSING()
    try:
        metadata = client_registration.read(said, tenant.settings, stored=stored, scope_limit=scope_limit)
        _fit(metadata, tenant, parts.tls_methods)
        Sectors(parts.fetcher).check(metadata, stored)
    except OAuthError:
        raise
    except Problem as problem:
        raise in_oauths_words(problem) from None
    return Asked(metadata, statement if issuer else None, issuer)


def _is_tagged(name: str) -> bool:
    return LOCALIZED.match(name) is not None


def _vouched(parts: Parts, statement: Any, tenant: TenantContext) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(statement, str):
        raise errors.STATEMENT_INVALID("no text")
    issuers = tenant.settings.registration.client_rules.statement_issuers
    try:
        return parts.foreign.vouched(statement, tenant, issuers)
    except ForeignRefused as refusal:
        unapproved = refusal.code == "statement.issuer"
        case = errors.STATEMENT_UNAPPROVED if unapproved else errors.STATEMENT_INVALID
        raise case(f"{refusal.code}: {refusal.detail}") from None


def _fit(metadata: Mapping[str, Any], tenant: TenantContext, tls_methods: tuple[str, ...]) -> None:
    """Refuse what could never be used here: the profile, or the deployment, does not allow it."""
    profile = PROFILES[tenant.settings.profile]
    method = metadata.get(
        "token_endpoint_auth_method", ClientMetadata.model_fields["token_endpoint_auth_method"].default
    )
    if method in TLS_METHODS and method not in tls_methods:
        raise _described(errors.METADATA_INVALID, f"token_endpoint_auth_method: {method} is not offered here")
    broken = []
    if profile.auth_methods is not None and method not in profile.auth_methods:
        broken.append("token_endpoint_auth_method")
    if not profile.front_channel_tokens and "implicit" in metadata["grant_types"]:
        broken.append("grant_types")
    redirects = metadata.get("redirect_uris", [])
    if profile.secure_redirects and any(uri.lower().startswith("http:") for uri in redirects):
        broken.append("redirect_uris")
    for member in ("token_endpoint_auth_signing_alg", "request_object_signing_alg"):
        if profile.algorithms is not None and metadata.get(member, "ES256") not in profile.algorithms:
            broken.append(member)
    if broken:
        raise _described(errors.METADATA_PROFILE, ", ".join(broken))


_CASES = {
    "client.redirect_uri_invalid": errors.REDIRECT_URI_INVALID,
    "client.metadata_invalid": errors.METADATA_INVALID,
    "client.secret_wrong": errors.REGISTRATION_SECRET,
    "registration.full": errors.REGISTRATION_FULL,
}


def in_oauths_words(problem: Problem) -> Problem:
    """A refusal of the domain as an OAuth error, which tells the client's developer what is wrong."""
    case = _CASES.get(problem.code)
    if case is None or isinstance(problem, Unavailable):
        return problem
    return _described(case, problem.public.partition(": ")[2], problem.detail)


def _described(case: Case, what: str, detail: str = "") -> OAuthError:
    """The error with what exactly is wrong, in the characters RFC 6749 section 5.2 allows; `detail` stays with us."""
    if not what:
        return case(detail)
    said = _UNSAID.sub("?", what)[:_MAX_SAID].rstrip(".")
    return replace(case, description=f"{case.description[:-1]}: {said}.")(detail or what)


def bearer(request: ProtocolRequest) -> str | None:
    """The token of the Authorization header; empty for a header that is no bearer token's."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    found = _TOKEN.fullmatch(header.strip())
    return found[1] if found else ""


def no_access(parts: Parts, request: ProtocolRequest, case: Case, detail: str = "") -> OAuthError:
    """The refusal of a token that is none (RFC 6750 section 3), counted. Raises `OAuthError` when there were many."""
    trip = Trip(parts.state)
    trip.add(
        REGISTRATION_TOKENS.count(request.tenant.id, network_of(request.remote_address)), errors.RATE_LIMITED
    )
    trip.go()
    challenge = 'Bearer realm="registration"'
    if bearer(request) is not None:
        challenge += ', error="invalid_token"'
    return case(detail, headers=(("WWW-Authenticate", challenge),))


def record_refusal(parts: Parts, request: ProtocolRequest, problem: Problem, client_id: str = "") -> None:
    """Put on record that a client was refused, though not so often that it fills the audit."""
    network = network_of(request.remote_address)
    parts.state.execute(
        Increment(
            Key(request.tenant.id, "recorded-registrations", network), refused.SECONDS, limit=refused.RECORDED
        ),
        audit.operation(
            Event(
                "client.registration.refused",
                tenant_id=request.tenant.id,
                outcome="failure",
                reason=problem.code,
                ip=request.remote_address,
                user_agent=request.user_agent,
                client_id=client_id or None,
                data={
                    "endpoint": request.endpoint,
                    "method": request.method,
                    "error": getattr(problem, "error", "invalid_request"),
                    "detail": ascii(problem.detail)[1:-1][:300],
                },
            )
        ),
    )


def answer(tenant: TenantContext, made: Registration, statement: str | None = None) -> dict[str, Any]:
    """The client information response (RFC 7591 section 3.2.1, RFC 7592 section 3)."""
    until = clock.timestamp(made.expires_at) if made.expires_at else 0
    secret = {"client_secret": made.secret, "client_secret_expires_at": until} if made.secret else {}
    return {
        "client_id": made.client_id,
        "client_id_issued_at": clock.timestamp(made.issued_at),
        **secret,
        "registration_access_token": made.token,
        "registration_client_uri": f"{tenant.issuer}{CONFIGURATION_PATH}{made.client_id}",
        **client_registration.shown(made.metadata),
        **({"software_statement": statement} if statement else {}),
    }
