"""Every refusal of the source has its reason in the catalogue, and the catalogue names no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from app.kernel.reasons import REASONS
from app.protocols.oauth import errors
from app.protocols.oauth.steps import refusals

APP = Path(__file__).parents[2] / "app"
CODE = re.compile(r"[a-z][a-z_0-9]*(\.[a-z][a-z_0-9]*)+")
RAISED_THROUGH = {
    "Problem",
    "Unavailable",
    "Refuse",
    "Refusal",
    "Reason",
    "Denied",
    "Case",
    "_case",
    "Need",
    "Requirement",
}
"""What takes a reason code as its first or second argument, besides subclasses of `Problem`."""


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(APP.rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def _problem_classes() -> set[str]:
    """`Problem`, what derives from it, and the rest that carries reasons."""
    bases: dict[str, set[str]] = {}
    for _, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {
                    b.id if isinstance(b, ast.Name) else getattr(b, "attr", "") for b in node.bases
                }
    found = set(RAISED_THROUGH)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def _codes() -> dict[str, str]:
    """Reason codes used in the source, and where."""
    classes = _problem_classes()
    found: dict[str, str] = {}
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                values = _of_call(node, classes)
            elif isinstance(node, ast.Return) or _names_a_reason(node):
                values = (
                    _constants(node)
                    if path.relative_to(APP).parts[0] in ("domain", "protocols")
                    else iter(())
                )
            else:
                continue
            for value in values:
                found.setdefault(value, f"{path.relative_to(APP)}:{node.lineno}")
    return found


def _names_a_reason(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(t, ast.Name) and t.id == "reason" for t in node.targets
    )


def _constants(node: ast.AST) -> Iterator[str]:
    """Reasons that are given back or kept as they are, for the caller to refuse with."""
    value = getattr(node, "value", None)
    branches = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    for branch in branches:
        if (
            isinstance(branch, ast.Constant)
            and isinstance(branch.value, str)
            and CODE.fullmatch(branch.value)
        ):
            yield branch.value


def _of_call(node: ast.Call, classes: set[str]) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    candidates = [k.value for k in node.keywords if k.arg in ("reason", "code")]
    is_super = (
        name == "__init__" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call)
    )
    if name in classes or name == "refuse" or is_super:
        candidates += node.args[:3]
    if name == "_invalid" and node.args and isinstance(node.args[0], ast.Constant):
        yield f"request.{node.args[0].value}"
    for candidate in candidates:
        if (
            isinstance(candidate, ast.Constant)
            and isinstance(candidate.value, str)
            and CODE.fullmatch(candidate.value)
        ):
            yield candidate.value


def test_every_reason_in_the_source_is_in_the_catalogue() -> None:
    missing = {code: where for code, where in _codes().items() if code not in REASONS}
    assert not missing, "add a row to app/kernel/reasons.py for each of these"


@pytest.mark.parametrize("module", [errors, refusals])
def test_every_case_names_its_reason_and_describes_itself(module: ModuleType) -> None:
    """RFC 6749 section 5.2: descriptions are sentences for developers, of a narrow set of characters."""
    cases = [case for case in vars(module).values() if isinstance(case, errors.Case)]
    assert cases
    for case in cases:
        assert case.reason in REASONS
        assert re.fullmatch(r"[A-Za-z][\x20-\x21\x23-\x5B\x5D-\x7E]+\.", case.description)


def test_the_catalogue_names_nothing_the_source_does_not() -> None:
    source = "\n".join(path.read_text("utf-8") for path in APP.rglob("*.py") if path.name != "reasons.py")
    used = _codes().keys() | MADE_OF_A_KIND
    assert not [code for code in REASONS if code not in used and f'"{code}"' not in source]


MADE_OF_A_KIND = {
    f"{kind}.{end}"
    for kind in ("tenant", "user", "group", "role", "client", "resource", "connection")
    for end in ("exists", "unknown")
}
"""The command line puts these together."""


def test_the_catalogue_is_told_in_sentences() -> None:
    for code, sentence in REASONS.items():
        assert CODE.fullmatch(code), code
        assert sentence[0].isupper(), code
        assert sentence.endswith("."), code
    assert list(REASONS) == sorted(REASONS), "keep the rows in order"
