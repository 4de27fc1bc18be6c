"""Where an address is, roughly, in words: from the operator's file alone, and nothing where there is none."""

from collections.abc import Callable, Mapping
from typing import Any

Lookup = Callable[[str], Mapping[str, Any] | None]
"""What the operator's file has about an address."""


class Places:
    """Names the place of an address."""

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup = lookup

    def name(self, ip: str, language: str = "en") -> str:
        """City and country, the country alone, or nothing where the file does not know.

        `language` is a tag such as `de`; names the file lacks in it are English.
        """
        record = self._lookup(ip) if self._lookup else None
        if not record:
            return ""
        named = (_named(record.get("city"), language), _named(record.get("country"), language))
        return ", ".join(name for name in named if name)


def _named(member: Any, language: str) -> str:
    names = member.get("names") if isinstance(member, Mapping) else None
    if not isinstance(names, Mapping):
        return ""
    found = names.get(language) or names.get(language.partition("-")[0]) or names.get("en")
    return found[:80] if isinstance(found, str) else ""
