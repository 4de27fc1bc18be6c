"""Every grant binds what it issues: a grant that forgot would hand out bearer tokens to whoever proved a key."""

import ast
from pathlib import Path

import pytest

import app

GRANTS = sorted((Path(app.__file__).parent / "protocols/oauth/grants").glob("*.py"))


@pytest.mark.parametrize("path", GRANTS, ids=lambda path: path.stem)
def test_tokens_are_issued_with_what_they_are_bound_to(path: Path) -> None:
    """Each place that makes an `Issuance` gives it `cnf`, there or on the way to `issue`."""
    tree = ast.parse(path.read_text("utf-8"))
    makes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Issuance"
    ]
    unbound = [call for call in makes if "cnf" not in {keyword.arg for keyword in call.keywords}]
    binds = any(
        isinstance(target, ast.Attribute) and target.attr == "cnf"
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
    )
    assert not unbound or binds
