"""The JSON Schema of the apply file, for editors and pipelines."""

from typing import Any

from pydantic import BaseModel

from app.domain.apply.schema import ApplyFile
from app.domain.client_metadata import ClientMetadata
from app.domain.tenant_settings import TenantSettings
from app.domain.trusted_issuers import IssuerDefinition

DURATION_PATTERN = r"^[0-9]+ *(s|m|min|h|d)$"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_STANDS_FOR = {
    "description": "Stands for any value: an environment variable, or the content of a file.",
    "oneOf": [
        {
            "type": "object",
            "properties": {name: {"type": "string"}},
            "required": [name],
            "additionalProperties": False,
        }
        for name in ("env", "file")
    ],
}


def apply_schema() -> dict[str, Any]:
    """The schema, with the client's registration members and the tenant's settings written out."""
    schema = ApplyFile.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    client = _adopt(ClientMetadata, definitions)
    issuer = _adopt(IssuerDefinition, definitions)
    definitions["TrustedIssuerEntry"]["properties"] |= issuer["properties"]
    definitions["TrustedIssuerEntry"]["additionalProperties"] = False
    definitions["ClientEntry"]["properties"] |= client["properties"]
    definitions["ClientEntry"]["additionalProperties"] = False
    definitions["ClientEntry"]["patternProperties"] = {
        "^(client_name|client_uri|logo_uri|tos_uri|policy_uri)#": {"type": "string"}
    }
    definitions["TenantSettings"] = _adopt(TenantSettings, definitions)
    definitions["TenantEntry"]["properties"]["settings"] = {"$ref": "#/$defs/TenantSettings"}
    for name, definition in definitions.items():
        if name.endswith("Settings"):
            _allow_durations(definition)
        definitions[name] = _substitutable(definition, nullable=name.endswith("Settings"))
    definitions["StandsFor"] = _STANDS_FOR
    head = {"$schema": DIALECT, "title": "Watchword apply file"}
    return {**head, **_substitutable(schema), "$defs": dict(sorted(definitions.items()))}


def _allow_durations(definition: dict[str, Any]) -> None:
    """Let settings in seconds be written with a unit as well (`24h`)."""
    for name, member in definition["properties"].items():
        if name.endswith("_seconds"):
            written = {"type": "string", "pattern": DURATION_PATTERN}
            definition["properties"][name] = {
                "anyOf": [{"type": "integer"}, written],
                "default": member["default"],
            }


def _adopt(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    found = model.model_json_schema()
    definitions |= found.pop("$defs", {})
    return found


def _substitutable(schema: Any, *, nullable: bool = False) -> Any:
    """The schema with `{env: …}` and `{file: …}` allowed for every member and item."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if isinstance(found.get("properties"), dict):
        found["properties"] = {
            name: _either(_substitutable(value), nullable=nullable)
            for name, value in found["properties"].items()
        }
    if isinstance(found.get("items"), dict):
        found["items"] = _either(_substitutable(found["items"]))
    return found


def _either(schema: Any, *, nullable: bool = False) -> dict[str, Any]:
    described = {k: v for k, v in schema.items() if k in ("description", "title", "default")}
    rest = {k: v for k, v in schema.items() if k not in described}
    null = [{"type": "null"}] if nullable else []
    return {"anyOf": [rest, {"$ref": "#/$defs/StandsFor"}, *null], **described}
