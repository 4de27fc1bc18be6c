"""`watchword doctor`: what is wrong with a deployment, and what to do about it."""

from dataclasses import asdict

import click

from app.commands.runtime import answer, json_option

_SIGNS = {"good": "✓", "advice": "!", "broken": "✗"}


@click.command()
@click.option(
    "--mail",
    "address",
    metavar="ADDRESS",
    help="Also send a message to this address, now.",
)
@json_option
def doctor(*, address: str | None, as_json: bool) -> int:
    """Examine the deployment. Exit status 1 when something is broken; advice alone is no failure."""
    from app.commands.examining import examine

    findings = examine(address)
    is_broken = any(finding.state == "broken" for finding in findings)
    lines = [f"{_SIGNS[finding.state]} {finding.subject}: {finding.sentence}" for finding in findings]
    answer({"ok": not is_broken, "findings": [asdict(f) for f in findings]}, lines, as_json=as_json)
    return 1 if is_broken else 0
