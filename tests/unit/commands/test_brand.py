"""`watchword tenant brand`, and pictures in the apply file."""

import base64
from pathlib import Path

import pytest

from app.domain.tenants import TenantContext
from app.infra.state import Delete, Key
from app.kernel.secrets import lookup_hash
from app.web import brand_preview
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.unit.commands.conftest import Watchword
from tests.unit.domain.test_site_brand import ICON, LOGO, PAGE, Site
from tests.unit.domain.test_site_brand import site as running_site

__all__ = ["running_site"]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def site(running_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("WATCHWORD_FETCH_ALLOW", "127.0.0.0/8")
    running_site.pages = {
        "/": (200, "text/html", PAGE),
        "/img/logo.svg": (200, "image/svg+xml", LOGO),
        "/icon.svg": (200, "image/svg+xml", ICON),
    }
    return running_site


def test_proposed_previewed_applied(
    watchword: Watchword, services: Services, tenant: TenantContext, site: Site, http: Http
) -> None:
    """Nothing changes before --apply, and the preview shows what would."""
    shown = watchword("tenant", "brand", tenant.slug, "--from", site.url)
    assert shown.status == 0, shown.err
    assert "name: Northwind" in shown.out
    assert "1.36:1" in shown.err
    assert "characters)" in shown.out, "pictures are cut short"
    previewed = watchword("tenant", "brand", tenant.slug, "--from", site.url, "--preview", "--json")
    link = previewed.json["preview"]
    assert link.startswith(f"{tenant.issuer}/brand-preview/")
    assert "Northwind" in http.get(link.removeprefix(tenant.issuer)).text
    assert "Northwind" not in http.get("/sign-in").text
    site.pages["/"] = (200, "text/html", PAGE.replace(b"Northwind", b"Southwind"))
    applied = watchword("tenant", "brand", tenant.slug, "--apply", link)
    assert applied.status == 0, applied.err
    assert f"~ tenant {tenant.slug} (settings.branding)" in applied.out
    page = http.get("/sign-in").text
    assert "<title>Sign in – Northwind</title>" in page, "what was seen, and not what the site says by now"
    assert http.get("/brand/logo").data == LOGO
    assert "--brand: #" in http.get("/brand.css").text


def test_what_was_not_previewed_is_not_applied(
    watchword: Watchword, services: Services, tenant: TenantContext, site: Site
) -> None:
    """A link is of its tenant and of its hour, and no other way leads to a drawn brand."""
    previewed = watchword("tenant", "brand", tenant.slug, "--from", site.url, "--preview", "--json")
    link = previewed.json["preview"]
    other = new_tenant(services)
    refused = watchword("tenant", "brand", other.slug, "--apply", link)
    assert refused.status == 1
    assert "no such preview of this tenant" in refused.err
    assert watchword("tenant", "brand", tenant.slug, "--apply", link[:-1]).status == 1
    assert watchword("tenant", "brand", tenant.slug, "--apply", link, "--from", site.url).status == 2
    assert watchword("tenant", "brand", tenant.slug, "--apply", link, "--preview").status == 2
    handle = link.rpartition("/")[2]
    again = watchword("tenant", "brand", tenant.slug, "--apply", handle, "--json")
    assert [change["members"] for change in again.json["changes"]] == [["settings.branding"]]
    assert watchword("tenant", "brand", tenant.slug, "--apply", f"{link}/consent").status == 0
    services.state.execute(Delete(Key(tenant.id, brand_preview.KIND, lookup_hash(handle))))
    assert "no such preview" in watchword("tenant", "brand", tenant.slug, "--apply", link).err


def test_refused(watchword: Watchword, tenant: TenantContext, site: Site) -> None:
    assert watchword("tenant", "brand", "nobody", "--from", site.url).status == 1
    assert watchword("tenant", "brand", tenant.slug).status == 2
    assert "fetch.address" in watchword("tenant", "brand", tenant.slug, "--from", "https://10.0.0.1/").err


def test_a_picture_by_file(
    watchword: Watchword, tenant: TenantContext, tmp_path: Path, http: Http, services: Services
) -> None:
    """`{file: PATH}` beside the apply file, and what `show` says can be applied again."""
    (tmp_path / "logo.png").write_bytes(PNG)
    (tmp_path / "dark.svg").write_bytes(LOGO)
    file = tmp_path / "brand.yaml"
    branding = "{logo: {file: logo.png}, logo_dark: {file: dark.svg}}"
    file.write_text(f"tenants: [{{slug: {tenant.slug}, settings: {{branding: {branding}}}}}]")
    done = watchword("apply", str(file))
    assert done.status == 0, done.err
    assert http.get("/brand/logo").data == PNG
    assert http.get("/brand/logo-dark").data == LOGO
    assert watchword("apply", str(file), "--dry-run").status == 0, "the same again changes nothing"
    shown = watchword("tenant", "show", tenant.slug).json
    assert shown["settings"]["branding"]["logo"].startswith("sha256:")
    (tmp_path / "logo.png").write_bytes(b"GIF89a")
    refused = watchword("apply", str(file))
    assert refused.status == 1
    assert "tenants[0].settings.branding.logo" in refused.err
