"""Comparing the claims of somebody else's token with what an operator wrote down."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Wanted = Pattern | bool | int | Annotated[list[Pattern], Field(min_length=1, max_length=50)]
ClaimMatch = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=200)], Wanted], Field(max_length=30)
]
"""Claims by name, and what each has to be: a value, one of a list, or text in which `*` stands for anything.

A name with slashes leads into nested claims (`kubernetes.io/namespace`), unless a claim has that very name.
"""


def matches(claims: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether every claim wanted is there and as it has to be. A claim that is a list has to hold the value."""
    return all(_is(find(claims, name), value) for name, value in wanted.items())


def find(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of a name, or of a path; None when there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("/"):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def tells_apart(wanted: Mapping[str, Any]) -> bool:
    """Whether it asks for more than that claims are there: what matches everybody is a mistake."""
    return any(
        any(isinstance(one, bool | int) or one.strip("*") for one in (v if isinstance(v, list) else [v]))
        for v in wanted.values()
    )


def _is(found: Any, wanted: Any) -> bool:
    if isinstance(found, list):
        return any(_is(one, wanted) for one in found if not isinstance(one, list))
    if isinstance(wanted, list):
        return any(_is(found, one) for one in wanted)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return found is wanted
    if isinstance(wanted, int):
        return isinstance(found, int) and found == wanted
    return isinstance(found, str) and _fits(found, wanted)


def _fits(text: str, pattern: str) -> bool:
    """Whether the pieces between the stars follow each other: looked for once each, however many stars there are."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
