"""What a tenant knows of its people: the attributes of `people.attributes`, and what may be in them.

Every place where a profile is written checks it here: registration, the account page, the apply file and the API.
Only `sub` is ever there for certain.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from app.domain.tenant_settings import ProfileAttribute
from app.kernel.errors import Problem

PERSON = "person"
ADMIN = "admin"

MAX_TEXT = 2000
PHONE, PHONE_VERIFIED = "phone_number", "phone_number_verified"

_TRUE, _FALSE = ("true", "1", "on"), ("false", "0", "off", "")


class ProfileFaults(Problem):
    """Values that do not fit. `faults` has a fixed code by attribute: `missing`, `type`, `choice`, `length`, `unknown`
    or `not_yours`."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        named = ", ".join(f"{name} ({fault})" for name, fault in sorted(faults.items()))
        super().__init__("profile.invalid", f"The profile has values that are not allowed: {named}.")
        self.faults = dict(faults)


Attributes = Mapping[str, ProfileAttribute]


def editable(attributes: Attributes, by: str) -> dict[str, ProfileAttribute]:
    """What somebody may change: people what is theirs and shown to them, administrators everything."""
    return {
        name: attribute
        for name, attribute in attributes.items()
        if by == ADMIN or (attribute.editable_by == PERSON and attribute.visible)
    }


def claim_of(name: str, attribute: ProfileAttribute) -> str:
    """Under which claim an attribute is kept and released."""
    return attribute.claim or name


def changed(
    attributes: Attributes, stored: Mapping[str, Any], given: Mapping[str, Any], *, by: str
) -> dict[str, Any]:
    """The person's claims after `given` values, by attribute name, were put in; None or empty text removes one.

    Text is read as the attribute's type, as forms send it. Raises `ProfileFaults`.
    """
    allowed, faults = editable(attributes, by), {}
    claims = dict(stored)
    for name, value in given.items():
        if name not in allowed:
            faults[name] = "unknown" if name not in attributes else "not_yours"
            continue
        attribute, claim = allowed[name], claim_of(name, allowed[name])
        if value is None or (isinstance(value, str) and not value.strip()):
            if attribute.required:
                faults[name] = "missing"
            claims.pop(claim, None)
            continue
        read, fault = _read(attribute, value)
        if fault:
            faults[name] = fault
        claims[claim] = read
    if faults:
        raise ProfileFaults(faults)
    return as_proven(stored, claims)


def as_proven(stored: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims without what was verified of another value than they have now (OIDC Core section 5.1,
    `phone_number_verified`)."""
    is_same = claims.get(PHONE) == stored.get(PHONE)
    return {name: value for name, value in claims.items() if is_same or name != PHONE_VERIFIED}


def fault_of(attribute: ProfileAttribute, value: Any) -> str | None:
    """What is wrong with a value that is to be stored as it is; None: nothing."""
    read, fault = _read(attribute, value)
    return fault or ("type" if type(read) is not type(value) else None)


def missing(attributes: Attributes, claims: Mapping[str, Any], *, by: str) -> list[str]:
    """The required attributes that have no value, of those `by` may fill in."""
    return [
        name
        for name, attribute in editable(attributes, by).items()
        if attribute.required and claims.get(claim_of(name, attribute)) in (None, "")
    ]


def _read(attribute: ProfileAttribute, value: Any) -> tuple[Any, str | None]:
    """The value in its type, and what is wrong with it."""
    if attribute.type == "boolean":
        return _boolean(value)
    if attribute.type == "integer":
        return _integer(value)
    if not isinstance(value, str):
        return value, "type"
    text = value.strip()
    if len(text) > min(attribute.max_length or MAX_TEXT, MAX_TEXT):
        return text, "length"
    if any(not c.isprintable() and c not in "\r\n\t" for c in text):
        return text, "type"
    if attribute.choices and text not in attribute.choices:
        return text, "choice"
    return text, None if _is_of_type(attribute.type, text) else "type"


def _boolean(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, bool):
        return value, None
    if isinstance(value, str) and value.strip().lower() in (*_TRUE, *_FALSE):
        return value.strip().lower() in _TRUE, None
    return value, "type"


def _integer(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value.strip()):
        return int(value), None
    return value, None if isinstance(value, int) and not isinstance(value, bool) else "type"


def _is_of_type(kind: str, text: str) -> bool:
    if kind == "date":
        try:
            return date.fromisoformat(text).isoformat() == text
        except ValueError:
            return False
    if kind == "url":
        try:
            parts = urlsplit(text)
        except ValueError:
            return False
        return text.isprintable() and parts.scheme == "https" and bool(parts.hostname)
    return kind == "text" or text.isprintable()
