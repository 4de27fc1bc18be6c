"""Work across tenants is on record."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import wiring
from app.domain import first_start
from app.infra import migrations
from app.infra.tenancy import SystemReason
from app.kernel.settings import Settings
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import new_master_key


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Services]:
    """A deployment nobody started yet."""
    settings = Settings(data_dir=tmp_path, master_key=new_master_key())
    migrations.upgrade(settings)
    services = wiring.build(settings)
    yield services
    services.close()


def recorded(services: Services) -> list[str]:
    with services.tenancy.session(services.tenants.default().id) as session:
        return [row["data"]["action"] for row in outbox_rows.events(session, "system.access")]


def test_an_operators_work_across_tenants_is_on_record_and_the_servers_own_is_not(fresh: Services) -> None:
    with fresh.tenancy.system(SystemReason.COMMAND_LINE):
        pass  # nothing to reach across yet
    first_start.ensure_default_tenant(fresh.tenancy, fresh.keyring)
    fresh.versions.touch()
    before = recorded(fresh)
    assert before == []
    for reason in SystemReason:
        with fresh.tenancy.system(reason):
            pass
    assert sorted(recorded(fresh)) == sorted(reason.label for reason in SystemReason if reason.is_audited)
