"""What a protocol endpoint answers, and how an OAuth error looks on the wire."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.infra import json_text
from app.kernel.errors import Unavailable
from app.protocols.oauth import errors
from app.protocols.oauth.errors import Case, OAuthError

Headers = tuple[tuple[str, str], ...]

JSON: Headers = (("Content-Type", "application/json"),)
NO_STORE: Headers = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
"""RFC 6749 section 5.1."""
PRIVATE_JSON: Headers = JSON + NO_STORE


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer. The edge adds length, CORS and security headers."""

    status: int
    headers: Headers
    body: bytes


def ok(content: dict[str, Any]) -> Reply:
    """JSON nobody may cache."""
    return Reply(200, PRIVATE_JSON, encode(content))


def created(content: dict[str, Any]) -> Reply:
    """JSON about what was made, which nobody may cache."""
    return Reply(201, PRIVATE_JSON, encode(content))


def encode(content: Any) -> bytes:
    """Compact JSON."""
    return json_text.encode(content)


def refusal(error: OAuthError) -> Reply:
    """The error as JSON (RFC 6749 section 5.2): the fixed text, never what was wrong in detail."""
    headers = PRIVATE_JSON + error.headers
    if error.retry_after_seconds is not None:
        headers += (("Retry-After", str(error.retry_after_seconds)),)
    return Reply(error.status, headers, _body(error.case))


def unavailable(error: Unavailable) -> Reply:
    """Something we stand on does not answer. Never read as a yes or a no."""
    case = errors.TEMPORARILY_UNAVAILABLE
    return Reply(case.status, (*PRIVATE_JSON, ("Retry-After", str(error.retry_after_seconds))), _body(case))


def failure(reference: str) -> Reply:
    """Our own fault; `reference` finds it in the log."""
    case = errors.SERVER_ERROR
    content = {"error": case.error, "error_description": f"{case.description} Reference: {reference}"}
    return Reply(case.status, PRIVATE_JSON, encode(content))


@lru_cache(maxsize=256)
def _body(case: Case) -> bytes:
    return encode({"error": case.error, "error_description": case.description})
