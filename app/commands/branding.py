"""`watchword tenant brand`: a brand drawn from a site's own page, looked at before it is used."""

import json

import click

from app.commands.applying import parts_of, sources_of, tell
from app.commands.runtime import answer, json_option, say, services, tenant_of

_SHOWN_CHARACTERS = 60


@click.command("brand")
@click.argument("slug", metavar="SLUG")
@click.option("--from", "url", required=True, metavar="URL", help="The page to draw the brand from.")
@click.option(
    "--preview", is_flag=True, help="Print a link to the sign-in page in this brand, good for an hour."
)
@click.option("--apply", "is_applied", is_flag=True, help="Use the brand from now on.")
@json_option
def brand(*, slug: str, url: str, preview: bool, is_applied: bool, as_json: bool) -> None:
    """Draw a brand from a site's page: name, logo, icon, colours that can be read, legal pages.

    Without --apply nothing changes. With --json the whole proposal is printed, ready for `settings.branding` of an
    apply file.
    """
    from app.domain import site_brand
    from app.domain.apply import document
    from app.domain.apply.run import apply
    from app.web import brand_preview

    with services() as parts:
        tenant = tenant_of(parts, slug)
        drawn = site_brand.draw(parts.fetcher, url)
        for note in drawn.notes:
            say(f"Note: {note}")
        link = brand_preview.make_link(parts, tenant, drawn.branding) if preview else None
        told = {"branding": drawn.branding, "notes": list(drawn.notes), **({"preview": link} if link else {})}
        lines = [f"{name}: {_short(value)}" for name, value in drawn.branding.items()]
        answer(told, [*lines, *([f"Preview, for an hour: {link}"] if link else [])], as_json=as_json)
        if is_applied:
            entry = json.dumps({"slug": slug, "settings": {"branding": drawn.branding}})
            entries, faults = document.read_object(
                entry, name=url, sources=sources_of("-"), section="tenants", tenant=slug
            )
            report = apply(parts_of(parts), entries, faults, via="cli")
            parts.versions.touch()
            if not as_json:
                tell(report, dry_run=False, as_json=False)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (
        text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"
    )
