"""A tenant's profile attributes as fields of a form, in the reader's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_babel import gettext as _

from app.domain import profile
from app.domain.tenant_settings import ProfileAttribute
from app.domain.tenants import TenantContext
from app.kernel import languages
from app.web import i18n
from app.web.i18n import later

PREFIX = "profile-"

_LABELS = {
    "name": later("Full name"),
    "given_name": later("Given name"),
    "family_name": later("Family name"),
    "middle_name": later("Middle name"),
    "nickname": later("Nickname"),
    "gender": later("Gender"),
    "birthdate": later("Date of birth"),
    "phone_number": later("Telephone"),
    "website": later("Website"),
    "picture": later("Address of a picture"),
    "profile": later("Address of a profile page"),
    "locale": later("Language"),
    "zoneinfo": later("Time zone"),
}
_FAULTS = {
    "missing": later("This is needed."),
    "type": later("This does not have the right form."),
    "choice": later("Choose one of the list."),
    "length": later("This is too long."),
    "unknown": later("This cannot be set."),
    "not_yours": later("Only an administrator changes this."),
}
_COMPLETE = {
    "name": "name",
    "given_name": "given-name",
    "family_name": "family-name",
    "middle_name": "additional-name",
    "nickname": "nickname",
    "birthdate": "bday",
    "phone_number": "tel",
    "website": "url",
}


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute as the page shows it."""

    name: str
    id: str
    label: str
    kind: str
    value: str
    choices: tuple[tuple[str, str], ...]
    required: bool
    is_editable: bool
    autocomplete: str
    fault: str = ""


def fields(
    where: TenantContext,
    claims: Mapping[str, Any],
    faults: Mapping[str, str] | None = None,
    typed: Mapping[str, Any] | None = None,
    *,
    only_required: bool = False,
) -> list[Field]:
    """Everything the person sees of their profile. `typed` is what they sent, which goes before what is stored."""
    attributes = where.settings.people.attributes
    mine = profile.editable(attributes, profile.PERSON)
    shown = [
        (name, attribute)
        for name, attribute in attributes.items()
        if attribute.visible and (not only_required or (attribute.required and name in mine))
    ]
    return [
        Field(
            name=name,
            id=PREFIX + name,
            label=label(name, attribute),
            kind=attribute.type,
            value=_shown((typed or {}).get(name, claims.get(profile.claim_of(name, attribute), ""))),
            choices=_choices(where, name, attribute),
            required=attribute.required,
            is_editable=name in mine,
            autocomplete=_COMPLETE.get(name, ""),
            fault=_(_FAULTS[(faults or {})[name]]) if name in (faults or {}) else "",
        )
        for name, attribute in shown
    ]


def sent(where: TenantContext, *, only_required: bool = False) -> dict[str, Any]:
    """What the form says of the attributes the person may change. A box that is not ticked is not sent at all."""
    mine = profile.editable(where.settings.people.attributes, profile.PERSON)
    found: dict[str, Any] = {}
    for name, attribute in mine.items():
        if only_required and not attribute.required:
            continue
        value = request.form.get(PREFIX + name)
        if attribute.type == "boolean":
            found[name] = value is not None
        elif value is not None:
            found[name] = value
    return found


def label(name: str, attribute: ProfileAttribute) -> str:
    """What an attribute is called."""
    tag = languages.best([i18n.language()], tuple(attribute.label))
    if tag is not None:
        return attribute.label[tag]
    if attribute.label:
        return next(iter(attribute.label.values()))
    return _(_LABELS[name]) if name in _LABELS else name


def _choices(where: TenantContext, name: str, attribute: ProfileAttribute) -> tuple[tuple[str, str], ...]:
    if name == "locale" and not attribute.choices:
        offered = i18n.offered(where)
        return tuple((tag, str(i18n.locale_of(tag).get_display_name() or tag)) for tag in offered)
    return tuple((choice, choice) for choice in attribute.choices)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else ""
    return "" if value is None else str(value)
