"""The architecture, read off the source tree: what may import what, and a few things nobody may do.

See `docs/explanation/architecture.md`, "Floors".
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent

FLOORS = {"kernel": 1, "infra": 2, "domain": 3, "protocols": 4, "web": 5}
TOP = 6
"""Start-up: `app/__init__`, wiring, the command line, the worker. It sees everything and is imported by nobody."""

OWNERS: dict[str, tuple[str, ...]] = {
    "flask": ("web", "__init__", "cli", "commands"),
    "flask_sqlalchemy": ("infra.db",),
    "flask_babel": ("web",),
    "flask_wtf": ("web",),
    "jinja2": ("domain.custom_markup", "web"),
    "jsonschema": ("domain", "protocols"),
    "orjson": ("infra.json_text",),
    "maxminddb": ("infra",),
    "OpenSSL": ("infra.certificate_chains",),
    "passlib": ("infra.hashing",),
    "pyotp": ("protocols.login",),
    "segno": ("web",),
    "ua_parser": ("domain", "web"),
    "webauthn": ("protocols.login",),
    "zxcvbn": ("domain",),
    "wtforms": ("web",),
    "werkzeug": ("web",),
    "authlib": ("protocols.oauth.authlib_seam", "protocols.federation"),
    "joserfc": ("infra.jose",),
    "redis": ("infra.state",),
    "alembic": ("infra.migrations",),
    "argon2": ("infra.hashing",),
    "nacl": ("infra.hashing",),
    "bcrypt": ("infra.hashing",),
    "psycopg": ("infra.database", "infra.state"),
    "prometheus_client": ("infra.metrics",),
    "structlog": ("infra",),
    "ruamel": ("infra.yaml",),
    "requests": (),
    "urllib3": ("infra.fetch",),
    "smtplib": ("infra.mail", "infra.smtp"),
    "granian": ("serving", "cli", "commands"),
    "gunicorn": ("serving", "cli", "commands"),
    "click": ("cli", "commands", "serving"),
}
"""Who may import a library: module prefixes below `app`."""

SIDEWAYS = {("federation", "login")}
"""Packages of `protocols` that may import another one: federation hands over a verified identity."""

BOUNDARIES = {
    "web.edge": 1,
    "web.errors": 1,
    "worker": 1,
    "cli": 1,
    "serving.processes": 1,
}
"""Where `except Exception` may stand, and how often: one per process boundary (contracts 27)."""


@cache
def modules() -> dict[str, ast.Module]:
    """Every module below `app`, by its dotted name without `app.`; packages by their own name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] == "_bundle":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


@cache
def imports_of(tree: ast.Module) -> tuple[str, ...]:
    """Full names of what is imported, wherever it stands, but for annotations alone (`TYPE_CHECKING`)."""
    return tuple(_imports_of(tree))


def _imports_of(tree: ast.Module) -> Iterator[str]:
    skipped = {id(inner) for node in ast.walk(tree) if is_type_checking(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def own_imports(tree: ast.Module) -> Iterator[str]:
    """Names below `app` that are imported."""
    for name in imports_of(tree):
        if name == "app" or name.startswith("app."):
            yield name.removeprefix("app").removeprefix(".") or "__init__"


def floor(name: str) -> int:
    return FLOORS.get(name.split(".")[0], TOP)


def is_within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def test_the_tree_is_where_this_test_looks() -> None:
    assert {name.split(".")[0] for name in modules()} >= set(FLOORS)
    assert len(modules()) > 50


def test_imports_only_go_downwards() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        for imported in own_imports(tree)
        if floor(imported) > floor(name)
    ]
    assert wrong == []


def test_the_kernel_stands_on_the_standard_library() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if floor(name) == 1
        for imported in imports_of(tree)
        if imported.split(".")[0] not in {*sys.stdlib_module_names, "app"}
    ]
    assert wrong == []


@pytest.mark.parametrize("library", OWNERS)
def test_every_library_has_one_owner(library: str) -> None:
    wrong = [
        name
        for name, tree in modules().items()
        if any(imported.split(".")[0] == library for imported in imports_of(tree))
        and not is_within(name, OWNERS[library])
    ]
    assert wrong == []


