"""`docs/specs.md` names tests that exist, and every module of the certification profiles."""

import ast
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
TABLE = (ROOT / "docs" / "specs.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::([\w:]+)`", TABLE)
SPECIFICATIONS = """
    RFC 6749|RFC 6750|RFC 7009|RFC 7517|RFC 7523|RFC 7591|RFC 7592|RFC 7636|RFC 7662|RFC 8252|RFC 8414|RFC 8707|
    RFC 9068|RFC 9101|RFC 9126|RFC 9207|RFC 9396|RFC 9700|JWT Secured Authorization Response Mode|
    OpenID Connect Core|OpenID Connect Discovery|OpenID Connect Dynamic Client Registration|RP-Initiated Logout|
    Back-Channel Logout|Front-Channel Logout|Form Post|
    section 0|section 2|sections 1 and 4|section 3|section 5|section 6|section 7|section 8|section 10|section 11
    """

CRITERIA = """
    MCP-01 MCP-02 MCP-03 MCP-04 MCP-05 MCP-06 MCP-08 MCP-09 MCP-10 MCP-11 MCP-13 TX-01 TX-02 TX-03 TX-04 TX-05 CA-01
    CA-02 CA-03 CA-06 RAR-01 REV-01 F2-01 F2-02 OIDC-01 DEV-01
    """


@lru_cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file below `tests/`, those of a class as `Class::test`."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        found |= {f"{kind.name}::{node.name}" for node in kind.body if isinstance(node, ast.FunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 200
    missing = [f"{file}::{name}" for file, name in NAMED if name not in names_in(file)]
    assert missing == []


def test_every_row_names_a_test() -> None:
    heads = ("| section", "| attack")
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith(heads)]
    assert [row for row in rows if "::" not in row] == []


def test_every_test_of_the_profiles_is_named() -> None:
    """What the certification programme asks for is looked up here line by line."""
    named = set(NAMED)
    for file in sorted(path.relative_to(TESTS).as_posix() for path in (TESTS / "profiles").glob("test_*.py")):
        assert {(file, name) for name in names_in(file)} <= named, file


def test_every_specification_has_a_table() -> None:
    headings = "\n".join(line for line in TABLE.splitlines() if line.startswith("## "))
    for name in (part.strip() for part in SPECIFICATIONS.split("|")):
        assert name in headings, name


def test_every_criterion_has_a_row() -> None:
    section = TABLE.partition("## Acceptance criteria\n")[2].partition("\n## ")[0]
    listed = {line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")}
    assert set(CRITERIA.split()) <= listed
