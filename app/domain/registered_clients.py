"""Clients that registered themselves: how they come, change and go (RFC 7591, RFC 7592)."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from app.domain import branding, client_registration, clients
from app.domain.client_metadata import SECRET_METHODS, ClientMetadata, redirect_host
from app.domain.client_secrets import ClientSecrets
from app.domain.models import Client, RegisteredClient, Tenant
from app.domain.tenant_settings import TenantSettings
from app.domain.tenants import TenantContext
from app.infra.state import Get, Key, Op, Outcome, Put
from app.kernel import clock, ids
from app.kernel.errors import Problem
from app.kernel.secrets import b64url, equal, keyed_hash, new_secret

DAY = timedelta(days=1)
USE_KEPT_SECONDS = 2 * 86400
"""A use is noted in the state store first; the worker carries it into the database within that time."""
DIGEST_CHARACTERS = 12
KEPT_FOR_TOKENS = 4
"""One in so many places is kept for clients that bring an initial access token."""
NOT_LOOKED_AT = frozenset({"contacts", "jwks", "jwks_uri", "software_version"})
"""A client that renews its keys need not be approved again."""
_SEALED_METHOD = "client_secret_jwt"
_CHUNK = 200


class Log(Protocol):
    """Where it is written down that everything of a client is taken back (`domain.revocation`)."""

    def revoke_client(self, session: Session, tenant_id: str, client_id: str) -> None:
        """Take back what a client has, once the session commits."""
        ...


class Executes(Protocol):
    """The one thing asked of the state store."""

    def execute(self, *operations: Op) -> Outcome:
        """Carry out a batch atomically."""
        ...


@dataclass(frozen=True, slots=True)
class Registration:
    """A client and what is told of it once: its secret, if it has a new one, and its registration access token."""

    client_id: str
    metadata: Mapping[str, Any]
    issued_at: datetime
    expires_at: datetime | None
    token: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A registered client, as administrators see it."""

    client_id: str
    name: str
    registered_at: datetime
    approved_at: datetime | None
    last_used_at: datetime | None
    expires_at: datetime | None
    initial_token_id: str | None
    statement_issuer: str | None
    scope_limit: tuple[str, ...] | None
    redirect_hosts: tuple[str, ...]
    """Where it has people sent."""
    digest: str
    """Of all it says of itself now; another after every change. Whoever approves it says what they looked at by it."""


