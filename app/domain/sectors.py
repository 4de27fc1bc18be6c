"""The sector of clients with pairwise subjects: whether its document agrees (OpenID Connect Core section 8.1)."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from app.kernel.errors import Problem

MAX_BYTES = 65_536
TIMEOUT_SECONDS = 3


class Document(Protocol):
    """What a fetch gave."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def body(self) -> bytes:
        """The whole body."""
        ...


class Fetches(Protocol):
    """The guarded fetcher (contracts 19)."""

    def get(self, url: str, *, max_bytes: int, timeout_seconds: float, accept: str) -> Document:
        """Fetch. Raises `Problem` for an address that is not allowed and for one that does not answer."""
        ...


class Sectors:
    """Asks each `sector_identifier_uri` once. Made for one registration, or one file of many."""

    def __init__(self, fetcher: Fetches) -> None:
        self._fetcher = fetcher
        self._known: dict[str, frozenset[str]] = {}

    def check(self, metadata: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        """Refuse a client whose redirect URIs its sector's document does not have, every one of them.

        What did not change since `before` was agreed then. Raises `Problem` (`client.metadata_invalid`).
        """
        uri = metadata.get("sector_identifier_uri")
        if uri is None:
            return
        members = ("sector_identifier_uri", "redirect_uris")
        if before is not None and all(before.get(name) == metadata.get(name) for name in members):
            return
        lacking = sorted(set(metadata.get("redirect_uris", ())) - self._listed(uri))
        if lacking:
            raise _disagrees(f"its document does not list {', '.join(lacking)}")

    def _listed(self, uri: str) -> frozenset[str]:
        if uri not in self._known:
            try:
                found = self._fetcher.get(
                    uri, max_bytes=MAX_BYTES, timeout_seconds=TIMEOUT_SECONDS, accept="application/json"
                )
            except Problem as fault:
                # Whether a name exists within, or what is there, is nothing a stranger has to know.
                raise _disagrees("its document cannot be read", f"{fault.code}: {fault.detail}") from None
            self._known[uri] = _read(found)
        return self._known[uri]


def _read(found: Document) -> frozenset[str]:
    try:
        listed = json.loads(found.body) if found.status == 200 else None
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise _disagrees("its document is no JSON array of redirect URIs")
    return frozenset(listed)


def _disagrees(what: str, detail: str = "") -> Problem:
    public = f"The client's metadata is not valid: sector_identifier_uri: {what}"
    return Problem("client.metadata_invalid", public, detail=detail)
