"""`watchword tenant brand`: a brand drawn from a site's own page, looked at before it is used."""

import json
from typing import TYPE_CHECKING

import click

from app.commands.applying import parts_of, sources_of, tell
from app.commands.runtime import answer, json_option, say, services, tenant_of

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.web.services import Services

_SHOWN_CHARACTERS = 60


@click.command("brand")
@click.argument("slug", metavar="SLUG")
@click.option("--from", "url", metavar="URL", help="The page to draw the brand from.")
@click.option("--preview", is_flag=True, help="Keep it for an hour, and print a link to pages in this brand.")
@click.option("--apply", "link", metavar="LINK", help="Use the brand that the link of a preview shows.")
@json_option
def brand(*, slug: str, url: str | None, preview: bool, link: str | None, as_json: bool) -> None:
    """Draw a brand from a site's page: name, logo, icon, colours that can be read, legal pages.

    Nothing changes until --apply, which uses what the preview showed. With --json the whole proposal is printed,
    ready for `settings.branding` of an apply file.
    """
    if (url is None) == (link is None) or (preview and link is not None):
        raise click.UsageError("Either --from, perhaps with --preview, or --apply is needed.")
    with services() as parts:
        tenant = tenant_of(parts, slug)
        if link is not None:
            _use(parts, tenant, link, as_json=as_json)
        else:
            _propose(parts, tenant, url or "", preview=preview, as_json=as_json)


def _propose(parts: "Services", tenant: "TenantContext", url: str, *, preview: bool, as_json: bool) -> None:
    from app.domain import site_brand
    from app.web import brand_preview

    drawn = site_brand.draw(parts.fetcher, url)
    for note in drawn.notes:
        say(f"Note: {note}")
    link = brand_preview.make_link(parts, tenant, drawn.branding) if preview else None
    told = {"branding": drawn.branding, "notes": list(drawn.notes), **({"preview": link} if link else {})}
    lines = [f"{name}: {_short(value)}" for name, value in drawn.branding.items()]
    answer(told, [*lines, *([f"Preview, for an hour: {link}"] if link else [])], as_json=as_json)


def _use(parts: "Services", tenant: "TenantContext", link: str, *, as_json: bool) -> None:
    from app.domain.apply import document
    from app.domain.apply.run import apply
    from app.web import brand_preview

    said = brand_preview.kept(parts, tenant, link)
    entry = json.dumps({"slug": tenant.slug, "settings": {"branding": said}})
    entries, faults = document.read_object(
        entry, name="the preview", sources=sources_of("-"), section="tenants", tenant=tenant.slug
    )
    report = apply(parts_of(parts), entries, faults, via="cli")
    parts.versions.touch()
    tell(report, dry_run=False, as_json=as_json)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (
        text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"
    )
