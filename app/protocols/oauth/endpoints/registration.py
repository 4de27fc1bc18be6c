"""Clients register themselves (RFC 7591, OpenID Connect Dynamic Client Registration 1.0)."""

from app.domain import initial_tokens
from app.domain.client_metadata import redirect_host
from app.domain.initial_tokens import InitialToken
from app.domain.registered_clients import Registration as Registered
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import (
    CLIENT_REGISTRATION,
    CLIENT_REGISTRATION_ALL,
    CLIENT_REGISTRATION_HELD,
    Limit,
    network_of,
)
from app.kernel.errors import Problem, Unavailable
from app.protocols.oauth import errors, registering
from app.protocols.oauth.errors import because
from app.protocols.oauth.registering import Asked, Parts
from app.protocols.oauth.reply import Reply, created
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Trip


class Registration:
    """Makes a client of what it says of itself, as far as the tenant lets it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """RFC 7591 section 3. Raises `OAuthError`, put on record where the tenant lets anybody register."""
        policy = request.tenant.settings.registration.clients
        if policy == "off":
            raise errors.REGISTRATION_OFF()
        count(self._parts, request, CLIENT_REGISTRATION, network_of(request.remote_address))
        self._parts.pepper()  # Made at its first use, in a transaction of its own: not within another one.
        try:
            initial = self._initial(request, needed=policy == "token")
            # Whoever has no token uses up nothing of those who have one.
            together = CLIENT_REGISTRATION_HELD if initial else CLIENT_REGISTRATION_ALL
            count(self._parts, request, together)
            asked = registering.asked(self._parts, request)
            made = self._register(request, asked, initial)
        except Unavailable:
            raise
        except Problem as problem:
            registering.record_refusal(self._parts, request, problem)
            raise
        self._parts.on_change()
        return created(registering.answer(request.tenant, made, asked.statement))

    def _initial(self, request: ProtocolRequest, *, needed: bool) -> InitialToken | None:
        """The initial access token of the request, before anything is fetched for it. One that is none is refused
        where nobody needs one, too: its bearer means it."""
        parts, token = self._parts, registering.bearer(request)
        if token is None:
            if needed:
                raise registering.no_access(parts, request, errors.REGISTRATION_TOKEN_MISSING)
            return None
        with parts.tenancy.session(request.tenant.id) as session:
            found = initial_tokens.find(session, parts.pepper(), token)
        fault = "registration.token_unknown" if found is None else found.fault
        if fault is not None:
            raise registering.no_access(parts, request, because(errors.REGISTRATION_TOKEN, fault))
        return found

    def _register(self, request: ProtocolRequest, asked: Asked, initial: InitialToken | None) -> Registered:
        parts, tenant = self._parts, request.tenant
        with parts.tenancy.session(tenant.id, write=True) as session:
            if initial is not None and not initial_tokens.take(session, initial.id):
                raise because(errors.REGISTRATION_TOKEN, "registration.token_spent")()
            try:
                made = parts.registered.register(
                    session,
                    tenant,
                    asked.metadata,
                    initial_token_id=initial.id if initial else None,
                    statement_issuer=asked.statement_issuer,
                )
            except Problem as problem:
                raise registering.in_oauths_words(problem) from None
            audit.record(session, _event(request, made, asked, initial))
        return made


def count(parts: Parts, request: ProtocolRequest, limit: Limit, *subject: str) -> None:
    """Count a registration or a change of one. Raises `OAuthError` where there were too many."""
    trip = Trip(parts.state)
    trip.add(limit.count(request.tenant.id, *subject), errors.RATE_LIMITED)
    trip.go()


def _event(request: ProtocolRequest, made: Registered, asked: Asked, initial: InitialToken | None) -> Event:
    metadata = made.metadata
    return Event(
        "client.registered",
        tenant_id=request.tenant.id,
        outcome="success",
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=made.client_id,
        data={
            "target": made.client_id,
            "name": str(metadata.get("client_name", ""))[:200],
            "redirect_hosts": sorted({redirect_host(uri) for uri in metadata.get("redirect_uris", [])})[:20],
            "grant_types": list(metadata["grant_types"]),
            "scopes": metadata["scope"].split()[:60],
            "initial_token_id": initial.id if initial else None,
            "statement_issuer": asked.statement_issuer,
            "approved": not request.tenant.settings.registration.client_rules.approval,
        },
    )
