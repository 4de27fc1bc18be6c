"""What a site says of itself for programs: its web app manifest, and its organization in JSON-LD."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 6

_ORGANIZATIONS = ("organization", "corporation", "business", "store")
"""What the types of those end in who may have a logo of their own (schema.org)."""


@dataclass(frozen=True, slots=True)
class Said:
    """A name, a colour, and the addresses of logos and of icons, relative to whoever said it."""

    name: str = ""
    colour: str = ""
    logos: tuple[str, ...] = ()
    icons: tuple[str, ...] = ()


def read_manifest(document: bytes) -> Said:
    """A web app manifest. Empty where it is none."""
    read = _load(document)
    if not isinstance(read, dict):
        return Said()
    icons = [icon for icon in _list(read.get("icons")) if isinstance(icon, dict)]
    whole = [icon for icon in icons if "monochrome" not in _text(icon.get("purpose"))]
    # An icon to be cut to any shape has a wide border.
    whole.sort(key=lambda icon: (_text(icon.get("purpose")) == "maskable", -_side(icon)))
    return Said(
        name=_text(read.get("short_name")) or _text(read.get("name")),
        colour=_text(read.get("theme_color")),
        icons=tuple(src for icon in whole if (src := _text(icon.get("src")))),
    )


def read_linked_data(blocks: list[str]) -> Said:
    """The organization in a page's JSON-LD (schema.org), or what is published by it."""
    for block in blocks:
        for thing in _things(_load(block.encode("utf-8", "replace"))):
            kinds = [_text(kind).lower() for kind in _list(thing.get("@type"))]
            if not any(kind.endswith(_ORGANIZATIONS) for kind in kinds):
                continue
            logos = tuple(address for logo in _list(thing.get("logo")) if (address := _address(logo)))
            if logos:
                return Said(name=_text(thing.get("name")), logos=logos)
    return Said()


def _things(read: object, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every object in it, the outer ones first."""
    if depth > MAX_DEPTH:
        return
    if isinstance(read, dict):
        yield read
    for inner in read.values() if isinstance(read, dict) else _list(read):
        if isinstance(inner, dict | list):
            yield from _things(inner, depth + 1)


def _load(document: bytes) -> object:
    try:
        return json.loads(document.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _list(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _text(value: object) -> str:
    """A line of text. Half a character, which JSON can spell, is none."""
    return value.strip() if isinstance(value, str) and value.isprintable() else ""


def _address(value: object) -> str:
    """The address of an image, given as itself or as an `ImageObject`."""
    if isinstance(value, dict):
        return _text(value.get("url")) or _text(value.get("contentUrl"))
    return _text(value)


def _side(icon: dict[str, Any]) -> int:
    """How large an icon is, as it says; one of any size is the largest."""
    sizes = _text(icon.get("sizes")).lower()
    if sizes == "any" or "svg" in _text(icon.get("type")):
        return 10_000
    sides = [
        int(side) for size in sizes.split() if (side := size.partition("x")[0]).isdecimal() and len(side) < 5
    ]
    return max(sides, default=0)
