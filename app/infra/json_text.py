"""Compact JSON, quickly: what is written thousands of times a second (docs/decisions/0007-the-token-path.md)."""

import json
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
