"""The first start: the default tenant, once, whoever comes first."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app import wiring
from app.commands.first_start import ensure, prepare
from app.domain.models import Role, SigningKey, Tenant
from app.infra.tenancy import SystemReason
from app.kernel.settings import Settings
from tests.conftest import new_master_key
from tests.live import new_deployment


@pytest.fixture
def fresh(storage: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """A migrated deployment without a tenant."""
    servers = (
        {name: request.getfixturevalue(f"{name}_server") for name in ("redis", "postgres")}
        if storage == "production"
        else {}
    )
    with new_deployment(storage, tmp_path / "data", **servers) as settings:
        yield settings


def test_of_many_that_start_together_one_makes_the_tenant(fresh: Settings) -> None:
    threads = [threading.Thread(target=ensure, args=(fresh,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    services = wiring.build(fresh)
    try:
        with services.tenancy.system(SystemReason.COMMAND_LINE) as session:
            assert session.scalars(select(Tenant.slug)).all() == ["default"]
            assert sorted(session.scalars(select(Role.name))) == ["admin", "super_admin"]
            assert session.scalar(select(func.count()).select_from(SigningKey)) == 6
    finally:
        services.close()


def test_a_second_start_finds_everything_as_it_was(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", master_key=new_master_key())
    prepare(settings)
    before = _keys(settings)
    prepare(settings)
    assert _keys(settings) == before
    assert len(before) == 6


def _keys(settings: Settings) -> list[str]:
    services = wiring.build(settings)
    try:
        return [key.kid for key in services.keyring.list(services.tenants.default().id)]
    finally:
        services.close()
