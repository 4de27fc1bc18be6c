"""What is wrong with a key or a value of the file, in a sentence, with what was probably meant."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from app.domain.apply import schema
from app.domain.apply.schema import ApplyFile, ClientEntry, TenantEntry
from app.domain.client_metadata import DEVICE_CODE, TOKEN_EXCHANGE, ClientMetadata
from app.domain.tenant_settings import TenantSettings
from app.kernel import spelling

_GRANT_NAMES = (
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "implicit",
    DEVICE_CODE,
    TOKEN_EXCHANGE,
)

_WANTED = {
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "dataclass_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
}


def sentence_of(error: Any, model: type[BaseModel] | None = None) -> str:
    """What one of pydantic's errors says, in our words where its own would not help.

    `model` is what was validated; without it every key of the file may have been meant.
    """
    if error["type"] == "extra_forbidden":
        return _no_such_key(error["loc"], model)
    if error["type"] == "string_pattern_mismatch" and "grant_types" in error["loc"]:
        meant = spelling.hint(str(error["input"]), _GRANT_NAMES)
        return f"one of {', '.join(_GRANT_NAMES)} is wanted, or another grant's URN{meant}"
    if error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
        return f"{error['msg']}{spelling.hint(str(error['input']), choices)}"
    if error["type"] == "missing":
        return "has to be given"
    if error["type"] in _WANTED:
        return f"{_WANTED[error['type']]} is wanted"
    return str(error["msg"]).removeprefix("Value error, ")


def _no_such_key(place: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    key = str(place[-1])
    if model is ApplyFile and len(place) == 1 and key in TenantEntry.model_fields:
        return "there is no such key here: it belongs to a tenant (tenants: [{slug: default, ...}])"
    known = _keys_at(model, place[:-1]) if model is not None else None
    return f"there is no such key{spelling.hint(key, _known_keys() if known is None else known)}"


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> frozenset[str] | None:
    """The keys the mapping at a place may have; None where no model says so."""
    for part in place:
        if isinstance(part, str):
            found = model.model_fields.get(part)
            inner = next(_models_in(found.annotation), None) if found else None
            if inner is None:
                return None
            model = inner
    ours = ClientEntry.model_fields if model is ClientMetadata else ()
    return frozenset((*model.model_fields, *ours))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models an annotation speaks of: `list[RoleEntry]`, `Block | None`."""
    if _is_model(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


@cache
def _known_keys() -> frozenset[str]:
    models = (ClientMetadata, TenantSettings, *(m for m in vars(schema).values() if _is_model(m)))
    return frozenset(name for model in models for name in model.model_fields)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
