"""PostgreSQL's second belt: row-level security, the roles it tells apart, and what each of them may do.

Three roles. The *owner* migrates and nothing else; with `FORCE` the policies bind it too, and none lets it see a row.
The *application* role sees the tenant its transaction names. The *system* role, which the application role may take
on for a transaction (`SET LOCAL ROLE`) but does not inherit from, sees all of them. No value a session could set
makes one into the other.

Applied at the end of every migration, in its transaction, from the models themselves, so that no table can be
forgotten; it changes only what is missing.
"""

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from app.infra.database import outages
from app.infra.db import Base, tenant_tables
from app.infra.tenancy import SYSTEM_ROLE
from app.kernel.errors import ConfigurationError

TENANT_POLICY, SYSTEM_POLICY = "watchword_tenant", "watchword_system"
ROWS = "SELECT, INSERT, UPDATE, DELETE"


def deployment_tables() -> list[str]:
    """The tables no tenant's session may touch: secrets of the whole deployment."""
    return sorted(set(Base.metadata.tables) - set(tenant_tables()))


def apply(connection: Connection, application_role: str | None, *, shared_tables: list[str]) -> None:
    """Put policies and grants on every table, as its owner.

    `shared_tables` have no tenant column and are the application's alone: short-lived state, whose keys name their
    tenant. Raises `ConfigurationError` with the SQL an administrator has to run where the owner may not.
    """
    _require_roles(connection, application_role)
    role = _quoted(connection, str(application_role))
    for name, owner_column in tenant_tables().items():
        _secure(connection, name, owner_column, role)
    _grant(connection, role, shared_tables)


def check_roles(engine: Engine) -> None:
    """Refuse to serve as a role that row-level security does not bind. Raises `ConfigurationError`; SQLite passes."""
    if engine.dialect.name != "postgresql":
        return
    with outages(), engine.connect() as connection:
        user, is_super, bypasses = connection.execute(_WHO).one()
        faults = []
        if is_super or bypasses:
            faults.append(
                f"WATCHWORD_DATABASE_URL: the role {user} is a superuser or has BYPASSRLS; "
                "use one that is bound by row-level security"
            )
        elif connection.execute(_OWNS, {"tables": list(Base.metadata.tables)}).scalar_one():
            faults.append(
                f"WATCHWORD_DATABASE_URL: the role {user} owns the tables; "
                "use another one, and give the owner's URL as WATCHWORD_MIGRATION_DATABASE_URL"
            )
        else:
            faults += _membership_faults(connection, user)
    if faults:
        raise ConfigurationError(faults)


