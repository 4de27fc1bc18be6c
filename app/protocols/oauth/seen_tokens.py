"""Access tokens of ours whose signature this process verified before.

A resource server asks about one token again and again, and verifying is most of what an answer costs. What is kept is
what cannot change: that these bytes are signed by one of these keys, and what follows from what they say. Whether the
token has expired or was taken back is asked every time. Another set of keys, after a rotation or an emergency, makes
every entry void.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

MAX_ENTRIES = 4096

T = TypeVar("T")


class SeenTokens(Generic[T]):
    """What is known of tokens by their digests; they themselves are not kept. Bounded; the least recently used go
    first."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[Sequence[Any], T]] = OrderedDict()

    def recall(self, digest: bytes, keys: Sequence[Any]) -> T | None:
        """What is known of a token verified under this very set of keys, or None."""
        found = self._entries.get(digest)
        if found is None or found[0] is not keys:
            return None
        with suppress(KeyError):  # another thread may have made room meanwhile
            self._entries.move_to_end(digest)
        return found[1]

    def remember(self, digest: bytes, keys: Sequence[Any], verified: T) -> None:
        """Keep what was verified: nothing in it may change."""
        self._entries[digest] = (keys, verified)
        while len(self._entries) > self._max_entries:
            with suppress(KeyError):
                self._entries.popitem(last=False)


def digest_of(tenant_id: str, token: str) -> bytes:
    """What a token of a tenant is called here."""
    return hashlib.sha256(f"{tenant_id}\0{token}".encode("utf-8", "surrogatepass")).digest()
