"""Access tokens of ours whose signature this process verified before.

A resource server asks about one token again and again, and verifying is most of what an answer costs. What is kept is
what cannot change: that these bytes are signed by one of these keys, and what they say. Whether the token has expired
or was taken back is asked every time. Another set of keys, after a rotation or an emergency, makes every entry void.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

MAX_ENTRIES = 4096


class SeenTokens:
    """Claims by the digest of their token, which itself is not kept. Bounded; the least recently used go first."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[Sequence[Any], Mapping[str, Any]]] = OrderedDict()

    def recall(self, digest: bytes, keys: Sequence[Any]) -> Mapping[str, Any] | None:
        """The claims of a token verified under this very set of keys, or None."""
        found = self._entries.get(digest)
        if found is None or found[0] is not keys:
            return None
        with suppress(KeyError):  # another thread may have made room meanwhile
            self._entries.move_to_end(digest)
        return found[1]

    def remember(self, digest: bytes, keys: Sequence[Any], claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Keep what was verified. Gives the claims as they are kept: nobody can change them."""
        kept = MappingProxyType(dict(claims))
        self._entries[digest] = (keys, kept)
        while len(self._entries) > self._max_entries:
            with suppress(KeyError):
                self._entries.popitem(last=False)
        return kept


def digest_of(tenant_id: str, token: str) -> bytes:
    """What a token of a tenant is called here."""
    return hashlib.sha256(f"{tenant_id}\0{token}".encode("utf-8", "surrogatepass")).digest()