class RegisteredClients:
    """Writes them. Every function works in the caller's transaction."""

    def __init__(self, pepper: Callable[[], bytes], client_secrets: ClientSecrets, log: Log) -> None:
        self._pepper = pepper
        self._secrets = client_secrets
        self._log = log

    def register(
        self,
        session: Session,
        tenant: TenantContext,
        metadata: dict[str, Any],
        *,
        initial_token_id: str | None,
        statement_issuer: str | None,
    ) -> Registration:
        """Make a client of checked metadata. Raises `Problem` (`registration.full`).

        Whoever comes without an initial access token leaves a share of the places to those who have one.
        """
        rules = tenant.settings.registration.client_rules
        # One at a time, so that together they are no more than the tenant takes.
        session.execute(select(Tenant.id).where(Tenant.id == tenant.id).with_for_update(key_share=True))
        kept_free = rules.max_clients // KEPT_FOR_TOKENS if initial_token_id is None else 0
        there = session.scalar(select(func.count()).select_from(RegisteredClient)) or 0
        if there >= rules.max_clients - kept_free:
            raise Problem("registration.full", "No more clients can register here.", status=403)
        row = clients.create(session, ids.new_id(), metadata)
        secret = self._renew_secret(row, metadata, 0)
        token = new_secret()
        lifetime = timedelta(days=rules.lifetime_days)
        made = RegisteredClient(
            client_id=row.client_id,
            token_hash=self._hash(token),
            initial_token_id=initial_token_id,
            statement_issuer=statement_issuer,
            approved_at=None if rules.approval else row.created_at,
            expires_at=row.created_at + lifetime if lifetime else None,
        )
        row.disabled_at = row.created_at if rules.approval else None
        session.add(made)
        session.flush()
        return Registration(row.client_id, row.metadata_, row.created_at, made.expires_at, token, secret)

    def find(
        self, session: Session, client_id: str, token: str, *, hold: bool = False
    ) -> tuple[Client, RegisteredClient] | None:
        """The client this is the registration access token of, approved or not. In constant time.

        With `hold` it is nobody else's to change until the transaction ends.
        """
        asked = _both().where(Client.client_id == client_id)
        found = session.execute(asked.with_for_update() if hold else asked).one_or_none()
        known = found.RegisteredClient.token_hash if found else self._hash("")
        if not equal(self._hash(token), known) or found is None:
            return None
        return found.Client, found.RegisteredClient

    def update(
        self,
        session: Session,
        row: Client,
        made: RegisteredClient,
        metadata: dict[str, Any],
        *,
        secret: str | None,
        settings: TenantSettings,
    ) -> Registration:
        """Replace what a client said of itself (RFC 7592 section 2.2). Its registration access token changes.

        Whoever shows its present `secret` keeps that; who does not gets another, the former one good for the grace.
        Where clients have to be approved, one that is not what was approved waits again. Raises `Problem`
        (`client.secret_wrong`).
        """
        if secret is not None and not self._is_secret(row, secret):
            raise Problem("client.secret_wrong", "The client_secret is not the client's.")
        sealed = _method(metadata) == _SEALED_METHOD
        keeps = secret is not None and _needs_secret(metadata) and sealed == (row.secret_sealed is not None)
        if _is_another(row.metadata_, metadata):
            made.vetted_at = None
            if settings.registration.client_rules.approval:
                made.approved_at, row.disabled_at = None, clock.now()
        logo_changed = branding.logos_of(row.metadata_) != branding.logos_of(metadata)
        row.metadata_ = metadata
        grace = settings.keys.client_secret_grace_seconds
        new = None if keeps else self._renew_secret(row, metadata, grace)
        token = new_secret()
        made.token_hash = self._hash(token)
        session.flush()
        if logo_changed:
            branding.forget_client_logos(session, row.tenant_id, row.client_id)
        told = secret if keeps else new
        return Registration(row.client_id, metadata, made.created_at, made.expires_at, token, told)

    def remove(self, session: Session, row: Client) -> None:
        """Delete a client, with the pictures fetched for it, and take back what was issued to it."""
        tenant_id, client_id = row.tenant_id, row.client_id
        self._log.revoke_client(session, tenant_id, client_id)
        session.delete(row)
        session.flush()
        branding.forget_client_logos(session, tenant_id, client_id)

    def _is_secret(self, row: Client, secret: str) -> bool:
        if row.secret_sealed is not None:
            opened = self._secrets.open(row.tenant_id, row.client_id, row.secret_sealed)
            return equal(opened, secret.encode("utf-8", "surrogatepass"))
        return self._secrets.verify(secret, row.secret_hash)

    def _renew_secret(self, row: Client, metadata: Mapping[str, Any], grace_seconds: int) -> str | None:
        """Give the client the secret its method needs, or take away what it has; gives the new one."""
        if not _needs_secret(metadata):
            self._secrets.retire(row, 0)
            row.secret_hash = row.secret_sealed = None
            return None
        sealed = _method(metadata) == _SEALED_METHOD
        # A secret that is hashed is of no use to a method that signs with it, and the other way round.
        keeps_kind = sealed == (row.secret_sealed is not None)
        self._secrets.retire(row, grace_seconds if keeps_kind else 0)
        issued = self._secrets.issue()
        row.secret_hash = None if sealed else issued.stored
        row.secret_sealed = (
            self._secrets.seal(row.tenant_id, row.client_id, issued.secret) if sealed else None
        )
        return issued.secret

    def _hash(self, token: str) -> str:
        return b64url(keyed_hash(self._pepper(), f"registration access token\0{token}"))


