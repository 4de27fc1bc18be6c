"""Reading JSON strictly: what two readers might understand differently is refused (RFC 8259, I-JSON RFC 7493)."""

import json
from typing import Any, NoReturn

MAX_DEPTH = 8


def loads(body: bytes) -> Any:
    """The value of a body. Raises `ValueError` for what is no JSON in UTF-8, has a member twice, text a database could
    choke on, or numbers readers do not agree on, and `RecursionError` for what is nested without end."""
    content = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
    _check(content, 0)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is repeated")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _check(value: Any, depth: int) -> None:
    """No text a database or another reader could choke on, and nothing nested deeply."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode("utf-8")  # a lone surrogate raises `UnicodeEncodeError`, which is a `ValueError`
        if "\x00" in value:
            raise ValueError("a NUL")
    elif isinstance(value, int | float) and abs(value) > 1 << 53:
        raise ValueError("a number beyond what readers agree on")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check(name, depth)
            _check(member, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
