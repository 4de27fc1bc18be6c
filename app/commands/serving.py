"""`watchword serve`, `worker`, `migrate`."""

import click

from app.commands.runtime import say, settings
from app.kernel.settings import Settings


@click.command()
@click.option("--no-worker", is_flag=True, help="Leave the background worker to `watchword worker`.")
@click.option(
    "--server",
    type=click.Choice(["granian", "gunicorn"]),
    default=None,
    help="Which web server: granian, unless client certificates are asked for (WATCHWORD_TLS_CLIENT_CA).",
)
@click.option("--check", is_flag=True, help="Only see whether the port is free; write nothing.")
@click.option("--quiet", is_flag=True, help="Do not say the issuer and how to begin.")
def serve(*, no_worker: bool, server: str | None, check: bool, quiet: bool) -> int:
    """Serve, with one background worker.

    Migrates the database when it may, and makes the default tenant when there is none. Ends on SIGTERM.
    """
    from app import serving
    from app.commands.first_start import prepare
    from app.serving.metrics import share_metrics

    found = settings()
    # Before anything is written or promised.
    serving.refuse_taken_port(found)
    if check:
        return 0
    share_metrics()
    is_administered = prepare(found)
    if not quiet:
        say(f"Issuer: {found.base_url}")
        if not is_administered:
            say("The first administrator is made with a one-time link: watchword admin link")
    if found.is_sqlite and not no_worker:
        _say_who_else_serves(found)
    if found.conformance:
        _say_conformance(found)
    chosen: serving.ServerName = "gunicorn" if found.tls_client_ca else "granian"
    if server is not None:
        chosen = "gunicorn" if server == "gunicorn" else "granian"
    return serving.serve(found, server=chosen, with_worker=not no_worker)


def _say_who_else_serves(found: Settings) -> None:
    """Two servers over one folder are allowed, and seldom meant: people of the one are people of the other."""
    from app import wiring
    from app.infra import heartbeat
    from app.kernel.errors import Problem

    services = wiring.build(found)
    try:
        age = heartbeat.age_seconds(services.state)
    except Problem:
        return  # No reason not to serve: requests will be told.
    finally:
        services.close()
    if age is not None:
        say(
            f"Another server works on {found.data_dir}, or did {age} s ago: both serve the same people and clients. "
            "For a deployment of its own, set WATCHWORD_DATA_DIR to another folder."
        )


def _say_conformance(found: Settings) -> None:
    """The banner of the aids for certification suites, with the token they ask for."""
    from app import wiring
    from app.web.conformance import ROTATE_KEYS, token_of

    services = wiring.build(found)
    try:
        token = token_of(services.deployment_secrets.pepper())
    finally:
        services.close()
    say("WATCHWORD_CONFORMANCE is set. This server is for a certification suite and for nothing else.")
    say(f"POST {found.base_url}{ROTATE_KEYS} with: Authorization: Bearer {token}")


@click.command()
def worker() -> int:
    """Deliver mail, append the audit, and keep house, until SIGTERM."""
    from app import worker as background
    from app.infra import data_files

    found = settings()
    data_files.require_deployment(found)
    background.run(found)
    return 0


@click.command()
def migrate() -> None:
    """Bring the database's tables up to date; make the default tenant when there is none.

    On PostgreSQL set WATCHWORD_MIGRATION_DATABASE_URL to the role that owns the tables. Safe to run again, and
    while the previous release still serves.
    """
    from app.commands.first_start import migrate_and_prepare

    migrate_and_prepare(settings())
    say("The database is up to date.")
