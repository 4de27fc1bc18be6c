"""`watchword config check`."""

from dataclasses import fields
from typing import Any

import click

from app.commands.runtime import answer, json_option, settings
from app.kernel.settings import PREFIX, Settings

_SECRET = frozenset({"master_key", "mtls_proxy_secret", "sms_token"})
_URLS = frozenset({"database_url", "migration_database_url", "redis_url", "smtp_url"})


@click.group()
def config() -> None:
    """The deployment's settings."""


@config.command()
@json_option
def check(*, as_json: bool) -> None:
    """Read the settings and show them, secrets hidden; refuse what is wrong, all of it at once."""
    shown = visible(settings())
    answer(shown, (f"{name}={value}" for name, value in shown.items()), as_json=as_json)


def visible(found: Settings) -> dict[str, Any]:
    """The settings by their names in the environment, without what nobody should read over a shoulder."""
    return {PREFIX + f.name.upper(): _shown(f.name, getattr(found, f.name)) for f in fields(found)}


def _shown(name: str, value: Any) -> Any:
    if name in _SECRET and value:
        return "(set)"
    if name in _URLS and "@" in value:
        scheme, _, rest = value.partition("://")
        user, at, host = rest.rpartition("@")
        return f"{scheme}://{user.partition(':')[0]}{':***' if ':' in user else ''}{at}{host}"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if isinstance(value, int) else "" if value is None else str(value)
