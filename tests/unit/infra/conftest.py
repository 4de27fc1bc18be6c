"""A database of their own for tests of keys and secrets, which seal with keys of their own."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from app.domain import tenants
from app.infra import migrations
from app.infra.database import make_engine
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.settings import Settings
from tests.conftest import PRODUCTION, database_urls, new_master_key

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def keys_database(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    settings = Settings(data_dir=tmp_path_factory.mktemp("keys"), master_key=new_master_key())
    if storage == PRODUCTION:
        postgres = request.getfixturevalue("postgres_server")
        settings = dataclasses.replace(settings, **database_urls(postgres, postgres.create_database()))
    migrations.upgrade(settings)
    return settings


@pytest.fixture
def keys_tenancy(keys_database: Settings) -> Iterator[Tenancy]:
    """Empty but for the schema."""
    engine = create_engine(keys_database.migration_database_url or keys_database.effective_database_url)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA foreign_keys=ON"))
            connection.execute(text("DELETE FROM tenants"))
            connection.execute(text("DELETE FROM deployment_secrets"))
        else:
            connection.execute(text("TRUNCATE tenants, deployment_secrets CASCADE"))
    engine.dispose()
    tenancy = Tenancy(make_engine(keys_database.effective_database_url))
    yield tenancy
    tenancy.close()


@pytest.fixture
def new_keys_tenant(keys_tenancy: Tenancy) -> Callable[[], str]:
    """Makes a tenant and gives its id."""

    def make() -> str:
        with keys_tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            return tenants.create(session, slug=f"k{next(_numbers)}", name="Keys").id

    return make


@pytest.fixture
def keys_tenant(new_keys_tenant: Callable[[], str]) -> str:
    return new_keys_tenant()


@pytest.fixture
def key_settings(tmp_path: Path) -> Settings:
    """A deployment on SQLite without a configured master key, migrated, never started."""
    settings = Settings(data_dir=tmp_path / "data")
    migrations.upgrade(settings)
    return settings


@pytest.fixture
def key_tenancy(key_settings: Settings) -> Iterator[Tenancy]:
    tenancy = Tenancy(make_engine(key_settings.effective_database_url))
    yield tenancy
    tenancy.close()
