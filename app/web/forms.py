"""Reading a form body strictly: what two parsers might read in two ways is refused (RFC 6749 section 3.2)."""

import re
from urllib.parse import unquote

from app.protocols.oauth import errors
from app.protocols.oauth.request import REPEATABLE

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 64 * 1024
MAX_PARAMETERS = 100
MAX_REPEATS = 20

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Form = tuple[dict[str, str], dict[str, tuple[str, ...]]]


def is_form(content_type: str) -> bool:
    """Whether a Content-Type header announces a form in UTF-8."""
    if content_type == FORM_TYPE:
        return True
    essence, _, parameters = content_type.lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return essence.strip() == FORM_TYPE and charset in ("", "utf-8", "utf8")


def is_json(content_type: str) -> bool:
    """Whether a Content-Type header announces JSON."""
    essence, _, parameters = content_type.lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return essence.strip() == "application/json" and charset in ("", "utf-8", "utf8")


def parse(body: bytes) -> Form:
    """The parameters of a form body: those that come once, and those that may be repeated.

    A parameter without a value counts as absent. Raises `OAuthError` for repeated parameters, percent signs that
    escape nothing, bytes that are not UTF-8, and control characters, which no parameter of OAuth may hold
    (RFC 6749 appendix A) and some databases refuse.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.PARAMETER_ENCODING("the body is not UTF-8") from None
    pairs = text.split("&") if text else []
    if len(pairs) > MAX_PARAMETERS:
        raise errors.PARAMETERS_TOO_MANY(f"{len(pairs)} parameters")
    if "%" in text and _BAD_ESCAPE.search(text):
        raise errors.PARAMETER_ENCODING("a percent sign that escapes nothing")
    # `isprintable` is a quick look: whatever else it finds, the slow way looks at again.
    decode = _as_it_is if text.isprintable() and "%" not in text and "+" not in text else _decode
    single: dict[str, str] = {}
    repeated: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name, value = decode(name), decode(value)
        if name in REPEATABLE:
            if value:
                repeated[name] = (*repeated.get(name, ()), value)
        elif name in single:
            raise errors.PARAMETER_REPEATED()
        else:
            single[name] = value
    if repeated and any(len(values) > MAX_REPEATS for values in repeated.values()):
        raise errors.PARAMETERS_TOO_MANY("a repeatable parameter comes too often")
    return {name: value for name, value in single.items() if value}, repeated


def _as_it_is(text: str) -> str:
    return text


def _decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        try:
            text = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise errors.PARAMETER_ENCODING("escaped bytes are not UTF-8") from None
    if _CONTROL.search(text):
        raise errors.PARAMETER_ENCODING("a control character")
    return text
