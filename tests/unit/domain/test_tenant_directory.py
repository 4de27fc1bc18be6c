"""The table tenants are found in, and what a change costs it."""

import random
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import pytest

from app.domain import tenant_directory
from app.domain.models import Tenant
from app.domain.tenant_directory import TenantDirectory
from app.kernel.errors import Problem

BASE = "https://id.example.com"


class Rows:
    """Tenants as a database keeps them, their versions, and which of them were read."""

    def __init__(self) -> None:
        self.rows: dict[str, Tenant] = {}
        self.versions: dict[str, int] = {}
        self.serial = 0
        self.read: list[Collection[str] | None] = []

    def put(self, tenant_id: str, slug: str, *, host: str | None = None, disabled: bool = False) -> None:
        self.versions[tenant_id] = self.versions.get(tenant_id, 0) + 1
        self.rows[tenant_id] = Tenant(
            id=tenant_id,
            slug=slug,
            name=slug.upper(),
            host=host,
            settings={},
            config_version=self.versions[tenant_id],
            disabled_at=datetime(2026, 1, 1, tzinfo=UTC) if disabled else None,
        )
        self.serial += 1

    def drop(self, tenant_id: str) -> None:
        del self.rows[tenant_id]
        self.serial += 1

    def load(self, ids: Collection[str] | None) -> list[Tenant]:
        self.read.append(None if ids is None else set(ids))
        return [row for row in self.rows.values() if ids is None or row.id in ids]

    def all_versions(self) -> object:
        return self.serial

    def of_all(self) -> Mapping[str, int]:
        return {row.id: row.config_version for row in self.rows.values()}


@pytest.fixture
def rows() -> Rows:
    found = Rows()
    found.put("1", "default")
    found.put("2", "blue", host="blue.example")
    found.put("3", "green")
    return found


@pytest.fixture
def directory(rows: Rows) -> TenantDirectory:
    return TenantDirectory(rows.load, rows, BASE)


def test_found_by_whatever_names_them(directory: TenantDirectory) -> None:
    found = directory.by_id("2")
    assert found is not None
    assert (found.slug, found.issuer, found.version) == ("blue", "https://blue.example", 1)
    assert directory.by_slug("blue") is directory.by_host("blue.example") is found
    assert directory.issuer_of("3") == f"{BASE}/t/green"
    assert directory.default().issuer == BASE
    assert [each.id for each in directory.all()] == ["2", "1", "3"]


def test_only_what_changed_is_read(rows: Rows, directory: TenantDirectory) -> None:
    kept = directory.by_id("3")
    rows.put("2", "blue", host="new.example")
    found = directory.by_host("new.example")
    assert found is not None
    assert found.version == 2
    assert directory.by_host("blue.example") is None
    assert directory.by_id("3") is kept
    assert rows.read == [{"1", "2", "3"}, {"2"}]


def test_nothing_is_read_while_nothing_changes(rows: Rows, directory: TenantDirectory) -> None:
    for _ in range(3):
        directory.by_slug("green")
    assert len(rows.read) == 1


def test_all_are_read_where_many_changed(
    rows: Rows, directory: TenantDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_directory, "MANY_CHANGED", 2)
    assert directory.by_slug("green") is not None
    assert rows.read == [None]
    rows.put("3", "green", disabled=True)
    assert directory.by_slug("green") is None
    assert rows.read == [None, {"3"}]


def test_one_gets_the_names_another_gave_up(rows: Rows, directory: TenantDirectory) -> None:
    """In either order of their rows."""
    directory.default()
    rows.put("3", "was-green")
    rows.put("2", "green")
    for slug, tenant_id in (("green", "2"), ("was-green", "3")):
        found = directory.by_slug(slug)
        assert found is not None
        assert found.id == tenant_id
    assert directory.by_slug("blue") is None
    assert directory.by_host("blue.example") is None
    rows.put("2", "blue")
    rows.put("3", "green")
    assert [(each.slug, each.id) for each in directory.all()] == [
        ("blue", "2"),
        ("default", "1"),
        ("green", "3"),
    ]


def test_switched_off_and_on_again(rows: Rows, directory: TenantDirectory) -> None:
    assert directory.by_id("2") is not None
    rows.put("2", "blue", host="blue.example", disabled=True)
    assert (directory.by_id("2"), directory.by_slug("blue"), directory.by_host("blue.example")) == (
        None,
        None,
        None,
    )
    with pytest.raises(Problem) as refused:
        directory.issuer_of("2")
    assert refused.value.code == "tenant.disabled"
    rows.put("1", "default")
    assert directory.by_slug("blue") is None
    assert rows.read[-1] == {"1"}, "what is off is not read again and again"
    rows.put("2", "blue", host="blue.example")
    assert directory.by_host("blue.example") is not None


