"""The `claims` parameter (OIDC Core section 5.5)."""

import json
from typing import Any

from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import CLAIMS_MALFORMED

MAX_CLAIMS = 100
MAX_DEPTH = 12
"""Of nesting: whatever works on it later may do so recursively."""
PLACES = ("id_token", "userinfo")


def claims_readable(draft: Draft) -> None:
    """Strict JSON of the specified shape; members not understood are ignored (section 5.5)."""
    text = draft.parameters.get("claims")
    if text is None:
        return
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        if _is_deeper(found, MAX_DEPTH):
            raise ValueError("nested too deeply")
        # What no database keeps as JSON: infinity, lone surrogates, NUL.
        if "\\u0000" in json.dumps(found, allow_nan=False):
            raise ValueError("a NUL character")
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise CLAIMS_MALFORMED() from None
    if not isinstance(found, dict):
        raise CLAIMS_MALFORMED()
    draft.claims = {place: _place(found[place]) for place in PLACES if place in found}


def _place(asked: Any) -> dict[str, Any]:
    if asked is None:
        return {}
    if not isinstance(asked, dict) or len(asked) > MAX_CLAIMS:
        raise CLAIMS_MALFORMED()
    return {name: _individual(member) for name, member in asked.items()}


def _individual(member: Any) -> dict[str, Any] | None:
    """One claim's request: null, or `essential`, `value`, `values` (section 5.5.1)."""
    if member is None:
        return None
    if not isinstance(member, dict):
        raise CLAIMS_MALFORMED()
    if not isinstance(member.get("essential", False), bool) or not isinstance(member.get("values", []), list):
        raise CLAIMS_MALFORMED()
    return {name: member[name] for name in ("essential", "value", "values") if name in member}


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in inner))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
