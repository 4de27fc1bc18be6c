"""PostgreSQL's second belt alone: the ORM filter is switched off by going round the ORM, as the application role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Table, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from app.infra import migrations
from app.infra.database import make_engine
from app.infra.db import db, tenant_tables
from app.infra.tenancy import SYSTEM_ROLE, Tenancy
from app.kernel.settings import Settings
from tests.conftest import database_urls
from tests.isolation.conftest import Pair, make_pair
from tests.isolation.rows import tenant_mappers, values
from tests.servers import APPLICATION_ROLE, PostgresServer

TABLES = [db.metadata.tables[name] for name in tenant_tables()]


@contextmanager
def postgresql_pair(server: PostgresServer) -> Iterator[tuple[Pair, str]]:
    """Two filled tenants in a database of their own, and its name."""
    with server.database() as name:
        settings = Settings(master_key="x", **database_urls(server, name))
        migrations.upgrade(settings)
        tenancy = Tenancy(make_engine(settings.database_url, pool_size=2))
        yield make_pair(tenancy), name
        tenancy.close()


@pytest.fixture(scope="module")
def secured(postgres_server: PostgresServer) -> Iterator[Pair]:
    with postgresql_pair(postgres_server) as (pair, _):
        yield pair


@contextmanager
def as_tenant(pair: Pair, tenant_id: str | None) -> Iterator[Connection]:
    """A bare connection of the application role, its transaction rolled back in the end."""
    with pair.tenancy.engine.connect() as connection:
        if tenant_id is not None:
            connection.execute(text("SELECT set_config('watchword.tenant', :t, true)"), {"t": tenant_id})
        yield connection
        connection.rollback()


def breaches(pair: Pair, table: Table) -> list[str]:
    """What tenant B manages to do to tenant A's rows of one table."""
    owner = table.c[tenant_tables()[table.name]]
    found = []
    with as_tenant(pair, pair.b) as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar_one() > 0
        if connection.execute(select(func.count()).where(owner != pair.b)).scalar_one():
            found.append("read")
        if attempt(connection, update(table).where(owner == pair.a).values({owner: pair.a})):
            found.append("update")
        if attempt(connection, delete(table).where(owner == pair.a)):
            found.append("delete")
        if attempt(connection, update(table).where(owner == pair.b).values({owner: pair.a})):
            found.append("move")
        if attempt(connection, insert(table).values(foreign_row(pair, table))):
            found.append("insert")
    with as_tenant(pair, None) as connection:
        if connection.execute(select(func.count()).select_from(table)).scalar_one():
            found.append("read without a tenant")
    return found


def foreign_row(pair: Pair, table: Table) -> dict[str, object]:
    """A row of A's; by column, with the references of the row A has."""
    if table.name == "tenants":
        return {
            "id": "x",
            "slug": "x",
            "name": "x",
            "settings": {},
            "config_version": 1,
            "created_at": func.now(),
        }
    mapper = next(m for m in tenant_mappers() if m.local_table is table)
    row = values(mapper, pair.a, pair.rows_of_a)
    return {mapper.get_property(key).columns[0].name: value for key, value in row.items()}  # type: ignore[attr-defined]


def attempt(connection: Connection, statement: Any) -> bool:
    """Whether it got through. Being stopped by a key shows that nothing but the key stood in the way."""
    try:
        with connection.begin_nested():
            return bool(connection.execute(statement).rowcount)
    except IntegrityError:
        return True
    except ProgrammingError as fault:
        if isinstance(fault.orig, InsufficientPrivilege):
            return False
        raise


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_row_level_security_alone_keeps_tenants_apart(secured: Pair, table: Table) -> None:
    assert breaches(secured, table) == []


def test_without_the_policies_the_same_checks_fail(postgres_server: PostgresServer) -> None:
    with postgresql_pair(postgres_server) as (pair, name):
        with postgres_server.connect(name) as connection:
            for table in TABLES:
                connection.execute(f"ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY".encode())
        for table in TABLES:
            found = set(breaches(pair, table))
            assert {"read", "update", "read without a tenant"} <= found, table
            # The list of tenants may not be added to or shortened by grant, whatever the policies say.
            assert table.name == "tenants" or {"delete", "insert", "move"} <= found, table


def test_every_model_is_looked_at() -> None:
    assert {t.name for t in TABLES} == {str(m.local_table.name) for m in tenant_mappers()} | {"tenants"}  # type: ignore[attr-defined]
    assert len(TABLES) > 20


@pytest.mark.parametrize("value", ["", "%", "' OR true --", "NULL"])
def test_odd_tenants_see_nothing(secured: Pair, value: str) -> None:
    with as_tenant(secured, value) as connection:
        for table in TABLES:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0, table


def test_the_tenant_ends_with_the_transaction(secured: Pair) -> None:
    with secured.tenancy.session(secured.a) as session:
        driver = session.connection().connection.dbapi_connection
    with secured.tenancy.engine.connect() as connection:
        assert connection.connection.dbapi_connection is driver
        assert (
            connection.execute(
                text("SELECT coalesce(current_setting('watchword.tenant', true), '')")
            ).scalar()
            == ""
        )
        assert connection.execute(text("SELECT current_user")).scalar() == APPLICATION_ROLE


def test_the_system_role_ends_with_the_transaction(secured: Pair) -> None:
    users = db.metadata.tables["users"]
    with secured.tenancy.engine.connect() as connection:
        connection.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
        assert connection.execute(select(func.count()).select_from(users)).scalar_one() == 2
        connection.commit()
        assert connection.execute(text("SELECT current_user")).scalar() == APPLICATION_ROLE
        assert connection.execute(select(func.count()).select_from(users)).scalar_one() == 0


def test_the_owner_itself_sees_no_row(secured: Pair, postgres_server: PostgresServer) -> None:
    database = secured.tenancy.engine.url.database
    with postgres_server.connect(str(database), user="watchword_owner") as connection:
        for table in TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table.name}".encode()).fetchone() == (0,)


def test_secrets_of_the_deployment_are_not_the_application_roles(secured: Pair) -> None:
    with (
        as_tenant(secured, secured.b) as connection,
        pytest.raises(ProgrammingError, match="permission denied"),
    ):
        connection.execute(text("SELECT * FROM deployment_secrets"))


def test_the_application_role_cannot_change_the_schema_or_the_policies(secured: Pair) -> None:
    for statement in (
        "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        "DROP POLICY watchword_tenant ON users",
        "CREATE POLICY mine ON users USING (true)",
        "TRUNCATE users",
        "DROP TABLE users",
        "CREATE TABLE mine (id text)",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        f"GRANT {SYSTEM_ROLE} TO CURRENT_USER",
    ):
        with (
            as_tenant(secured, secured.b) as connection,
            pytest.raises(ProgrammingError, match="InsufficientPrivilege"),
        ):
            connection.execute(text(statement))
