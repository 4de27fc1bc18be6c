"""`watchword client rotate-secret`: another secret for a client, while its former one still works for a while."""

import re
from typing import TYPE_CHECKING

import click

from app.commands.runtime import answer, json_option, say, services, tenant_of, tenant_option
from app.kernel.errors import Problem

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.web.services import Services

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,8})([smhd]?)", text)
    if found is None or (seconds := int(found[1]) * _UNITS[found[2] or "s"]) > 30 * 86400:
        raise click.BadParameter("seconds are wanted, or 30m, 24h, 7d; 30 days at most")
    return seconds


@click.command("rotate-secret")
@click.argument("name", metavar="CLIENT_ID")
@click.option(
    "--grace",
    callback=_seconds,
    metavar="TIME",
    help="How long the former secret still works: 24h, 7d; 0 ends it at once. "
    "Otherwise as the tenant's keys.client_secret_grace_seconds says.",
)
@tenant_option
@json_option
def rotate_secret(*, name: str, grace: int | None, slug: str, as_json: bool) -> None:
    """Make a client a new secret, and show it once. The former one works until the grace is over."""
    with services() as parts:
        tenant = tenant_of(parts, slug)
        parts.deployment_secrets.pepper()
        if grace is None:
            grace = tenant.settings.keys.client_secret_grace_seconds
        secret = _rotate(parts, tenant, name, grace)
        parts.versions.touch()
    answer(
        {"client_id": name, "client_secret": secret, "former_good_for_seconds": grace},
        [secret],
        as_json=as_json,
    )
    say(f"The former secret works for {grace} seconds more." if grace else "The former secret works no more.")


def _rotate(parts: "Services", tenant: "TenantContext", client_id: str, grace: int) -> str:
    from sqlalchemy import select

    from app.domain.models import Client
    from app.infra import audit

    with parts.tenancy.session(tenant.id, write=True) as session:
        row = session.scalar(select(Client).where(Client.client_id == client_id))
        if row is None:
            raise Problem("client.unknown", f"There is no client {client_id}.", status=404)
        if row.secret_hash is None and row.secret_sealed is None:
            raise Problem(
                "client.without_secret", f"The client {client_id} does not authenticate with a secret."
            )
        issued = parts.client_secrets.issue()
        sealed = row.secret_sealed is not None
        parts.client_secrets.retire(row, grace)
        if sealed:
            row.secret_sealed = parts.client_secrets.seal(tenant.id, client_id, issued.secret)
        else:
            row.secret_hash = issued.stored
        told = audit.Event(
            "client.secret.rotated",
            tenant_id=tenant.id,
            outcome="success",
            client_id=client_id,
            data={"target": client_id, "name": client_id, "via": "cli"},
        )
        audit.record(session, told)
    return issued.secret