def test_removed(rows: Rows, directory: TenantDirectory) -> None:
    assert directory.by_slug("green") is not None
    rows.drop("3")
    assert (directory.by_slug("green"), directory.by_id("3")) == (None, None)
    rows.put("3", "green")
    assert directory.by_slug("green") is not None


def test_changed_again_between_the_versions_and_the_rows(rows: Rows, directory: TenantDirectory) -> None:
    """What is read may be newer than the version that told of it; that is noticed, not lost."""
    load, changed = rows.load, []

    def slowly(ids: Collection[str] | None) -> list[Tenant]:
        if not changed:
            changed.append(rows.put("3", "greener"))
        return load(ids)

    directory = TenantDirectory(slowly, rows, BASE)
    assert directory.by_slug("greener") is not None
    rows.put("3", "greenest")
    assert directory.by_slug("greenest") is not None
    assert directory.by_slug("greener") is None


def test_a_name_that_passes_on_while_rows_are_read(rows: Rows) -> None:
    """The versions tell of the one who gets a name before they tell of the one who gave it up."""
    seen = dict(rows.of_all())
    serial = rows.serial

    class Read:
        """Versions as they were last read, which is some time before the rows."""

        def all_versions(self) -> object:
            return serial

        def of_all(self) -> Mapping[str, int]:
            return seen

    directory = TenantDirectory(rows.load, Read(), BASE)
    assert directory.by_host("blue.example") is not None
    rows.put("3", "green")
    seen, serial = dict(rows.of_all()), rows.serial
    rows.put("2", "blue")
    rows.put("3", "green", host="blue.example")
    for _ in range(2):
        found = directory.by_host("blue.example")
        assert found is not None
        assert found.id == "3"
        seen, serial = dict(rows.of_all()), rows.serial
    rows.put("3", "green")
    seen, serial = dict(rows.of_all()), rows.serial
    assert directory.by_host("blue.example") is None
    assert [each.id for each in directory.all()] == ["2", "1", "3"]


@pytest.mark.parametrize("many", [0, 1, 100])
def test_whatever_happens_it_ends_as_the_rows_are(
    rows: Rows, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names pass between tenants, which are switched off, removed and made again, also while rows are being read."""
    monkeypatch.setattr(tenant_directory, "MANY_CHANGED", many)
    chance = random.Random(many)
    seen, serial, at_rest = dict(rows.of_all()), 0, False

    def anything() -> None:
        for _ in range(chance.randrange(4)):
            tenant_id = chance.choice("123456")
            taken = {row.slug for row in rows.rows.values() if row.id != tenant_id}
            hosts = {row.host for row in rows.rows.values() if row.id != tenant_id}
            slug = chance.choice([each for each in "abcdefg" if each not in taken])
            host = chance.choice([None, *(each for each in ("x", "y") if each not in hosts)])
            if tenant_id in rows.rows and chance.random() < 0.2:
                rows.drop(tenant_id)
            else:
                rows.put(tenant_id, slug, host=host, disabled=chance.random() < 0.2)

    def load(ids: Collection[str] | None) -> list[Tenant]:
        if not at_rest:
            anything()
        return rows.load(ids)

    class Read:
        def all_versions(self) -> object:
            return serial

        def of_all(self) -> Mapping[str, int]:
            return seen

    directory = TenantDirectory(load, Read(), BASE)
    for _ in range(500):
        anything()
        seen, serial = dict(rows.of_all()), serial + 1
        directory.by_id("1")
    # One look more, and it is as they are.
    at_rest = True
    seen, serial = dict(rows.of_all()), serial + 1
    living = [row for row in rows.rows.values() if row.disabled_at is None]
    assert {each.id: (each.slug, each.host) for each in directory.all()} == {
        row.id: (row.slug, row.host) for row in living
    }
    for row in living:
        for found in (directory.by_slug(row.slug), directory.by_host(row.host) if row.host else None):
            assert found is None or found.id == row.id
        assert directory.by_slug(row.slug) is not None
        assert row.host is None or directory.by_host(row.host) is not None
    assert len(directory._kept.by) == sum(2 + (row.host is not None) for row in living)
