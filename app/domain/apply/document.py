"""From text to checked entries: substitution, validation, and faults that name file, line and key."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from app.domain.apply.schema import KEYS, ApplyFile
from app.domain.apply.sentences import sentence_of
from app.domain.client_metadata import ClientMetadata
from app.domain.tenant_settings import TenantSettings
from app.domain.users import normalize
from app.infra import yaml
from app.kernel.errors import Problem
from app.kernel.uris import canonical_resource

Path = yaml.Path

_NOT_TEXT = (
    "int_type",
    "bool_type",
    "list_type",
    "dict_type",
    "model_type",
    "model_attributes_type",
    "float_type",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, at a key of the file."""

    path: Path
    message: str


@dataclass
class Faults:
    """Everything wrong with one file, gathered so that it can be told at once."""

    document: yaml.Document
    name: str
    around: Path = ()
    """What was put around the text to make it a whole file; not told."""
    found: list[Fault] = field(default_factory=list)

    def add(self, path: Path, message: str) -> None:
        """Note a fault."""
        self.found.append(Fault(path, message))

    def sentences(self) -> list[str]:
        """The faults as `file:line: key: what`, in the order of the file."""
        hidden = len(self.around)
        placed = sorted(
            {(self.document.line_of(f.path), key_of(f.path[hidden:]), f.message) for f in self.found}
        )
        return [f"{self.name}:{line}: {key + ': ' if key else ''}{message}" for line, key, message in placed]

    def check(self) -> None:
        """Raise `Refused` when there is any fault."""
        if self.found:
            raise Refused(self.sentences())


class Refused(Problem):
    """The file is refused; `sentences` tells every reason."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("apply.refused", "\n".join(sentences))
        self.sentences = sentences


def key_of(path: Path) -> str:
    """A path as people write it: `tenants[0].clients[2].redirect_uris`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where `{env: NAME}` and `{file: PATH}` are read from."""

    environ: Mapping[str, str]
    read_file: Callable[[str], str]
    """The text of a file. Raises `OSError` or `UnicodeDecodeError`."""


def read(text: str, *, name: str, sources: Sources) -> tuple[ApplyFile, Faults]:
    """The entries of an apply file. Raises `Refused` with every fault of shape."""
    return _read(Faults(_parse(text, name), name), sources)


def read_object(
    text: str, *, name: str, sources: Sources, section: str, tenant: str
) -> tuple[ApplyFile, Faults]:
    """One object of a section (`clients`), as a file that says nothing else. Raises `Refused`."""
    document = _parse(text, name)
    if section == "tenants":
        value: Any = {"tenants": [document.value]}
        around: Path = ("tenants", 0)
    else:
        value = {"tenants": [{"slug": tenant, section: [document.value]}]}
        around = ("tenants", 0, section, 0)
    lines = {(*around, *path): line for path, line in document.lines.items()}
    return _read(Faults(yaml.Document(value, lines), name, around), sources)


def _parse(text: str, name: str) -> yaml.Document:
    try:
        return yaml.parse(text)
    except yaml.YamlError as fault:
        raise Refused([f"{name}:{fault.line or 1}: {fault.message}"]) from None


def _read(faults: Faults, sources: Sources) -> tuple[ApplyFile, Faults]:
    substituted: set[Path] = set()

    def resolve(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            if (
                len(value) == 1
                and (kind := next(iter(value))) in ("env", "file")
                and isinstance(value[kind], str)
            ):
                substituted.add(path)
                return _substitute(kind, value[kind], path, faults, sources)
            return {key: resolve(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [resolve(item, (*path, index)) for index, item in enumerate(value)]
        return value

    value = resolve(faults.document.value, ())
    faults.check()
    entries = _validate(value, substituted, faults)
    faults.check()
    assert entries is not None
    return entries, faults


def _substitute(kind: str, source: str, path: Path, faults: Faults, sources: Sources) -> str:
    if kind == "env":
        if source not in sources.environ:
            faults.add(path, f"the environment has no variable {source}")
        return sources.environ.get(source, "")
    try:
        return sources.read_file(source).removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as fault:
        faults.add(path, f"cannot read {source}: {fault}")
        return ""


def _validate(value: Any, substituted: set[Path], faults: Faults) -> ApplyFile | None:
    try:
        ApplyFile.model_validate(value)
    except ValidationError as fault:
        retry = [e["loc"] for e in fault.errors() if e["type"] in _NOT_TEXT and e["loc"] in substituted]
        if retry:
            # What was substituted is text; where a number or a list is wanted, it is read as YAML.
            for path in retry:
                substituted.discard(path)
                _set(value, path, _reread(_at(value, path)))
            return _validate(value, substituted, faults)
        for error in fault.errors():
            faults.add(error["loc"], sentence_of(error, ApplyFile))
    for index, tenant in enumerate(_mappings(value, "tenants")):
        if tenant is not None:
            _check_tenant(tenant, ("tenants", index), substituted, faults)
    _check_twice(value, (), faults)
    return None if faults.found else ApplyFile.model_validate(value)


def _check_tenant(tenant: dict[str, Any], path: Path, substituted: set[Path], faults: Faults) -> None:
    if isinstance(settings := tenant.get("settings"), dict):
        _check_settings(settings, (*path, "settings"), substituted, faults)
    for index, client in enumerate(_mappings(tenant, "clients")):
        if client is not None:
            _check_client(client, (*path, "clients", index), substituted, faults)
    _check_twice(tenant, path, faults)


def _mappings(holder: Any, key: str) -> list[dict[str, Any] | None]:
    """The objects of a list, None for what is no object; nothing when there is no such list."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return [e if isinstance(e, dict) else None for e in found] if isinstance(found, list) else []


