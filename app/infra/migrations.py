"""Bringing the main database's schema up to date from code: `watchword migrate`, and the start of a server.

Migrations only go forward, and every one is safe while the previous release still runs. A schema newer than this
code is therefore left alone.
"""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, make_url

from app.infra.database import make_engine, outages
from app.infra.row_security import check_roles
from app.kernel import paths
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings


def upgrade(settings: Settings) -> None:
    """Migrate to the newest revision, as the owner of the tables. Of processes that start together one does it.

    Raises `ConfigurationError` when roles are missing or wrong, `Unavailable` when the database does not answer.
    """
    engine = make_engine(
        settings.migration_database_url or settings.effective_database_url, pool_size=1, statement_seconds=0
    )
    try:
        with outages():
            if revision_of(engine) not in (None, *_known()):
                return
            config = _config()
            config.attributes["engine"] = engine
            config.attributes["application_role"] = make_url(settings.effective_database_url).username
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def prepare(settings: Settings) -> None:
    """What a server does before it serves: migrate where it may, else see that somebody has; then check its role.

    Without the owner's URL a server on PostgreSQL cannot migrate. Raises as `upgrade` does.
    """
    if settings.is_sqlite or settings.migration_database_url:
        upgrade(settings)
    engine = make_engine(settings.effective_database_url, pool_size=1)
    try:
        if not is_current(engine):
            raise ConfigurationError(
                [
                    "the database is not migrated: run `watchword migrate` with WATCHWORD_MIGRATION_DATABASE_URL set"
                ]
            )
        check_roles(engine)
    finally:
        engine.dispose()


def is_current(engine: Engine) -> bool:
    """Whether the schema is at this code's newest revision, or beyond."""
    with outages():
        found = revision_of(engine)
    return found is not None and (found == _scripts().get_current_head() or found not in _known())


def revision_of(engine: Engine) -> str | None:
    """The revision the schema is at; None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(paths.MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _known() -> list[str]:
    return [script.revision for script in _scripts().walk_revisions()]
