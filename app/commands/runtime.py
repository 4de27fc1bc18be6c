"""What every command shares: the settings, the wired parts, the tenant it is about, and how it answers."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.kernel.errors import Problem
from app.kernel.settings import Settings, load

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.web.services import Services

_Command = TypeVar("_Command", bound=Callable[..., Any])

MAY_BEGIN_WITH_A_HYPHEN = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""For a command whose argument is a key id or a token: base64url, so one in 64 begins like an option."""


def settings() -> Settings:
    """The deployment's settings. Raises `ConfigurationError`."""
    return load(os.environ, parse_yaml=_parse_yaml)


@contextmanager
def services() -> Iterator["Services"]:
    """The wired parts of a migrated deployment, closed afterwards. Raises `ConfigurationError`.

    Where there is no deployment none is begun: that is for `serve` and `migrate`.
    """
    from app import wiring
    from app.infra import data_files

    found = settings()
    data_files.require_deployment(found)
    built = wiring.build(found)
    try:
        yield built
    finally:
        built.close()


def tenant_of(parts: "Services", slug: str) -> "TenantContext":
    """The enabled tenant of a slug. Raises `Problem` (`tenant.unknown`)."""
    found = parts.tenants.by_slug(slug)
    if found is None:
        raise Problem("tenant.unknown", f"There is no tenant {slug}, or it is disabled.", status=404)
    return found


def tenant_option(command: _Command) -> _Command:
    """The option that names a tenant."""
    return click.option(
        "--tenant", "slug", default="default", show_default=True, metavar="SLUG", help="Which tenant."
    )(command)


def json_option(command: _Command) -> _Command:
    """The option that asks for JSON on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def answer(value: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """The command's result on standard output: JSON, or lines for people."""
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
        return
    for line in lines:
        click.echo(line)


def say(message: str) -> None:
    """A message to whoever runs the command, on standard error."""
    click.echo(message, err=True)


def read_secret(argument: str) -> str:
    """A secret of the command line, or the first line of standard input for `-`."""
    return sys.stdin.readline().strip() if argument == "-" else argument


def _parse_yaml(text: str) -> Any:
    from app.infra import yaml

    return yaml.load(text)