def _check_settings(settings: dict[str, Any], path: Path, substituted: set[Path], faults: Faults) -> None:
    _check_model(TenantSettings, without_nulls(settings), settings, path, substituted, faults)


def _check_client(client: dict[str, Any], path: Path, substituted: set[Path], faults: Faults) -> None:
    ours = ("client_id", "client_secret", "state")
    said = {k: v for k, v in client.items() if k not in ours and "#" not in k and v is not None}
    _check_model(ClientMetadata, said, client, path, substituted, faults)


def _check_model(
    model: type[TenantSettings] | type[ClientMetadata],
    said: dict[str, Any],
    raw: dict[str, Any],
    path: Path,
    substituted: set[Path],
    faults: Faults,
) -> None:
    """Note the faults of members by themselves; what contradicts what is known only with what is stored."""
    try:
        model.model_validate(said)
    except ValidationError as fault:
        for error in fault.errors():
            where = (*path, *error["loc"])
            if error["type"] in _NOT_TEXT and where in substituted:
                substituted.discard(where)
                _set(raw, error["loc"], _reread(_at(raw, error["loc"])))
                _set(said, error["loc"], _at(raw, error["loc"]))
                _check_model(model, said, raw, path, substituted, faults)
                return
            if error["loc"]:
                faults.add(where, sentence_of(error, model))


def without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """A mapping without its nulls, at every depth: null stands for the default."""
    kept = {k: without_nulls(v) if isinstance(v, dict) else v for k, v in value.items()}
    return {k: v for k, v in kept.items() if v is not None}


_COMPARED: dict[str, Callable[[str], str]] = {
    "users": normalize,
    "resources": lambda identifier: canonical_resource(identifier) or identifier,
}


def _check_twice(holder: Any, path: Path, faults: Faults) -> None:
    for kind, key in KEYS.items():
        seen: set[str] = set()
        compared = _COMPARED.get(kind, str)
        for index, entry in enumerate(_mappings(holder, kind)):
            if entry is None or not isinstance(name := entry.get(key), str):
                continue
            if compared(name) in seen:
                faults.add((*path, kind, index, key), f"{name} is in the file twice")
            seen.add(compared(name))
            if kind == "resources":
                _check_twice(entry, (*path, kind, index), faults)


def _reread(text: str) -> Any:
    try:
        return yaml.load(text)
    except yaml.YamlError:
        return text


def _at(value: Any, path: tuple[int | str, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _set(value: Any, path: tuple[int | str, ...], new: Any) -> None:
    _at(value, path[:-1])[path[-1]] = new
