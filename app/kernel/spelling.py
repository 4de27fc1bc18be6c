"""The word somebody meant who wrote another."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.75
"""How alike two words are of which one may be a slip of the other (`difflib`: 1 is the same)."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was meant, or None when none is near: a slip, one sign or two that are wrong."""
    words = sorted(set(known) - {word})
    slips = (f"{word}s", word.removesuffix("s"), word.replace("-", "_"))
    slip = next((slip for slip in slips if slip in words), None)
    return slip or next(iter(difflib.get_close_matches(word[:200], words, 1, _ALIKE)), None)


def hint(word: str, known: Iterable[str]) -> str:
    """What is said after a word that is not known: which was meant, or nothing."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
