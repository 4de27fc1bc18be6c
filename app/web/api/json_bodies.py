"""JSON bodies, read strictly: what two readers might understand differently is refused (RFC 8259, I-JSON RFC 7493)."""

import json
from typing import Any, NoReturn

from flask import request
from pydantic import BaseModel, ValidationError

from app.kernel.errors import Problem

MAX_BYTES = 16 * 1024
MAX_DEPTH = 8


def read(model: type[BaseModel]) -> BaseModel:
    """The request's body. Raises `Problem`: `request.content_type` (415), `request.too_large` (413), and
    `request.invalid` for what is not one JSON object in UTF-8 with exactly the members of `model`, each once."""
    if (
        request.mimetype != "application/json"
        or request.mimetype_params.get("charset", "utf-8").lower() != "utf-8"
    ):
        raise Problem("request.content_type", "The content type has to be application/json.", status=415)
    if request.content_length is None:
        raise Problem("request.length_required", "The request needs a Content-Length.", status=411)
    if request.content_length > MAX_BYTES:
        raise Problem("request.too_large", "The body is too large.", status=413)
    try:
        content = json.loads(
            request.get_data().decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse
        )
        _check(content, 0)
        return model.model_validate(content, strict=True)
    except ValidationError as fault:
        named = {".".join(str(part) for part in error["loc"])[:60] for error in fault.errors()}
        raise _invalid(f"members: {', '.join(sorted(named))}") from None
    except (ValueError, RecursionError) as fault:
        raise _invalid(str(fault)[:100]) from None


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


def _invalid(detail: str) -> Problem:
    return Problem(
        "request.invalid",
        "The body is not the JSON object that is wanted: a member is unknown, missing, repeated or not valid.",
        detail=detail,
    )
