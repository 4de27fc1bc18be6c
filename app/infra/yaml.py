"""Reading YAML 1.2 and JSON strictly, with the line every value stands on.

The core schema alone (YAML 1.2.2 section 10.3): no tags but `!!str`, no anchors or aliases (which can make a
small file huge), no duplicate keys, one document, text keys, finite numbers.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.error import YAMLError as LibraryError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 50

Path = tuple[str | int, ...]

_PLAIN_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YamlError(ValueError):
    """The text cannot be read. `line` counts from 1; None when it is about the whole text."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """What was read, and where: `lines` gives the line of every value by its path of keys and indices."""

    value: Any
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of the value at `path`, or of the closest thing around it that is in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Document:
    """Read one document. Raises `YamlError`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise YamlError(f"the text is larger than {MAX_BYTES // 1024 // 1024} MiB")
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    try:
        node = reader.compose(text)
    except MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        raise YamlError(fault.problem or "not YAML", mark.line + 1 if mark else None) from None
    except (LibraryError, RecursionError, ValueError) as fault:
        raise YamlError(str(fault).partition("\n")[0] or "not YAML") from None
    lines: dict[Path, int] = {}
    return Document(_construct(node, (), lines) if node is not None else None, lines)


def load(text: str) -> Any:
    """Read one document and give its value alone. Raises `YamlError`, which is a `ValueError`."""
    return parse(text).value


def _construct(node: Node, path: Path, lines: dict[Path, int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.anchor:
        raise YamlError("anchors and aliases are not read here; write the value out", line)
    if len(path) > MAX_DEPTH:
        raise YamlError(f"nested more than {MAX_DEPTH} deep", line)
    tag = str(node.tag).removeprefix(_PLAIN_TAG)
    if isinstance(node, MappingNode) and tag == "map":
        return _mapping(node, path, lines)
    if isinstance(node, SequenceNode) and tag == "seq":
        return [_construct(item, (*path, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, ScalarNode):
        return _scalar(node, tag, line)
    raise YamlError(f"the tag {node.tag} is not read here", line)


def _mapping(node: MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _construct(key_node, (*path, "?"), {}) if isinstance(key_node, ScalarNode) else None
        if not isinstance(key, str):
            raise YamlError("a key has to be text; put it in quotes", line)
        if key in found:
            raise YamlError(f"the key {key} is there twice", line)
        lines[(*path, key)] = line
        found[key] = _construct(value_node, (*path, key), lines)
    return found


def _scalar(node: ScalarNode, tag: str, line: int) -> Any:
    text = _joined(node.value, line)
    # Of a plain scalar the library names the tag it resolved or was told; what it takes for text is text.
    if tag == "str":
        return text
    if node.style is not None or tag not in ("int", "float", "bool", "null", "timestamp", "merge", "value"):
        raise YamlError(f"the tag {node.tag} is not read here", line)
    return _plain(text, line)


def _joined(text: str, line: int) -> str:
    """The text with the surrogate pairs of JSON's escapes joined (RFC 8259 section 7)."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise YamlError("half a surrogate pair is no character", line) from None


def _plain(text: str, line: int) -> Any:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _NOT_FINITE.fullmatch(text):
        raise YamlError("a number has to be finite", line)
    if len(text) > 100:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return _finite(float(text), line)
    return text


def _finite(number: float, line: int) -> float:
    if not math.isfinite(number):
        raise YamlError("a number has to be finite", line)
    return number
