"""The migrated schema, on both databases: it is what the models say, it is made once, and it is packaged."""

import dataclasses
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from app.domain import models
from app.infra import migrations, row_security
from app.infra.database import make_engine
from app.infra.db import db, tenant_tables
from app.infra.state.sql_tables import state_metadata
from app.kernel import paths
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings
from tests.conftest import database_urls, new_master_key
from tests.servers import APPLICATION_ROLE, OWNER_ROLE, SUPERUSER, SYSTEM_ROLE, PostgresServer

assert models.__all__


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Settings]:
    """Settings of a database nobody has migrated."""
    settings = Settings(data_dir=data_dir, master_key=new_master_key())
    if request.param == "sqlite":
        yield settings
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as name:
        yield dataclasses.replace(settings, **database_urls(server, name))


@pytest.fixture
def scratch(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of an empty PostgreSQL database."""
    with postgres_server.database() as name:
        yield name


def engine_of(settings: Settings) -> Engine:
    return make_engine(settings.migration_database_url or settings.effective_database_url, pool_size=1)


def test_the_migrated_schema_is_what_the_models_say(empty: Settings) -> None:
    migrations.upgrade(empty)
    engine = engine_of(empty)
    metadata = db.metadata if empty.is_sqlite else [db.metadata, state_metadata]
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        keys = {
            t: inspect(connection).get_pk_constraint(t)["constrained_columns"] for t in db.metadata.tables
        }
        assert keys == {n: [c.name for c in t.primary_key] for n, t in db.metadata.tables.items()}
    engine.dispose()


def test_migrating_again_changes_nothing(empty: Settings) -> None:
    migrations.upgrade(empty)
    before = describe(empty)
    migrations.upgrade(empty)
    assert describe(empty) == before


def describe(settings: Settings) -> object:
    engine = engine_of(settings)
    query = "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"
    if not settings.is_sqlite:
        query = "SELECT tablename, policyname, roles::text, qual, with_check FROM pg_policies ORDER BY 1, 2"
    with engine.connect() as connection:
        found = connection.exec_driver_sql(query).fetchall()
    engine.dispose()
    assert found
    return found


def test_processes_that_start_together_migrate_once(empty: Settings) -> None:
    assert run_together(empty, 3) == [0, 0, 0]
    engine = engine_of(empty)
    assert migrations.is_current(engine)
    engine.dispose()


def run_together(settings: Settings, count: int) -> list[int]:
    """Processes, not threads: Alembic keeps its context in module state."""
    program = (
        "import sys; from pathlib import Path; from app.infra import migrations;"
        "from app.kernel.settings import Settings;"
        "migrations.prepare(Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2],"
        " migration_database_url=sys.argv[3], master_key='x'))"
    )
    arguments = [str(settings.data_dir), settings.database_url, settings.migration_database_url]
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    environ = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    started = [subprocess.Popen(command, env=environ) for _ in range(count)]
    return [process.wait(60) for process in started]


def test_a_server_of_the_previous_release_leaves_a_newer_schema_alone(empty: Settings) -> None:
    migrations.upgrade(empty)
    engine = engine_of(empty)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    migrations.prepare(empty)
    assert migrations.revision_of(engine) == "9999"
    engine.dispose()


def test_the_migrations_are_in_the_wheel(tmp_path: Path) -> None:
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        wheel.extractall(tmp_path / "installed")
    assert {
        f"app/_bundle/migrations/{n}" for n in ("env.py", "script.py.mako", "versions/0001_first.py")
    } <= names
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from app.kernel import paths; from app.infra import migrations; from app.kernel.settings import Settings;"
        "assert '_bundle' in str(paths.MIGRATIONS), paths.MIGRATIONS;"
        "migrations.prepare(Settings(data_dir=Path(sys.argv[1]) / 'data'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "installed")]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "installed" / "data" / "watchword.db").exists()


def test_row_level_security_is_on_and_forced_on_every_tenant_table(
    scratch: str, postgres_server: PostgresServer
) -> None:
    migrations.upgrade(Settings(master_key="x", **database_urls(postgres_server, scratch)))
    with postgres_server.connect(scratch) as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        policies = connection.execute(
            "SELECT tablename, policyname, roles::text, cmd FROM pg_policies"
        ).fetchall()
    secured = {name for name, enabled, forced in rows if enabled and forced}
    assert secured == set(tenant_tables())
    unsecured = {name for name, *_ in rows} - secured
    assert unsecured == {"alembic_version", *row_security.deployment_tables(), *state_metadata.tables}
    expected = {
        (table, policy, role, "ALL")
        for table in secured
        for policy, role in (
            (row_security.TENANT_POLICY, f"{{{APPLICATION_ROLE}}}"),
            (row_security.SYSTEM_POLICY, f"{{{SYSTEM_ROLE}}}"),
        )
    }
    assert set(policies) == expected


def test_a_table_that_lost_its_protection_gets_it_back(scratch: str, postgres_server: PostgresServer) -> None:
    settings = Settings(master_key="x", **database_urls(postgres_server, scratch))
    migrations.upgrade(settings)
    with postgres_server.connect(scratch) as connection:
        connection.execute("ALTER TABLE users NO FORCE ROW LEVEL SECURITY")
        connection.execute("DROP POLICY watchword_tenant ON users")
    migrations.upgrade(settings)
    with postgres_server.connect(scratch) as connection:
        forced = connection.execute(
            "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'users'"
        ).fetchone()
        found = connection.execute("SELECT count(*) FROM pg_policies WHERE tablename = 'users'").fetchone()
    assert (forced, found) == ((True,), (2,))


@pytest.mark.parametrize(
    ("role", "said"),
    [(SUPERUSER, "superuser"), (OWNER_ROLE, "would own the tables"), ("nobody_made", "does not exist")],
)
def test_migrating_refuses_an_application_role_that_would_not_be_bound(
    scratch: str, postgres_server: PostgresServer, role: str, said: str
) -> None:
    urls = {
        **database_urls(postgres_server, scratch),
        "database_url": postgres_server.url(scratch, role=role),
    }
    with pytest.raises(ConfigurationError, match=said):
        migrations.upgrade(Settings(master_key="x", **urls))
    with postgres_server.connect(scratch) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)


@pytest.mark.parametrize(("role", "said"), [(SUPERUSER, "superuser"), (OWNER_ROLE, "owns the tables")])
def test_serving_refuses_an_unbound_role(
    scratch: str, postgres_server: PostgresServer, role: str, said: str
) -> None:
    migrations.upgrade(Settings(master_key="x", **database_urls(postgres_server, scratch)))
    with pytest.raises(ConfigurationError, match=said):
        migrations.prepare(Settings(master_key="x", database_url=postgres_server.url(scratch, role=role)))


def test_serving_refuses_a_role_that_bypasses_row_level_security(
    scratch: str, postgres_server: PostgresServer
) -> None:
    migrations.upgrade(Settings(master_key="x", **database_urls(postgres_server, scratch)))
    with postgres_server.connect() as connection:
        connection.execute("CREATE ROLE bypasser LOGIN BYPASSRLS")
    with postgres_server.connect(scratch) as connection:
        connection.execute("GRANT SELECT ON alembic_version TO bypasser")
    with pytest.raises(ConfigurationError, match="BYPASSRLS"):
        migrations.prepare(
            Settings(master_key="x", database_url=postgres_server.url(scratch, role="bypasser"))
        )


def test_serving_refuses_a_role_that_inherits_the_system_policies(
    postgres_server: PostgresServer, scratch: str
) -> None:
    migrations.upgrade(Settings(master_key="x", **database_urls(postgres_server, scratch)))
    with postgres_server.connect(scratch) as connection:
        connection.execute(f"CREATE ROLE heir LOGIN INHERIT IN ROLE {SYSTEM_ROLE}")
        connection.execute("GRANT SELECT ON alembic_version TO heir")
    with pytest.raises(ConfigurationError, match="inherits from watchword_system"):
        migrations.prepare(Settings(master_key="x", database_url=postgres_server.url(scratch, role="heir")))


def test_serving_without_the_owner_wants_a_migrated_database(
    scratch: str, postgres_server: PostgresServer
) -> None:
    settings = Settings(master_key="x", database_url=postgres_server.url(scratch))
    with pytest.raises(ConfigurationError, match="watchword migrate"):
        migrations.prepare(settings)
    migrations.upgrade(Settings(master_key="x", **database_urls(postgres_server, scratch)))
    migrations.prepare(settings)


def test_an_owner_who_may_makes_the_system_role_itself() -> None:
    with PostgresServer() as server:
        with server.connect() as connection:
            connection.execute(f"REVOKE {SYSTEM_ROLE} FROM {APPLICATION_ROLE}")
            connection.execute(f"DROP ROLE {SYSTEM_ROLE}")
            connection.execute(f"ALTER ROLE {APPLICATION_ROLE} INHERIT")
        settings = Settings(master_key="x", **database_urls(server, server.create_database()))
        with pytest.raises(ConfigurationError, match=f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN; GRANT"):
            migrations.prepare(settings)
        with server.connect() as connection:
            connection.execute(f"ALTER ROLE {OWNER_ROLE} CREATEROLE")
        migrations.prepare(settings)