_WHO = text("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
_OWNS = text(
    "SELECT count(*) > 0 FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    " AND relname = ANY(:tables) AND pg_has_role(relowner, 'MEMBER')"
)
_EXISTS = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role")
_BOUND = text("SELECT count(*) > 0 FROM pg_roles WHERE rolname = :role AND NOT (rolsuper OR rolbypassrls)")
_IS_MEMBER = text("SELECT pg_has_role(:role, :system, 'MEMBER')")
_INHERITS = text("SELECT pg_has_role(:role, :system, 'USAGE')")


def _membership_faults(connection: Connection, role: str) -> list[str]:
    names = {"role": role, "system": SYSTEM_ROLE}
    if not connection.execute(_EXISTS, {"role": SYSTEM_ROLE}).scalar_one():
        return [f"the database role {SYSTEM_ROLE} does not exist; run: {_create_system(connection, role)}"]
    if not connection.execute(_BOUND, {"role": SYSTEM_ROLE}).scalar_one():
        return [f"run as an administrator: ALTER ROLE {SYSTEM_ROLE} NOSUPERUSER NOBYPASSRLS"]
    if not connection.execute(_IS_MEMBER, names).scalar_one():
        return [f"run as an administrator: {_grant_membership(connection, role)}"]
    if connection.execute(_INHERITS, names).scalar_one():
        return [f"the role {role} inherits from {SYSTEM_ROLE}; run: {_stop_inheriting(connection, role)}"]
    return []


def _require_roles(connection: Connection, role: str | None) -> None:
    if not role:
        raise ConfigurationError(["WATCHWORD_DATABASE_URL: has to name its user, the application role"])
    owner = connection.execute(text("SELECT current_user")).scalar_one()
    made = f"CREATE ROLE {_quoted(connection, role)} LOGIN NOINHERIT PASSWORD '...'"
    if role == owner:
        fault = (
            f"the role {role} would own the tables and serve requests, and row-level security would not bind it. "
            "Run as an administrator: CREATE ROLE watchword_app LOGIN NOINHERIT PASSWORD '...'; put it into "
            f"WATCHWORD_DATABASE_URL and the URL of {role} into WATCHWORD_MIGRATION_DATABASE_URL"
        )
        raise ConfigurationError([fault])
    if not connection.execute(_EXISTS, {"role": role}).scalar_one():
        raise ConfigurationError(
            [f"the database role {role} does not exist; run as an administrator: {made}"]
        )
    if not connection.execute(_BOUND, {"role": role}).scalar_one():
        raise ConfigurationError(
            [f"the role {role} is a superuser or has BYPASSRLS; use another one: {made}"]
        )
    if _membership_faults(connection, role):
        _try(connection, f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN")
        _try(connection, _grant_membership(connection, role))
        _try(connection, _stop_inheriting(connection, role))
    if faults := _membership_faults(connection, role):
        raise ConfigurationError(faults)


def _try(connection: Connection, statement: str) -> None:
    """Do what the owner may do; what it may not is reported afterwards."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError:
        return


def _create_system(connection: Connection, role: str) -> str:
    return f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN; {_grant_membership(connection, role)}"


def _grant_membership(connection: Connection, role: str) -> str:
    statement = f"GRANT {SYSTEM_ROLE} TO {_quoted(connection, role)}"
    return f"{statement} WITH INHERIT FALSE" if _has_grant_options(connection) else statement


def _stop_inheriting(connection: Connection, role: str) -> str:
    if _has_grant_options(connection):
        return _grant_membership(connection, role)
    return f"ALTER ROLE {_quoted(connection, role)} NOINHERIT"


def _has_grant_options(connection: Connection) -> bool:
    """Since PostgreSQL 16 inheriting belongs to the membership, before that to the role."""
    return (connection.dialect.server_version_info or (0,)) >= (16,)


def _secure(connection: Connection, name: str, owner_column: str, role: str) -> None:
    enabled, forced = connection.execute(
        text("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = CAST(:name AS regclass)"),
        {"name": name},
    ).one()
    if not (enabled and forced):
        connection.execute(text(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"))
    own = f"{owner_column} = current_setting('watchword.tenant', true)"
    for policy, to, condition in ((TENANT_POLICY, role, own), (SYSTEM_POLICY, SYSTEM_ROLE, "true")):
        found = connection.execute(_POLICY_ROLES, {"table": name, "policy": policy}).scalar_one_or_none()
        if found is None:
            connection.execute(
                text(f"CREATE POLICY {policy} ON {name} TO {to} USING ({condition}) WITH CHECK ({condition})")
            )
        elif [_quoted(connection, r) for r in found] != [to]:
            connection.execute(text(f"ALTER POLICY {policy} ON {name} TO {to}"))


_POLICY_ROLES = text(
    "SELECT CAST(roles AS text[]) FROM pg_policies"
    " WHERE schemaname = current_schema() AND tablename = :table AND policyname = :policy"
)


def _grant(connection: Connection, role: str, shared_tables: list[str]) -> None:
    tenants = [n for n, owner_column in tenant_tables().items() if owner_column == "id"]
    owned = [n for n, owner_column in tenant_tables().items() if owner_column != "id"]
    system_only = [*tenants, *owned, *deployment_tables()]
    statements = [
        f"GRANT {ROWS} ON {', '.join(owned)} TO {role}",
        f"GRANT SELECT, UPDATE ON {', '.join(tenants)} TO {role}",
        f"GRANT {ROWS} ON {', '.join(system_only)} TO {SYSTEM_ROLE}",
        f"GRANT SELECT ON alembic_version TO {role}",
    ]
    if shared_tables:
        statements.append(f"GRANT {ROWS} ON {', '.join(shared_tables)} TO {role}")
    schema = _quoted(connection, connection.execute(text("SELECT current_schema()")).scalar_one())
    for grantee in (role, SYSTEM_ROLE):
        statements.append(f"GRANT USAGE ON SCHEMA {schema} TO {grantee}")
        statements.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {grantee}")
    for statement in statements:
        connection.execute(text(statement))


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