def test_protocols_do_not_import_each_other() -> None:
    wrong = []
    for name, tree in modules().items():
        for imported in own_imports(tree):
            one, other = name.split("."), imported.split(".")
            if one[0] != "protocols" or other[0] != "protocols" or len(one) == 1 or len(other) == 1:
                continue
            if one[1] != other[1] and (one[1], other[1]) not in SIDEWAYS:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_protocols_know_neither_flask_nor_drivers() -> None:
    foreign = {"flask", "werkzeug", "redis", "psycopg", "sqlite3", "socket", "urllib3", "requests"}
    wrong = [
        f"{name} imports {imported}"
        for name, tree in modules().items()
        if floor(name) == 4
        for imported in imports_of(tree)
        if imported.split(".")[0] in foreign
    ]
    assert wrong == []


def attributes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """`object.attribute` wherever the object is a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


def test_database_sessions_come_from_tenancy_alone() -> None:
    """Flask-SQLAlchemy's own session and query know no tenant (contracts 10); neither do tables, text and engines."""
    wrong = []
    for name, tree in modules().items():
        for holder, attribute in attributes(tree):
            is_query = attribute == "query" and holder[:1].isupper()
            if is_query or (holder, attribute) in (("db", "session"), ("db", "engine")):
                wrong.append(f"{name}: {holder}.{attribute}")
        if floor(name) in (1, 2):
            continue
        wrong += [f"{name}: .{found}" for found in sorted(forbidden_attributes(tree))]
        wrong += [f"{name}: {found}" for found in imports_of(tree) if found in RAW_SQL]
    assert wrong == []


RAW_SQL = (
    "sqlalchemy.text",
    "sqlalchemy.table",
    "sqlalchemy.Table",
    "sqlalchemy.literal_column",
    "sqlalchemy.create_engine",
    "sqlalchemy.orm.sessionmaker",
    "sqlalchemy.orm.scoped_session",
    "sqlite3",
)
PAST_THE_FILTER = {"__table__", "exec_driver_sql", "connection", "get_bind", "local_table"}


def forbidden_attributes(tree: ast.Module) -> set[str]:
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found & PAST_THE_FILTER


def test_sessions_are_not_made_elsewhere() -> None:
    """Every `Session(...)` but the one in `infra.tenancy` would have no tenant."""
    wrong = [
        name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("TenantSession", "Session")
        and name != "infra.tenancy"
    ]
    assert wrong == []


def test_catching_everything_is_for_the_boundaries() -> None:
    found = {name: sum(map(catches_everything, ast.walk(tree))) for name, tree in modules().items()}
    assert {name: count for name, count in found.items() if count > BOUNDARIES.get(name, 0)} == {}


def catches_everything(node: ast.AST) -> bool:
    """`except:` and `except Exception:`, unless what was caught is raised again at the end."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    if not any(kind is None or (isinstance(kind, ast.Name) and kind.id in WIDE) for kind in kinds):
        return False
    return not isinstance(node.body[-1], ast.Raise)


WIDE = ("Exception", "BaseException")


def test_time_and_randomness_come_from_the_kernel() -> None:
    """Tests freeze the one and read the other off one place."""
    wrong = []
    for name, tree in modules().items():
        if floor(name) == 1:
            continue
        wrong += [f"{name}: {a}.{b}" for a, b in attributes(tree) if (a, b) in CLOCKS]
        if name not in JITTER:
            wrong += [f"{name}: {i}" for i in imports_of(tree) if i.split(".")[0] == "random"]
    assert wrong == []


CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("uuid", "uuid4"),
    ("uuid", "uuid1"),
}


JITTER = ("infra.outbox", "worker")
"""They spread retries, which guards nothing."""


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "managers", "misc"])
def test_no_drawers_for_odds_and_ends(word: str) -> None:
    assert [name for name in modules() if word in name.split(".")] == []
