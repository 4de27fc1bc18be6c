"""The public keys clients sign their assertions with: from their registration, or from where they publish them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from app.infra import jose
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
MAX_ENTRIES = 2_000

Keys = tuple[VerificationKey, ...]


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
    fetched_at: float
    tried_at: float


class ClientKeys:
    """Keys of clients, parsed once. Bounded; the least recently used are forgotten."""

    def __init__(self, fetcher: Fetches) -> None:
        self._fetcher = fetcher
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tenant_id: str, client: KeyOwner, *, unknown_kid: bool = False) -> Keys:
        """The client's keys; with `unknown_kid`, fetched anew where that is allowed.

        Empty when there are none or they cannot be had.
        """
        name = (tenant_id, client.client_id)
        entry = self._entries.get(name)
        if client.jwks is not None:
            if entry is None or entry.source is not client.jwks:
                entry = self._keep(name, _Entry(client.jwks, _parse(dict(client.jwks)), 0, 0))
            return entry.keys
        if client.jwks_uri is None:
            return ()
        if entry is None or entry.source != client.jwks_uri:
            entry = self._keep(name, _Entry(client.jwks_uri, (), 0, 0))
        now = clock.now().timestamp()
        stale = now - entry.fetched_at > FRESH_SECONDS
        if (stale or unknown_kid) and self._may_try(entry, now):
            self._fetch(entry, client.jwks_uri, now)
        return entry.keys if now - entry.fetched_at <= STALE_SECONDS else ()

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
        except Problem:
            return
        if document.status == 200 and (keys := _parse(document.body)):
            entry.keys, entry.fetched_at = keys, now

    def _keep(self, name: tuple[str, str], entry: _Entry) -> _Entry:
        with self._lock:
            self._entries[name] = entry
            self._entries.move_to_end(name)
            if len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
        return entry


def _parse(document: bytes | dict[str, object]) -> Keys:
    try:
        return jose.parse_jwks(document)
    except jose.InvalidKeys:
        return ()
