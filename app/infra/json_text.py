"""Compact JSON, quickly: what is written thousands of times a second (docs/decisions/0007-the-token-path.md)."""

import json
import secrets
from typing import Any

import orjson

_slow = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:
    """`value` as JSON in UTF-8 without spaces.

    No NaN comes in by any of our parsers; it would be written as null. Half a surrogate pair, and integers beyond 64
    bits, take the standard library's slower way. Raises `TypeError` for what JSON cannot hold.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return _slow(value).encode("ascii")


_MARK = secrets.token_hex(16)
"""Stands for what is filled in later. Nobody outside can have written it."""


class Form:
    """JSON that is written again and again, the same but for a few members: `fill` costs a fraction of `encode`.

    What is filled in is text of our own making, which JSON need not escape, or whole numbers.
    """

    __slots__ = ("_text",)

    def __init__(self, value: Any) -> None:
        """`value` has `text_gap` and `number_gap` where something is filled in. Raises `TypeError` as `encode` does."""
        text = encode(value).decode("utf-8").replace("%", "%%")
        text = text.replace(f'"{_MARK}:number:', "%(").replace(f':number:{_MARK}"', ")d")
        self._text = text.replace(f"{_MARK}:text:", "%(").replace(f":text:{_MARK}", ")s")

    def fill(self, **values: str | int) -> bytes:
        """The JSON in UTF-8, with a value for every gap."""
        return (self._text % values).encode("utf-8")


def text_gap(name: str) -> str:
    """Where `Form.fill` writes a text."""
    return f"{_MARK}:text:{name}:text:{_MARK}"


def number_gap(name: str) -> str:
    """Where `Form.fill` writes a whole number."""
    return f"{_MARK}:number:{name}:number:{_MARK}"
