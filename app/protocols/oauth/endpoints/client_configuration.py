"""A client that registered itself looks after its registration (RFC 7592)."""

from typing import Any

from sqlalchemy.orm import Session

from app.domain.models import Client, RegisteredClient
from app.domain.registered_clients import Registration
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import CLIENT_REGISTRATION, network_of
from app.kernel.errors import Problem, Unavailable
from app.protocols.oauth import errors, registering
from app.protocols.oauth.endpoints.registration import count
from app.protocols.oauth.registering import Parts
from app.protocols.oauth.reply import NO_STORE, Reply, ok
from app.protocols.oauth.request import ProtocolRequest

OURS = frozenset(
    {
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    }
)
"""What an update must not carry (section 2.2)."""


class ClientConfiguration:
    """Reads, replaces and deletes the registration of whose token it is handed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """Sections 2.1 to 2.3. Raises `OAuthError`, put on record."""
        self._parts.pepper()  # Made at its first use, in a transaction of its own: not within another one.
        try:
            if request.method == "PUT":
                return self._update(request)
            return self._delete(request) if request.method == "DELETE" else self._read(request)
        except Unavailable:
            raise
        except Problem as problem:
            registering.record_refusal(self._parts, request, problem)
            raise

    def _read(self, request: ProtocolRequest) -> Reply:
        """The token is the one that was presented: only its hash is kept. So it is with the secret, which is left
        out."""
        with self._parts.tenancy.session(request.tenant.id) as session:
            found = self._find(session, request)
        if found is None:
            raise self._no_access(request)
        row, made = found
        told = Registration(
            row.client_id, row.metadata_, made.created_at, made.expires_at, registering.bearer(request) or ""
        )
        return ok(registering.answer(request.tenant, told))

    def _update(self, request: ProtocolRequest) -> Reply:
        """What is left out returns to its default. The registration access token changes, and so does a secret the
        client does not show."""
        parts, tenant = self._parts, request.tenant
        if tenant.settings.registration.clients == "off":
            raise errors.REGISTRATION_OFF()
        with parts.tenancy.session(tenant.id) as session:
            found = self._find(session, request)
        if found is None:
            raise self._no_access(request)
        count(parts, request, CLIENT_REGISTRATION, network_of(request.remote_address))
        said = request.content or {}
        if said.get("client_id") != found[0].client_id or not OURS.isdisjoint(said):
            raise errors.CONFIGURATION_MEMBERS()
        secret = said.get("client_secret")
        if secret is not None and not isinstance(secret, str):
            raise errors.REGISTRATION_SECRET("no text")
        row, made = found
        asked = registering.asked(
            parts,
            request,
            stored=row.metadata_,
            scope_limit=made.scope_limit,
            vouched_before=made.statement_issuer is not None,
        )
        with parts.tenancy.session(tenant.id, write=True) as session:
            again = self._find(session, request, hold=True)
            if again is not None:
                if (again[0].metadata_, again[1].scope_limit) != (row.metadata_, made.scope_limit):
                    # What was just checked is not what an administrator says of it now.
                    raise errors.CONFIGURATION_CHANGED()
                told = self._replace(session, request, again, asked.metadata, secret)
                again[1].statement_issuer = asked.statement_issuer
        if again is None:
            # Another update with the same token was first.
            raise self._no_access(request)
        parts.on_change()
        return ok(registering.answer(tenant, told, asked.statement))

    def _replace(
        self,
        session: Session,
        request: ProtocolRequest,
        found: tuple[Client, RegisteredClient],
        metadata: dict[str, Any],
        secret: str | None,
    ) -> Registration:
        row, made = found
        before = row.metadata_
        try:
            told = self._parts.registered.update(
                session, row, made, metadata, secret=secret, settings=request.tenant.settings
            )
        except Problem as problem:
            raise registering.in_oauths_words(problem) from None
        changes = sorted(k for k in before.keys() | metadata.keys() if before.get(k) != metadata.get(k))
        if told.secret is not None and told.secret != secret:
            audit.record(session, _event("client.secret.rotated", request, row))
        audit.record(session, _event("client.updated", request, row, changes=changes))
        return told

    def _delete(self, request: ProtocolRequest) -> Reply:
        with self._parts.tenancy.session(request.tenant.id, write=True) as session:
            found = self._find(session, request, hold=True)
            if found is not None:
                audit.record(session, _event("client.deleted", request, found[0]))
                self._parts.registered.remove(session, found[0])
        if found is None:
            raise self._no_access(request)
        self._parts.on_change()
        return Reply(204, NO_STORE, b"")

    def _find(
        self, session: Session, request: ProtocolRequest, *, hold: bool = False
    ) -> tuple[Client, RegisteredClient] | None:
        token = registering.bearer(request)
        if not token or len(request.segment) > 200 or not request.segment.isprintable():
            return None
        return self._parts.registered.find(session, request.segment, token, hold=hold)

    def _no_access(self, request: ProtocolRequest) -> Problem:
        return registering.no_access(self._parts, request, errors.CONFIGURATION_TOKEN)


def _event(event: str, request: ProtocolRequest, row: Client, **data: Any) -> Event:
    name = str(row.metadata_.get("client_name", ""))[:200]
    return Event(
        event,
        tenant_id=request.tenant.id,
        outcome="success",
        ip=request.remote_address,
        user_agent=request.user_agent,
        client_id=row.client_id,
        data={"target": row.client_id, "name": name, "via": "registration", **data},
    )
