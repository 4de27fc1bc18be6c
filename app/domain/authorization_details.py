"""Authorization details (RFC 9396): the types a tenant defined, and what a detail of one has to look like.

A type is a JSON Schema, which details are held to, and a sentence per language, in which people read them. The schema
comes from an operator and judges what clients send, so both are bounded: nothing is fetched, nothing recurses, and no
pattern can be made to run for long.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, SchemaError
from jsonschema.protocols import Validator
from referencing import Registry
from sqlalchemy import select

from app.domain.models import AuthorizationDetailsType
from app.infra.cache import ConfigCache
from app.infra.tenancy import Tenancy

Detail = dict[str, Any]

MAX_SCHEMA_BYTES = 16_384
MAX_DEPTH = 12
MAX_REFERENCES = 20
MAX_PATTERN = 200
MAX_BYTES = 8192
"""Of all details of one request, as JSON."""
MAX_DETAILS = 20
MAX_SHOWN = 500

_FORMATS = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "uuid"))
_REFUSED_KEYWORDS = frozenset(
    {"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "patternProperties"}
)
_LOCAL = re.compile(r"#/\$defs/([A-Za-z0-9_-]{1,100})")
_PLACE = re.compile(r"\{([A-Za-z0-9_.-]{1,200})\}")
# What makes a regular expression slow: repetition of what repeats, references back, and many open ends.
_SLOW = re.compile(r"\)[*+?{]|\\[1-9]|\(\?")
_OPEN_END = re.compile(r"(?<!\\)[*+]|\{\d+,\d*\}")


@dataclass(frozen=True, slots=True)
class DetailsType:
    """One type, compiled for use."""

    type: str
    resource: str | None
    """The API that understands details of it; None: whichever the token is for."""
    always_ask: bool
    words: Mapping[str, str]
    """The sentence by language tag."""
    validator: Validator

    def accepts(self, detail: Detail) -> bool:
        """Whether a detail is one of this type."""
        return self.validator.is_valid(detail)

    def sentence(self, detail: Detail, languages: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
        """A detail in words, and whatever of it the words do not say, by name: nothing is granted unseen.

        The first of `languages` there is a sentence in; else the first there is.
        """
        chosen = next((self.words[tag] for tag in languages if tag in self.words), "")
        text = chosen or next(iter(self.words.values()), self.type)
        said = set()

        def fill(found: re.Match[str]) -> str:
            said.add(found[1])
            return _shown(_at(detail, found[1].split(".")))

        sentence = _PLACE.sub(fill, text)
        left = [(name, value) for name, value in _leaves(detail) if name != "type" and name not in said]
        return sentence, [(name, _shown(value)) for name, value in left]


def schema_fault(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema an operator wrote, or None."""
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        return f"larger than {MAX_SCHEMA_BYTES} bytes"
    references: list[str] = []
    if fault := _fault_in(schema, MAX_DEPTH, references):
        return fault
    if len(references) > MAX_REFERENCES:
        return f"more than {MAX_REFERENCES} references"
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as error:
        return f"not a JSON Schema of 2020-12: {'.'.join(map(str, error.absolute_path)) or 'root'}"
    definitions = schema.get("$defs", {})
    if missing := {name for name in references if name not in definitions}:
        return f"nothing under $defs is called {', '.join(sorted(missing))}"
    return _circle_in(definitions)


def words_fault(words: Mapping[str, str]) -> str | None:
    """What is wrong with the sentences of a type, or None."""
    if not words:
        return "at least one sentence is wanted, by language, such as `en: Pay {amount} to {payee}`"
    for tag, text in words.items():
        if not re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", tag):
            return f"{tag} is no language tag"
        if "{" in _PLACE.sub("", text) or "}" in _PLACE.sub("", text):
            return f"{tag}: names of members stand in braces, parts of nested ones joined by dots"
    return None


def compiled(schema: Mapping[str, Any], name: str) -> Validator:
    """The validator of a type's details. Members the schema does not name are refused (RFC 9396 section 5)."""
    whole = dict(schema)
    whole["properties"] = {**whole.get("properties", {}), "type": {"const": name}}
    whole["required"] = sorted({*whole.get("required", ()), "type"})
    whole["type"] = "object"
    if "unevaluatedProperties" not in whole:
        whole.setdefault("additionalProperties", False)
    return Draft202012Validator(whole, registry=Registry(), format_checker=_FORMATS)


