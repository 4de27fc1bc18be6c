"""`watchword client check`: what a client may still do that its profile forbids."""

import click

from app.commands.runtime import answer, json_option, services, tenant_of, tenant_option
from app.kernel.errors import Problem


@click.command("check")
@click.argument("name", metavar="CLIENT_ID")
@click.option(
    "--profile",
    "wanted",
    type=click.Choice(["oauth2.1", "oidc-legacy", "fapi2-security", "fapi2-message-signing"]),
    help="Hold it to this profile instead of the one in force.",
)
@tenant_option
@json_option
def check(*, name: str, wanted: str | None, slug: str, as_json: bool) -> int:
    """Report what a client may still do, or is registered for, that its profile forbids.

    Exit status 0: nothing; 1: something.
    """
    from app.protocols.oauth import profile_check, profiles

    with services() as parts:
        tenant = tenant_of(parts, slug)
        client = parts.clients.get(tenant.id, name)
        if client is None:
            raise Problem("client.unknown", f"There is no client {name}.", status=404)
        profile = profiles.PROFILES[wanted] if wanted else profiles.of(client, tenant)
        found = profile_check.findings(client, tenant, profile)
    said = {
        "client_id": client.client_id,
        "profile": profile.name,
        "findings": [{"member": finding.member, "says": finding.says} for finding in found],
    }
    lines = [f"{client.client_id} {finding.says} ({finding.member})" for finding in found]
    lines = lines or [f"{client.client_id} does nothing that {profile.name} forbids"]
    answer(said, lines, as_json=as_json)
    return 1 if found else 0
