"""The parameter `authorization_details` (RFC 9396), wherever it stands."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.authorization_details import MAX_BYTES, MAX_DEPTH, MAX_DETAILS, Detail, DetailsType, within
from app.domain.clients import ClientRecord
from app.protocols.oauth import errors

Types = Mapping[str, DetailsType]


def read(text: str | None, types: Types, client: ClientRecord) -> tuple[Detail, ...] | None:
    """The details asked for, each of a type the client may use and as its schema says; None without the parameter.

    Raises `OAuthError` (section 5): unknown types and members, and whatever does not fit, are refused.
    """
    if text is None:
        return None
    found = _array(text)
    for detail in found:
        name = detail.get("type")
        known = types.get(name) if isinstance(name, str) else None
        if known is None or name not in client.authorization_details_types:
            raise errors.DETAILS_TYPE(f"{ascii(name)[:200]} is unknown, or not for {client.client_id}")
        if not known.accepts(detail):
            raise errors.DETAILS_INVALID(f"a detail of type {ascii(name)[:200]} is not as its schema says")
    return tuple(found)


def narrowed(granted: Iterable[Detail], asked: tuple[Detail, ...] | None) -> tuple[Detail, ...]:
    """What a token gets of what was granted (section 6). Raises `OAuthError` for more than that."""
    granted = tuple(granted)
    if asked is None:
        return granted
    if not all(any(within(detail, whole) for whole in granted) for detail in asked):
        raise errors.DETAILS_EXCEEDED()
    return asked


def still_good(granted: Iterable[Detail], types: Types, client: ClientRecord) -> tuple[Detail, ...]:
    """Those whose type exists and is the client's still: what either lost is lost to the token too."""
    return tuple(d for d in granted if d["type"] in types and d["type"] in client.authorization_details_types)


def for_audience(details: Iterable[Detail], types: Types, audience: tuple[str, ...]) -> tuple[Detail, ...]:
    """Those the token's audience is to read: of its own types, and of types nobody claims."""
    found = []
    for detail in details:
        resource = types[detail["type"]].resource if detail["type"] in types else None
        if resource is None or resource in audience:
            found.append(detail)
    return tuple(found)


def _array(text: str) -> list[dict[str, Any]]:
    if len(text) > MAX_BYTES:
        raise errors.DETAILS_MALFORMED("too long")
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        # What no database keeps as JSON: infinity, lone surrogates, NUL.
        if "\\u0000" in json.dumps(found, allow_nan=False):
            raise ValueError("a NUL character")
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise errors.DETAILS_MALFORMED() from None
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_DETAILS:
        raise errors.DETAILS_MALFORMED("no array of 1 to 20 objects")
    if not all(isinstance(detail, dict) for detail in found) or _is_deeper(found, MAX_DEPTH):
        raise errors.DETAILS_MALFORMED("something else than objects, or nested too deeply")
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in inner))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
