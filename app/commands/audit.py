"""`watchword audit`: what is on record, and whether the record holds."""

import json
import time
from typing import Any

import click

from app.commands.runtime import answer, json_option, say, services, tenant_of, tenant_option
from app.kernel.errors import Problem

_POLL_SECONDS = 1.0


@click.group()
def audit() -> None:
    """The audit chain of a tenant."""


@audit.command()
@click.option(
    "-n", "--lines", "count", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is appended, until interrupted.")
@tenant_option
@json_option
def tail(*, count: int, follow: bool, slug: str, as_json: bool) -> None:
    """Show the newest records, oldest first; with --json one object per line."""
    from app.infra import audit_chain
    from app.infra.audit import TOPIC

    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id) as session:
            found = audit_chain.tail(session, count)[::-1]
        if waiting := parts.outbox.backlog().waiting.get(TOPIC):
            say(f"{waiting} events wait for a background worker to append them.")
        last = 0
        while True:
            for record in found:
                click.echo(json.dumps(record, ensure_ascii=False) if as_json else _line(record))
                last = record["sequence"]
            if not follow:
                return
            time.sleep(_POLL_SECONDS)
            with parts.tenancy.session(tenant.id) as session:
                found = list(audit_chain.export(session, after=last))


@audit.command()
@click.option(
    "--head", metavar="HASH", help="A hash seen elsewhere (a log line); the chain has to contain it."
)
@tenant_option
@json_option
def verify(*, head: str | None, slug: str, as_json: bool) -> None:
    """Check every link of the chain. Refused at the first that does not hold."""
    from app.infra import audit_chain

    with services() as parts, parts.tenancy.session(tenant_of(parts, slug).id) as session:
        broken = audit_chain.verify(session, expected_head=head)
        newest = audit_chain.tail(session, 1)
    if broken:
        raise Problem(
            "audit.broken", f"The audit chain is broken at record {broken.sequence}: {broken.found}."
        )
    told: dict[str, Any] = {"sequence": newest[0]["sequence"], "hash": newest[0]["hash"]} if newest else {}
    answer(
        {"ok": True, **told},
        [
            f"The chain holds, up to record {told['sequence']}: {told['hash']}"
            if told
            else "There are no records yet."
        ],
        as_json=as_json,
    )


@audit.command()
@click.option(
    "--after", type=click.IntRange(0), default=0, show_default=True, help="Begin after this sequence number."
)
@tenant_option
def export(*, after: int, slug: str) -> None:
    """Write every record to standard output, oldest first, one JSON object per line."""
    from app.infra import audit_chain

    with services() as parts, parts.tenancy.session(tenant_of(parts, slug).id) as session:
        for record in audit_chain.export(session, after=after):
            click.echo(json.dumps(record, ensure_ascii=False))


def _line(record: dict[str, Any]) -> str:
    about = [f"{name}={record[name]}" for name in ("user", "client", "reason", "ip") if record.get(name)]
    return " ".join([f"{record['sequence']:>6}", record["time"], record["outcome"], record["event"], *about])