def _is_another(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether people would see, or give, something else than what an administrator looked at."""
    return any(before.get(name) != now.get(name) for name in (before.keys() | now.keys()) - NOT_LOOKED_AT)


def _method(metadata: Mapping[str, Any]) -> str:
    default: str = ClientMetadata.model_fields["token_endpoint_auth_method"].default
    return str(metadata.get("token_endpoint_auth_method", default))


def _needs_secret(metadata: Mapping[str, Any]) -> bool:
    return _method(metadata) in SECRET_METHODS


def listed(session: Session, *, pending: bool = False, after: str = "", limit: int = 1000) -> list[Standing]:
    """The tenant's registered clients, oldest first; with `pending`, those that wait for approval."""
    asked = _both().where(Client.client_id > after).order_by(Client.client_id).limit(limit)
    if pending:
        asked = asked.where(RegisteredClient.approved_at.is_(None))
    return [_standing(row, made) for row, made in session.execute(asked)]


def approve(session: Session, client_id: str, digest: str) -> Standing:
    """Let a client that waits do what it registered for, if it still is what `digest` (of a `Standing`) is of.

    Raises `Problem`: `client.not_registered`; `client.changed`, when it changed since somebody looked.
    """
    row, made = _one(session, client_id, hold=True)
    if not equal(_digest(row, made), digest):
        raise Problem("client.changed", f"{client_id} is not what was listed. List it again.", status=409)
    made.vetted_at = clock.now()
    if made.approved_at is None:
        made.approved_at, row.disabled_at = made.vetted_at, None
    session.flush()
    return _standing(row, made)


def limit(
    session: Session, client_id: str, *, scopes: Sequence[str] | None, expires_at: datetime | None
) -> Standing:
    """Let a client ask for no more than these scopes, now and after it changes itself, and end at a time.

    None leaves either as it is. Raises `Problem`: `client.not_registered`, `client.metadata_invalid` when no scope
    would remain.
    """
    row, made = _one(session, client_id)
    if scopes is not None:
        kept = [scope for scope in str(row.metadata_.get("scope", "")).split() if scope in scopes]
        if not kept:
            raise Problem("client.metadata_invalid", "None of the client's scopes would remain.")
        made.scope_limit = sorted(set(scopes))
        row.metadata_ = {**row.metadata_, "scope": " ".join(kept)}
    if expires_at is not None:
        made.expires_at = expires_at
    session.flush()
    return _standing(row, made)


def use_key(tenant_id: str, client_id: str) -> Key:
    """Where it is noted that a registered client was granted something."""
    return Key(tenant_id, "client-used", client_id)


def note_use(tenant_id: str, client_id: str) -> Put:
    """The operation that notes it."""
    return Put(use_key(tenant_id, client_id), b"1", USE_KEPT_SECONDS)


def unnoted(session: Session) -> list[str]:
    """The clients of which no use was noted for a day."""
    asked = select(RegisteredClient.client_id).where(
        or_(RegisteredClient.last_used_at.is_(None), RegisteredClient.last_used_at < clock.now() - DAY)
    )
    return list(session.scalars(asked))


def used_of(state: Executes, tenant_id: str, client_ids: Sequence[str]) -> list[str]:
    """Those of them that were used of late."""
    found = []
    for start in range(0, len(client_ids), _CHUNK):
        part = client_ids[start : start + _CHUNK]
        marks = state.execute(*(Get(use_key(tenant_id, client_id)) for client_id in part)).results
        found += [client_id for client_id, mark in zip(part, marks, strict=True) if mark is not None]
    return found


def carry_uses(session: Session, client_ids: Sequence[str]) -> None:
    """Note in the database that these clients were used."""
    for start in range(0, len(client_ids), _CHUNK):
        part = client_ids[start : start + _CHUNK]
        session.execute(
            update(RegisteredClient)
            .where(RegisteredClient.client_id.in_(part))
            .values(last_used_at=clock.now())
            .execution_options(synchronize_session=False)
        )


def is_any_due(session: Session, unused_days: int) -> bool:
    """Whether there is anything for `due` to find."""
    return bool(due(session, unused_days, limit=1))


def due(session: Session, unused_days: int, *, limit: int = 200) -> list[Client]:
    """Clients whose time is over: expired, or not used for so many days (0: however long). So many at most.

    One that came without a token, waits for nobody's approval and was granted nothing on its first day is over as well:
    such ones cost whoever makes them nothing.
    """
    now = clock.now()
    untried = and_(
        RegisteredClient.last_used_at.is_(None),
        RegisteredClient.initial_token_id.is_(None),
        RegisteredClient.approved_at.is_not(None),
        RegisteredClient.vetted_at.is_(None),
        RegisteredClient.created_at < now - DAY,
    )
    over = or_(RegisteredClient.expires_at <= now, untried)
    if unused_days:
        last = func.coalesce(RegisteredClient.last_used_at, RegisteredClient.created_at)
        over = or_(over, last < now - timedelta(days=unused_days))
    return [row for row, _ in session.execute(_both().where(over).limit(limit))]


def _both() -> Any:
    return select(Client, RegisteredClient).join(
        RegisteredClient,
        (RegisteredClient.tenant_id == Client.tenant_id) & (RegisteredClient.client_id == Client.client_id),
    )


def _digest(row: Client, made: RegisteredClient) -> str:
    """The hash of the token makes it another with every update, and nobody's to compute beforehand: a client that chose
    what it changes to could otherwise look for two registrations of one short digest."""
    said = json.dumps([made.token_hash, row.metadata_], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_CHARACTERS]


def _one(session: Session, client_id: str, *, hold: bool = False) -> tuple[Client, RegisteredClient]:
    asked = _both().where(Client.client_id == client_id)
    found = session.execute(asked.with_for_update() if hold else asked).one_or_none()
    if found is None:
        raise Problem("client.not_registered", f"No client {client_id} registered itself.", status=404)
    return found.Client, found.RegisteredClient


def _standing(row: Client, made: RegisteredClient) -> Standing:
    return Standing(
        client_id=row.client_id,
        name=client_registration.shown(row.metadata_).get("client_name", ""),
        registered_at=made.created_at,
        approved_at=made.approved_at,
        last_used_at=made.last_used_at,
        expires_at=made.expires_at,
        initial_token_id=made.initial_token_id,
        statement_issuer=made.statement_issuer,
        scope_limit=None if made.scope_limit is None else tuple(made.scope_limit),
        redirect_hosts=tuple(sorted({redirect_host(uri) for uri in row.metadata_.get("redirect_uris", [])})),
        digest=_digest(row, made),
    )
