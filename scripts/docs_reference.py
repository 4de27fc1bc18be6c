"""Write docs/reference: settings, commands, the apply file and its JSON Schema, reasons, errors, events, endpoints.

Everything in it comes from the code; `render` gives the pages without writing them, for the test that they are current.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.cli import cli
from app.domain.apply import schema
from app.domain.apply.json_schema import apply_schema
from app.domain.client_metadata import ClientMetadata
from app.domain.tenant_settings import TenantSettings
from app.domain.trusted_issuers import IssuerDefinition
from app.infra.events import EVENTS
from app.kernel.reasons import REASONS
from app.kernel.settings import PREFIX, Settings
from app.protocols.oauth import errors
from app.protocols.oauth.steps import refusals
from app.web.endpoints import ENDPOINTS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
_MADE = "Written by `make docs` from the code; do not edit.\n"


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (FOLDER / name).write_text(text, "utf-8")


def render() -> dict[str, str]:
    """The pages by file name."""
    return {
        "settings.md": _settings(),
        "commands.md": _commands(),
        "apply.md": _apply(),
        "apply.schema.json": json.dumps(apply_schema(), indent=2, ensure_ascii=False) + "\n",
        "reasons.md": _reasons(),
        "errors.md": _errors(),
        "events.md": _events(),
        "endpoints.md": _endpoints(),
    }


def _page(title: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", _MADE, *parts])


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _settings() -> str:
    deployment = (
        (f"`{PREFIX}{f.name.upper()}`", _default(f.default), str(f.metadata["doc"])) for f in fields(Settings)
    )
    return _page(
        "Settings",
        "## Of the deployment\n\nFrom the environment; any name with `_FILE` added reads the value from a file. Or "
        "from one YAML file that `WATCHWORD_CONFIG` names, with the names in lower case and without the prefix; the "
        "environment wins. Unknown names are refused. `watchword config check` shows what was read.\n",
        _table(("name", "default", "meaning"), deployment),
        "## Of a tenant\n\nIn the apply file under `settings`, or with `watchword tenant update`. Numbers are in the "
        "unit of the name; `15 min`, `24h` and `30d` may be written for seconds.\n",
        _table(("key", "default", "values", "of"), _tenant_settings(TenantSettings, "")),
    )


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return ""
    return f"`{value}`"


def _tenant_settings(
    model: type[BaseModel], prefix: str, doc: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from _tenant_settings(nested, f"{prefix}{name}.", (nested.__doc__ or "").strip())
        else:
            yield f"`{prefix}{name}`", _default_of(field), _values(model, name), doc


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True), default=_plain)}`"


def _plain(value: object) -> object:
    """A block within a default: what of it is not usual anyway."""
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else str(value)


def _values(model: type[BaseModel], name: str) -> str:
    found = model.model_json_schema()
    described = dict(found["properties"][model.model_fields[name].alias or name])
    for bound in model.model_fields[name].metadata:
        for ours, theirs in (("ge", "minimum"), ("le", "maximum")):
            if (value := getattr(bound, ours, None)) is not None:
                described[theirs] = value
    return _type(described, found.get("$defs", {}))


def _type(described: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in described:
        return _type(definitions[described["$ref"].rpartition("/")[2]], definitions)
    if "enum" in described or "const" in described:
        return ", ".join(f"`{value}`" for value in described.get("enum", [described.get("const")]))
    if "anyOf" in described:
        return " or ".join(
            _type(each, definitions) for each in described["anyOf"] if each.get("type") != "null"
        )
    kind = str(described.get("type", "any value"))
    if kind == "array":
        return f"list of {_type(described.get('items', {}), definitions)}"
    low, high = described.get("minimum"), described.get("maximum")
    bounds = (
        f" from {low} to {high}" if None not in (low, high) else f" from {low}" if low is not None else ""
    )
    names = {"integer": "number", "string": "text", "object": "mapping", "boolean": "true or false"}
    return names.get(kind, kind) + bounds


_ABOUT_COMMANDS = """\
Results go to standard output, as JSON with `--json`; messages to standard error. Exit status: 0 done, 1 refused,
2 wrong usage; `apply --dry-run` exits with 3 when something would change.
"""


def _commands() -> str:
    parts = [_ABOUT_COMMANDS]
    for path, command in _walk(cli, ("watchword",)):
        usage = " ".join([*path, *command.collect_usage_pieces(click.Context(command))])
        parts.append(f"## {' '.join(path)}\n\n```\n{usage}\n```\n\n{_prose(command.help or '')}\n")
        options = [p for p in command.params if isinstance(p, click.Option)]
        if options:
            rows = ((f"`{_option(option)}`", _meaning(option)) for option in options)
            parts.append(_table(("option", "meaning"), rows))
    return _page("Commands", *parts)


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in sorted(command.commands):
        yield from _walk(command.commands[name], (*path, name))


def _meaning(option: click.Option) -> str:
    told = option.help or ""
    return f"{told} Default: `{option.default}`." if option.show_default else told


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else " " + option.make_metavar(click.Context(cli))
    return ", ".join(option.opts) + value


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


_ENTRIES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("tenants", schema.TenantEntry),
    ("roles", schema.RoleEntry),
    ("groups", schema.GroupEntry),
    ("resources", schema.ResourceEntry),
    ("scopes", schema.ScopeEntry),
    ("authorization_details_types", schema.DetailsTypeEntry),
    ("clients", schema.ClientEntry),
    ("users", schema.UserEntry),
    ("trusted_issuers", schema.TrustedIssuerEntry),
)


_ABOUT_APPLY = """\
`watchword apply FILE` makes a deployment what the file says, in one transaction. It is YAML 1.2 or JSON, read
strictly: unknown keys, duplicate keys, anchors and tags are refused, and every fault is told with file, line and key.
[apply.schema.json](apply.schema.json) is its JSON Schema; `watchword apply --schema` prints it.

