"""What a process remembers of tenants' configuration, until it changes."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

MAX_ENTRIES = 10_000

T = TypeVar("T")


class Versions(Protocol):
    """Says which configuration of a tenant is in force (`infra.versions`)."""

    def of(self, tenant_id: str) -> int:
        """The version. Raises `Unavailable` when it cannot be known."""
        ...

    def fresh(self, tenant_id: str) -> int:
        """The version as it is now, or was a moment ago. Raises `Unavailable`."""
        ...


class ConfigCache:
    """Immutable records compiled from a tenant's configuration. Safe for threads; each process has its own.

    What is not there is remembered too, so that asking for unknown clients costs the database nothing; the bound on
    entries keeps such questions from filling the memory, and the least recently used go first.
    """

    def __init__(self, versions: Versions, *, max_entries: int = MAX_ENTRIES) -> None:
        self._versions = versions
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[str, str, object], tuple[int, object]] = OrderedDict()

    def version(self, tenant_id: str) -> int:
        """What stays the same as long as nothing of the tenant's configuration changes. Raises `Unavailable`."""
        return self._versions.of(tenant_id)

    def get(self, tenant_id: str, kind: str, key: object, load: Callable[[], T]) -> T:
        """The value `load` gives, from memory while the tenant's configuration is the one it was loaded under.

        Several threads that miss at once each load. Raises what `load` raises (which is not remembered), and
        `Unavailable` when the version in force cannot be known.
        """
        version = self._versions.of(tenant_id)
        name = (tenant_id, kind, key)
        entries = self._entries
        found = entries.get(name)
        if found is not None and found[0] == version:
            try:  # noqa: SIM105  # a context manager would double the cost
                entries.move_to_end(name)
            except KeyError:  # another thread made room meanwhile
                pass
            return found[1]  # type: ignore[return-value]
        # What is not remembered may be new. Then so may be what belongs to it: without another look at the version, a
        # client that came this very moment would meet the resources of before.
        version = self._versions.fresh(tenant_id)
        # The version was read before the value: a change in between leaves an entry that is already outdated.
        value = load()
        entries[name] = (version, value)
        while len(entries) > self._max_entries:
            with suppress(KeyError):
                entries.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._entries)
