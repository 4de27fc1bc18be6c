"""The `watchword` command: its subcommands, and the one place where their errors become sentences."""

import io
import sys
from typing import NoReturn

import click

from app.commands import admin, applying, audit, config, doctor, keys, objects, serving, token
from app.entry import INTERRUPTED
from app.kernel.errors import ConfigurationError, Problem

REFUSED = 1
USAGE = 2

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(package_name="watchword", prog_name="watchword")
def cli() -> None:
    """An authorization server: OAuth 2.1 and OpenID Connect for people, services and agents.

    Settings are read from WATCHWORD_* variables, or from the file WATCHWORD_CONFIG names. Results go to standard
    output, messages to standard error. Exit status: 0 done, 1 refused, 2 usage.
    """


for command in (
    serving.serve,
    serving.worker,
    serving.migrate,
    config.config,
    doctor.doctor,
    applying.apply,
    admin.admin,
    keys.keys,
    token.token,
    audit.audit,
    *objects.GROUPS,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command of `sys.argv` and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character shows something in its place.
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit status. Nothing is raised: refusals are told on standard error."""
    try:
        status = cli.main(arguments, prog_name="watchword", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as fault:
        fault.show()
        return USAGE
    except click.UsageError as fault:
        fault.show()
        return USAGE
    except click.ClickException as fault:
        fault.show()
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except click.Abort as stop:
        if isinstance(stop.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        return _refuse("Stopped.")
    except ConfigurationError as fault:
        return _refuse(
            "This deployment is not set up right:", *(f"  {sentence}" for sentence in fault.faults)
        )
    except Problem as refusal:
        return _refuse(refusal.public, *([f"  ({refusal.code}: {refusal.detail})"] if refusal.detail else []))
    except BrokenPipeError:
        # Whoever read our output has seen enough (`watchword audit export | head`).
        sys.stdout = None
        return REFUSED
    except Exception as fault:
        return _unexpected(fault)
    return status if isinstance(status, int) else 0


def _refuse(*lines: str) -> int:
    for line in lines:
        click.echo(line, err=True)
    return REFUSED


def _unexpected(fault: Exception) -> int:
    """A fault of ours: where it happened, but not the values at hand, which may be secrets."""
    import traceback

    for frame in traceback.extract_tb(fault.__traceback__):
        click.echo(f"  {frame.filename}:{frame.lineno} in {frame.name}", err=True)
    return _refuse(
        f"Something went wrong inside Watchword: {type(fault).__name__}. Nothing more was done.",
        "Please report this with the lines above. `watchword doctor` may tell what is wrong with the deployment.",
    )
