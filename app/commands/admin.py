"""`watchword admin link`: the one-time link that makes an administrator."""

import click

from app.commands.runtime import answer, json_option, say, services, tenant_of, tenant_option


@click.group()
def admin() -> None:
    """Administrators."""


@admin.command()
@click.option(
    "--recover", is_flag=True, help="Although there is an administrator: nobody can get in any more."
)
@tenant_option
@json_option
def link(*, recover: bool, slug: str, as_json: bool) -> None:
    """Print a link that makes an administrator: once, within the hour, and audited.

    A link made earlier works no more. Where there is an administrator already, --recover is needed.
    """
    from app.domain import admin_links
    from app.infra import audit

    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            token = admin_links.create(session, recover=recover)
            told = {"recover": recover, "via": "cli"}
            event = audit.Event("admin.link.created", tenant_id=tenant.id, outcome="success", data=told)
            audit.record(session, event)
    url = f"{tenant.issuer}/first-admin/{token}"
    answer({"url": url, "tenant": tenant.slug}, [url], as_json=as_json)
    say("Open it within the hour. It works once, and those printed before it no more.")