- What is absent stays as it is; a list replaces the list; null returns a member to its default.
- `state: absent` deletes an object. `--prune` deletes what the lists of a named tenant do not name: never built-in
  roles, the last super_admin, or whole tenants.
- `{env: NAME}` and `{file: PATH}` stand for any value; a path is relative to the file.
- `password` and `password_hash` are for new people. A different `client_secret` rotates; a new client that needs one
  and is given none gets one, shown once.
"""


def _apply() -> str:
    parts = [_ABOUT_APPLY]
    for name, model in _ENTRIES:
        rows = list(_members(model))
        if model is schema.ClientEntry:
            rows += list(_members(ClientMetadata))
        if model is schema.TrustedIssuerEntry:
            rows += list(_members(IssuerDefinition))
        doc = _prose((model.__doc__ or "").strip())
        parts.append(f"## {name}\n\n{doc}\n\n{_table(('key', 'default', 'values', 'meaning'), iter(rows))}")
    return _page("The apply file", *parts)


def _members(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    for member, field in model.model_fields.items():
        name = field.alias or member
        nested = name in schema.KEYS and model is not schema.GroupEntry and model is not schema.UserEntry
        values = f"list of [{name}](#{name})" if nested else _values(model, member)
        yield f"`{name}`", _default_of(field), values, field.description or ""


def _reasons() -> str:
    return _page(
        "Reason codes",
        "Every refusal has one of these in log and audit; callers see fixed texts. `watchword token explain TOKEN` "
        "tells which apply to a token in hand.\n",
        _table(("code", "meaning"), ((f"`{code}`", sentence) for code, sentence in REASONS.items())),
    )


def _errors() -> str:
    found = {
        (case.error, case.description, case.reason, case.status)
        for module in (errors, refusals)
        for case in vars(module).values()
        if isinstance(case, errors.Case)
    }
    rows = (
        (f"`{error}`", str(status), description, f"`{reason}`")
        for error, description, reason, status in sorted(found)
    )
    return _page(
        "OAuth errors",
        "What the protocol endpoints answer: the error code on the wire, its HTTP status where it is answered "
        "directly, its fixed description, and the [reason](reasons.md) in log and audit.\n",
        _table(("error", "status", "description", "reason"), rows),
    )


def _events() -> str:
    rows = (
        (
            f"`{event.id}`",
            f"`{event.alias}`",
            f"{event.ocsf[0]} {event.ocsf[1]}",
            event.description,
            ", ".join(f"`{name}`" for name in sorted(event.fields)),
        )
        for event in EVENTS
    )
    return _page(
        "Audit events",
        "Every record has `id`, `time`, `event`, `tenant`, `user`, `email`, `ip`, `user_agent`, `mfa_used`, "
        "`session`, `client`, `grant`, `outcome`, `reason` and `data`; the last column says what `data` may hold. "
        "The class is that of the Open Cybersecurity Schema Framework.\n",
        _table(("event", "alias", "OCSF class", "what happened", "data"), rows),
    )


def _endpoints() -> str:
    rows = (
        (
            f"`{e.path}`",
            ", ".join(m for m in e.methods if m != "HEAD"),
            e.summary,
            f"`{e.member}`" if e.member else "",
        )
        for e in ENDPOINTS
    )
    return _page(
        "Endpoints",
        "Paths are under a tenant's own prefix: none for the default tenant and for one with a host of its own, else "
        "`/t/{slug}`. The last column is the member of the discovery documents that carries the address.\n",
        _table(("path", "methods", "what it is", "metadata"), rows),
    )


if __name__ == "__main__":
    main()
