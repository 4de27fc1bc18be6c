"""`watchword apply`: one file, one transaction."""

import base64
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.commands.runtime import answer, json_option, say, services

if TYPE_CHECKING:
    from app.domain.apply.document import Sources
    from app.domain.apply.run import Parts, Report
    from app.web.services import Services

WOULD_CHANGE = 3
_PICTURES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
}


@click.command()
@click.argument("file", required=False, metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Change nothing; exit with 3 when something would change.")
@click.option("--prune", is_flag=True, help="Delete what the lists of the file do not name.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file instead.")
@json_option
def apply(*, file: str | None, dry_run: bool, prune: bool, schema: bool, as_json: bool) -> int:
    """Make the deployment what FILE says (YAML or JSON; - is standard input), in one transaction.

    What the file does not mention stays as it is. A running server sees the change within a second.
    """
    if schema:
        from app.domain.apply.json_schema import apply_schema

        answer(apply_schema(), (), as_json=True)
        return 0
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    from app.domain.apply import document
    from app.domain.apply.run import apply as run

    text = read_text(file)
    entries, faults = document.read(text, name=shown_name(file), sources=sources_of(file))
    with services() as parts:
        report = run(parts_of(parts), entries, faults, dry_run=dry_run, prune=prune)
        parts.versions.touch()
    tell(report, dry_run=dry_run, as_json=as_json)
    return WOULD_CHANGE if dry_run and report.changes else 0


def parts_of(parts: "Services") -> "Parts":
    """What applying needs, of the wired parts."""
    from app.domain.apply.credentials import StoredCredentials
    from app.domain.apply.run import Parts
    from app.domain.sectors import Sectors
    from app.infra.tenancy import SystemReason

    # Made on first use, in a transaction of its own: not while ours holds SQLite's write lock.
    parts.deployment_secrets.pepper()
    return Parts(
        partial(parts.tenancy.system, SystemReason.COMMAND_LINE, write=True),
        StoredCredentials(parts.passwords, parts.client_secrets),
        parts.revocations,
        Sectors(parts.fetcher),
        parts.keyring.ensure,
    )


def read_text(file: str) -> str:
    """The text of a file, or of standard input for `-`. Raises `click.ClickException`."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise click.ClickException(f"cannot read {shown_name(file)}: {fault}") from None


def shown_name(file: str) -> str:
    """How messages name the file."""
    return "standard input" if file == "-" else file


def sources_of(file: str) -> "Sources":
    """The environment, and files by their path beside the apply file."""
    from app.domain.apply.document import Sources

    folder = Path() if file == "-" else Path(file).parent
    return Sources(os.environ, lambda path: _read_source(folder / path))


def _read_source(path: Path) -> str:
    """The text of a file; of a picture, a `data:` URL."""
    kind = _PICTURES.get(path.suffix.lower())
    if kind is None:
        return path.read_text("utf-8")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def tell(report: "Report", *, dry_run: bool, as_json: bool) -> None:
    """Say what changed or would change. Secrets made here are shown this once."""
    for warning in report.warnings:
        say(f"Note: {warning}")
    shown = [
        {"tenant": slug, "client_id": client_id, "client_secret": secret}
        for slug, client_id, secret in report.new_secrets
    ]
    told: dict[str, Any] = {
        "dry_run": dry_run,
        "changes": [{**asdict(change), "members": list(change.members)} for change in report.changes],
        "warnings": list(report.warnings),
        "client_secrets": shown,
    }
    answer(told, _lines(report, dry_run=dry_run), as_json=as_json)
    if not as_json:
        for secret in shown:
            say(f"The secret of client {secret['client_id']}, shown this once: {secret['client_secret']}")


def _lines(report: "Report", *, dry_run: bool) -> list[str]:
    signs = {"create": "+", "update": "~", "delete": "-"}
    lines = []
    for change in report.changes:
        members = f" ({', '.join(change.members)})" if change.members else ""
        place = "" if change.kind == "tenant" else f"{change.tenant}: "
        lines.append(f"{signs[change.action]} {place}{change.kind} {change.name}{members}")
    if not lines:
        return ["Nothing to change."]
    count = len(lines)
    return [*lines, f"{count} {'change' if count == 1 else 'changes'} {'to make' if dry_run else 'made'}."]
