"""The public keys clients sign their assertions with: from their registration, or from where they publish them."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.infra import certificates, jose
from app.infra.fetch import Few, Gets
from app.infra.jose import VerificationKey, Verified
from app.kernel import clock
from app.kernel.errors import Problem

FRESH_SECONDS = 600
"""So long are fetched keys used without asking again: a key a client withdrew is refused after that."""
COOLDOWN_SECONDS = 30
"""An unknown `kid` makes us fetch again, but not more often than this, or anybody could make us knock at any door."""
STALE_SECONDS = 86_400
"""So long are keys used while their publisher does not answer."""
MAX_BYTES = 65_536
TIMEOUT_SECONDS = 5
AT_ONCE = 4
"""Publishers asked at a time, in a process: clients that register themselves say where we knock."""
MAX_ENTRIES = 2_000

Keys = tuple[VerificationKey, ...]
Certificates = frozenset[bytes]
"""Whole certificates in DER, and the thumbprints of keys that stand for every certificate of theirs."""


class FetchedDocument(Protocol):
    """What a fetch gave."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def body(self) -> bytes:
        """The whole body."""
        ...


class KeyOwner(Protocol):
    """Whose keys they are: a client, or an issuer whose tokens are believed."""

    @property
    def client_id(self) -> str:
        """What the keys are kept under."""
        ...

    @property
    def jwks(self) -> Mapping[str, Any] | None:
        """The keys themselves."""
        ...

    @property
    def jwks_uri(self) -> str | None:
        """Where they are published."""
        ...


class Fetches(Protocol):
    """The guarded fetcher (contracts 19)."""

    def get(self, url: str, *, max_bytes: int, timeout_seconds: float, accept: str) -> FetchedDocument:
        """Fetch. Raises `Problem` for an address that is not allowed and for one that does not answer."""
        ...


@dataclass(slots=True)
class _Entry:
    source: object
    keys: Keys
    certificates: Certificates
    fetched_at: float
    tried_at: float


class ClientKeys:
    """Keys of clients, parsed once. Bounded; the least recently used are forgotten."""

    def __init__(self, fetcher: Gets) -> None:
        self._fetcher = Few(fetcher, AT_ONCE)
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tenant_id: str, client: KeyOwner, *, unknown_kid: bool = False) -> Keys:
        """The client's keys; with `unknown_kid`, fetched anew where that is allowed.

        Empty when there are none or they cannot be had.
        """
        entry = self._entry(tenant_id, client, unknown_kid)
        return entry.keys if entry else ()

    def has_certificate(self, tenant_id: str, client: KeyOwner, der: bytes) -> bool:
        """Whether a certificate is one of the client's (RFC 8705 section 2.2): by itself or by its key.

        One that is not known makes us fetch anew, where that is allowed.
        """
        wanted = _names_of(der)
        entry = self._entry(tenant_id, client, False)
        if entry is not None and not wanted.isdisjoint(entry.certificates):
            return True
        entry = self._entry(tenant_id, client, True) if client.jwks is None else None
        return entry is not None and not wanted.isdisjoint(entry.certificates)

    def _entry(self, tenant_id: str, client: KeyOwner, unknown_kid: bool) -> _Entry | None:
        name = (tenant_id, client.client_id)
        entry = self._entries.get(name)
        if client.jwks is not None:
            if entry is None or entry.source is not client.jwks:
                entry = self._keep(name, _Entry(client.jwks, *_read(dict(client.jwks)), 0, 0))
            return entry
        if client.jwks_uri is None:
            return None
        if entry is None or entry.source != client.jwks_uri:
            entry = self._keep(name, _Entry(client.jwks_uri, (), frozenset(), 0, 0))
        now = clock.now().timestamp()
        stale = now - entry.fetched_at > FRESH_SECONDS
        if (stale or unknown_kid) and self._may_try(entry, now):
            self._fetch(entry, client.jwks_uri, now)
        return entry if now - entry.fetched_at <= STALE_SECONDS else None

    def verify(
        self, token: str, tenant_id: str, client: KeyOwner, algorithms: Collection[str]
    ) -> Verified | None:
        """What the client signed, verified with its keys; None when its keys cannot be had.

        An unknown `kid` has them fetched anew. Raises `InvalidToken`.
        """
        try:
            return jose.verify(token, self.get(tenant_id, client), algorithms=algorithms)
        except jose.InvalidToken as fault:
            if fault.code != "token.unknown_key" or client.jwks_uri is None:
                raise
        fresh = self.get(tenant_id, client, unknown_kid=True)
        return jose.verify(token, fresh, algorithms=algorithms) if fresh else None

    def _may_try(self, entry: _Entry, now: float) -> bool:
        with self._lock:
            if now - entry.tried_at < COOLDOWN_SECONDS:
                return False
            entry.tried_at = now
            return True

    def _fetch(self, entry: _Entry, uri: str, now: float) -> None:
        try:
            document = self._fetcher.get(
                uri,
                max_bytes=MAX_BYTES,
                timeout_seconds=TIMEOUT_SECONDS,
                accept="application/jwk-set+json, application/json",
            )
        except Problem as fault:
            if fault.code == "fetch.busy":
                # Nobody was asked: the next one may.
                entry.tried_at = 0
            return
        if document.status != 200:
            return
        keys, certified = _read(document.body)
        if keys or certified:
            entry.keys, entry.certificates, entry.fetched_at = keys, certified, now

    def _keep(self, name: tuple[str, str], entry: _Entry) -> _Entry:
        with self._lock:
            self._entries[name] = entry
            self._entries.move_to_end(name)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return entry


def _read(document: bytes | dict[str, object]) -> tuple[Keys, Certificates]:
    return _parse(document), _certificates(document)


def _certificates(document: bytes | dict[str, object]) -> Certificates:
    """What certificates of a key set are recognised by; of a key with `x5c` that certificate alone."""
    found = set()
    for jwk in jose.members(document):
        der = certificates.of_x5c(jwk.get("x5c"))
        if der is not None:
            found.add(der)
        elif "x5c" not in jwk and (name := _thumbprint(jwk)) is not None:
            found.add(name)
    return frozenset(found)


def _names_of(der: bytes) -> Certificates:
    members = certificates.public_members(der)
    name = _thumbprint(members) if members else None
    return frozenset({der} if name is None else {der, name})


def _thumbprint(jwk: Mapping[str, object]) -> bytes | None:
    try:
        return jose.thumbprint(jwk).encode("ascii")
    except (KeyError, TypeError, ValueError):
        return None


def _parse(document: bytes | dict[str, object]) -> Keys:
    try:
        return jose.parse_jwks(document)
    except jose.InvalidKeys:
        return ()
