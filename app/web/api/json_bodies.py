"""JSON bodies of our own API, held to a model."""

from flask import request
from pydantic import BaseModel, ValidationError

from app.kernel.errors import Problem
from app.web import strict_json

MAX_BYTES = 16 * 1024


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
        return model.model_validate(strict_json.loads(request.get_data()), strict=True)
    except ValidationError as fault:
        named = {".".join(str(part) for part in error["loc"])[:60] for error in fault.errors()}
        raise _invalid(f"members: {', '.join(sorted(named))}") from None
    except (ValueError, RecursionError) as fault:
        raise _invalid(str(fault)[:100]) from None


def _invalid(detail: str) -> Problem:
    return Problem(
        "request.invalid",
        "The body is not the JSON object that is wanted: a member is unknown, missing, repeated or not valid.",
        detail=detail,
    )