def canonical(details: Iterable[Detail]) -> list[str]:
    """Details as they are compared: their order, and that of their members, says nothing."""
    return sorted({json.dumps(detail, sort_keys=True, separators=(",", ":")) for detail in details})


def within(asked: Any, granted: Any) -> bool:
    """Whether `asked` is `granted` or less of it: the same members, lists with fewer items (RFC 9396 section 6).

    An empty list is not less of one that is not: to many an API it says "all" (no accounts named, so every account).
    Whoever wants none of it leaves the detail out.
    """
    if isinstance(granted, dict):
        same = isinstance(asked, dict) and asked.keys() == granted.keys()
        return same and all(within(asked[name], value) for name, value in granted.items())
    if isinstance(granted, list):
        if not isinstance(asked, list) or (granted and not asked):
            return False
        return all(any(within(a, g) for g in granted) for a in asked)
    return type(asked) is type(granted) and bool(asked == granted)


class DetailsTypes:
    """Every type of a tenant, without asking the database for what has not changed."""

    def __init__(self, tenancy: Tenancy, cache: ConfigCache) -> None:
        self._tenancy = tenancy
        self._cache = cache

    def all(self, tenant_id: str) -> Mapping[str, DetailsType]:
        """The tenant's types by name."""
        return self._cache.get(tenant_id, "details-types", "", lambda: self._load(tenant_id))

    def _load(self, tenant_id: str) -> Mapping[str, DetailsType]:
        with self._tenancy.session(tenant_id) as session:
            rows = session.scalars(select(AuthorizationDetailsType).order_by(AuthorizationDetailsType.type))
            return MappingProxyType(
                {
                    row.type: DetailsType(
                        type=row.type,
                        resource=row.resource,
                        always_ask=row.always_ask,
                        words=MappingProxyType(dict(row.words)),
                        validator=compiled(row.schema, row.type),
                    )
                    for row in rows
                }
            )


def _fault_in(node: Any, levels: int, references: list[str]) -> str | None:
    if levels == 0:
        return f"nested deeper than {MAX_DEPTH}"
    if isinstance(node, list):
        return next((fault for item in node if (fault := _fault_in(item, levels - 1, references))), None)
    if not isinstance(node, Mapping):
        return None
    if refused := _REFUSED_KEYWORDS & node.keys():
        return f"{', '.join(sorted(refused))}: not supported here"
    if isinstance(target := node.get("$ref"), str):
        if not (found := _LOCAL.fullmatch(target)):
            return "$ref: only #/$defs/<name> is followed"
        references.append(found[1])
    if isinstance(pattern := node.get("pattern"), str) and (fault := _pattern_fault(pattern)):
        return fault
    return next(
        (fault for value in node.values() if (fault := _fault_in(value, levels - 1, references))), None
    )


def _pattern_fault(pattern: str) -> str | None:
    if len(pattern) > MAX_PATTERN or _SLOW.search(pattern) or len(_OPEN_END.findall(pattern)) > 2:
        return "pattern: too long, or one that can take long: groups are not repeated, and at most two * or + stand"
    try:
        re.compile(pattern)
    except re.error:
        return "pattern: not a regular expression"
    return None


def _circle_in(definitions: Mapping[str, Any]) -> str | None:
    """References that lead back to themselves would never end."""
    leads: dict[str, set[str]] = {}
    for name, node in definitions.items():
        found: list[str] = []
        _fault_in(node, MAX_DEPTH, found)
        leads[name] = set(found)
    while done := [name for name, targets in leads.items() if not targets & leads.keys()]:
        for name in done:
            del leads[name]
    return f"$ref: {', '.join(sorted(leads))} lead back to themselves" if leads else None


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """The members of a detail by dotted path; lists are leaves."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        text = ", ".join(_shown(item) for item in value)
    elif isinstance(value, str):
        text = value
    elif value is None:
        text = "–"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_SHOWN]
