"""The generated reference is current, and the published schema takes what `watchword apply` takes."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema_rs
import pytest

from app.domain.apply import document
from app.domain.apply.json_schema import apply_schema
from tests.unit.commands.test_apply import EXAMPLE

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", ROOT / "scripts" / "docs_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES: dict[str, str] = _generator().render()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text("utf-8") == PAGES[name], "run `make docs`"


GOOD: list[dict[str, Any]] = [
    {"tenants": []},
    {"tenants": [{"slug": "acme", **EXAMPLE}]},
    {"tenants": [{"slug": "acme", "settings": {"tokens": {"access_seconds": None}}}]},
    {"tenants": [{"slug": "acme", "clients": [{"client_id": "a", "client_secret": {"env": "HOME"}}]}]},
    {"tenants": [{"slug": "acme", "clients": [{"client_id": "a", "client_name#ja": "ウェブ"}]}]},
    {"tenants": [{"slug": "acme", "state": "absent"}]},
    {"tenants": [{"slug": "acme", "settings": {"sessions": {"idle_seconds": "30 min"}}}]},
]
BAD: list[dict[str, Any]] = [
    {},
    {"tenants": [{"slug": "ACME"}]},
    {"tenants": [{"slug": "acme", "colour": "blue"}]},
    {"tenants": [{"slug": "acme", "users": [{"username": "x", "shoe": 43}]}]},
    {"tenants": [{"slug": "acme", "clients": [{"client_id": "a", "scopes": ["openid"]}]}]},
    {"tenants": [{"slug": "acme", "settings": {"tokens": {"access_second": 1}}}]},
]


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(apply_schema())


@pytest.mark.parametrize(("value", "is_good"), [*((v, True) for v in GOOD), *((v, False) for v in BAD)])
def test_the_schema_and_the_command_agree(value: dict[str, Any], is_good: bool) -> None:
    assert jsonschema_rs.validator_for(apply_schema()).is_valid(value) is is_good
    sources = document.Sources({"HOME": "x" * 40}, lambda path: path)
    try:
        document.read(json.dumps(value), name="file", sources=sources)
    except document.Refused:
        assert not is_good
    else:
        assert is_good
