"""Column types, and errors told apart."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from app.domain.models import Tenant
from app.infra.database import make_engine
from app.infra.db import db, tenant_tables
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings


@pytest.fixture
def tenancy(any_database: Settings) -> Iterator[Tenancy]:
    tenancy = Tenancy(make_engine(any_database.effective_database_url, pool_size=1))
    yield tenancy
    tenancy.close()


def test_instants_are_aware_and_utc_on_both_databases(tenancy: Tenancy) -> None:
    moment = datetime(2030, 6, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        session.add(Tenant(id="instants", slug="instants", name="x", created_at=moment))
    with tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        found = session.scalars(select(Tenant).where(Tenant.created_at == moment)).one()
        assert found.created_at == moment
        assert found.created_at.tzinfo is UTC
        assert found.disabled_at is None
        session.delete(found)


def test_naive_instants_are_refused(tenancy: Tenancy) -> None:
    naive = datetime(2030, 6, 1)  # noqa: DTZ001
    with pytest.raises(StatementError, match="naive"), tenancy.system(SystemReason.MAINTENANCE) as session:
        session.scalars(select(Tenant).where(Tenant.created_at == naive)).all()


def test_every_table_says_whose_it_is() -> None:
    """But the deployment's own secrets; a new table is a tenant's, or is added here on purpose."""
    assert set(db.metadata.tables) - set(tenant_tables()) == {"deployment_secrets"}


def test_connections_are_not_shared_with_children(tenancy: Tenancy) -> None:
    import os

    tenancy.ping()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Nothing of the test run may go on in the child.
        os.write(writing, str(tenancy.engine.pool.checkedin()).encode())  # type: ignore[attr-defined]
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"0"
    assert tenancy.engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    tenancy.ping()
    os.close(reading)
    os.close(writing)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(ConfigurationError, match="WATCHWORD_DATA_DIR"):
        make_engine(f"sqlite:///{tmp_path / 'file' / 'data' / 'watchword.db'}")
