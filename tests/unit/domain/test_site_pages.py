"""A brand drawn from pages as they are: built by the usual kits, by hand, long ago; each with a trap in it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.domain import pictures
from app.domain.branding import BrandingSettings
from app.domain.site_brand import Drawn
from tests.unit.domain.test_site_brand import Site
from tests.unit.domain.test_site_brand import site as running_site

__all__ = ["running_site"]

SITES = Path(__file__).parent / "sites"


def picture(kind: str, width: int = 9, height: int = 9) -> bytes:
    """A picture of one kind, told from others of it by its size."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), (20, 120, 90)).save(written, kind)
    return written.getvalue()


def draw(site: Site, name: str, kind: str = "text/html", **rest: bytes | str) -> Drawn:
    """The brand of one of the pages. `rest` maps addresses to pictures, or to files beside the page."""
    folder = SITES / name
    site.pages = {"/": (200, kind, (folder / "index.html").read_bytes())}
    for path, content in rest.items():
        body = (folder / content).read_bytes() if isinstance(content, str) else content
        site.pages[path] = (200, "application/octet-stream", body)
    drawn = site.draw()
    BrandingSettings.model_validate(drawn.branding)
    return drawn


def content(setting: str) -> bytes:
    return pictures.read(setting).content


def colour(drawn: Drawn) -> Any:
    return drawn.branding["colours"]["brand"]


@pytest.fixture
def site(running_site: Site) -> Iterator[Site]:
    return running_site


def test_a_kit_of_components(site: Site) -> None:
    """Three bare numbers for `hsl(var(--primary))`, and a drawing in the header in the colour of its text."""
    drawn = draw(site, "components", **{"/_next/static/css/4f2c.css": "4f2c.css"})
    assert drawn.branding["name"] == "Northwind"
    assert colour(drawn) == "#7c3aed", "violet, and neither what stands on it nor the red"
    logo, dark = content(drawn.branding["logo"]), content(drawn.branding["logo_dark"])
    assert b'viewBox="0 0 256 256"' in logo
    assert b"<clipPath" in logo
    assert b"@click" not in logo
    assert b'stroke="#1b1f23"' in logo, "text's colour on light ground"
    assert b'stroke="#eceae4"' in dark
    assert b'fill="none"' in dark
    assert "show_name" not in drawn.branding
    assert drawn.branding["legal"] == {"privacy": "https://northwind.example/legal/privacy"}
    assert "/opengraph-image.png" not in site.asked
    assert "/map.png" not in site.asked


def test_newer_colours_and_a_manifest(site: Site) -> None:
    """`oklch()` by way of another property; a name, a colour and icons in the manifest; a drawing that refers away."""
    drawn = draw(
        site,
        "newer",
        **{
            "/assets/index-D8f.css": "index-D8f.css",
            "/app/site.webmanifest": "site.webmanifest",
            "/app/large.png": picture("PNG", 256, 256),
        },
    )
    assert drawn.branding["name"] == "Tidepool"
    assert colour(drawn) == "#7f22fe"
    assert b"#7f22fe" in content(drawn.branding["icon"]), "an icon that is its own address"
    assert drawn.branding["logo"] == drawn.branding["icon"]
    assert any("element use is refused" in note for note in drawn.notes)


def test_icons_of_a_manifest(site: Site) -> None:
    """The largest that is whole, beside the manifest."""
    large = picture("PNG", 256, 256)
    page = (SITES / "newer" / "index.html").read_bytes().replace(b"data:image/svg+xml", b"data:text/plain")
    site.pages = {
        "/": (200, "text/html", page),
        "/app/site.webmanifest": (200, "text/plain", (SITES / "newer" / "site.webmanifest").read_bytes()),
        "/app/large.png": (200, "image/png", large),
        "/app/round.png": (200, "image/png", picture("PNG", 512, 512)),
    }
    drawn = site.draw()
    site.pages["/"] = (200, "text/html", page.replace(b'rel="icon"', b'rel="nothing"'))
    assert content(site.draw().branding["icon"]) == large
    assert colour(drawn) == "#7f22fe", "theme_color"


def test_a_weblog(site: Site) -> None:
    """A picture that is loaded late, behind a placeholder; a palette of which one is the site's own, by its name."""
    logo = picture("WEBP", 240, 60)
    drawn = draw(
        site,
        "weblog",
        **{
            "/wp-content/uploads/sonnenschein.webp": logo,
            "/wp-content/uploads/cropped-icon-32x32.png": picture("PNG", 32, 32),
        },
    )
    assert drawn.branding["name"] == "Bäckerei Sonnenschein"
    assert content(drawn.branding["logo"]) == logo
    assert drawn.branding["show_name"] is False
    assert colour(drawn) == "#ac5619", "chocolate, as dark as text has to be"
    assert drawn.branding["colours"]["brand_dark"] == "#d2691e"
    assert set(drawn.branding["legal"]) == {"imprint", "privacy"}
    assert "/wp-content/themes/bread/print.css" not in site.asked


def test_what_a_weblog_says_for_programs(site: Site) -> None:
    """The organization's logo in JSON-LD, where the picture on the page cannot be had."""
    logo = picture("PNG", 8, 8)
    drawn = draw(site, "weblog", **{"/wp-content/uploads/from-data.png": logo})
    assert content(drawn.branding["logo"]) == logo


def test_a_shop(site: Site) -> None:
    """`base`, a home link called brand, a triplet of RGB; others' logos further down, a stylesheet nobody has."""
    logo = picture("PNG", 120, 30)
    drawn = draw(
        site,
        "shop",
        **{
            "/store/img/harbour.png": logo,
            "/store/css/store.css": "store.css",
            "/store/img/touch.png": picture("PNG", 180, 180),
        },
    )
    assert content(drawn.branding["logo"]) == logo
    assert colour(drawn) == "#0b7285"
    assert drawn.branding["name"] == "Harbour Supply Co."
    assert "icon" in drawn.branding
    assert drawn.branding["legal"] == {"terms": "https://harbour.example/terms-of-sale"}


def test_a_page_of_long_ago(site: Site) -> None:
    """Capitals, no header, a JPEG in a link home, Latin 1, a colour by its name."""
    logo = picture("JPEG", 300, 80)
    drawn = draw(
        site,
        "plain",
        "text/html; charset=ISO-8859-1",
        **{"/bilder/kopf.jpg": logo, "/style.css": "style.css"},
    )
    assert drawn.branding["name"] == "Café Müller"
    assert drawn.branding["logo"].startswith("data:image/jpeg;base64,")
    assert content(drawn.branding["logo"]) == logo
    assert drawn.branding["show_name"] is False
    assert colour(drawn) == "#a0522d", "sienna, behind the text of buttons"


def test_a_dark_header(site: Site) -> None:
    """A white drawing is for dark ground, and dark on light; one with a handler in it is refused whole."""
    drawn = draw(site, "night")
    light, dark = content(drawn.branding["logo"]).lower(), content(drawn.branding["logo_dark"]).lower()
    assert b'viewbox="0 0 120 40"' in light
    assert b"#fff" not in light
    assert b"stroke:#1b1f23" in light
    assert b'stop-color="#1b1f23"' in light
    assert b'fill="#eceae4"' in dark
    assert any("onload" in note for note in drawn.notes)
    assert drawn.branding["name"] == "Ember"
    assert drawn.branding["show_name"] is False
    assert colour(drawn) == "#008000"
    assert drawn.branding["colours"]["brand_dark"] == "#ff6b35", "the browser's bar in the dark"
    assert drawn.branding["legal"] == {"imprint": "https://ember.example/imprint"}


def test_a_newspaper(site: Site) -> None:
    """Its publisher's logo is a JPEG; the picture of the day is none."""
    logo = picture("JPEG", 60, 60)
    drawn = draw(site, "paper", **{"/static/phare.jpg": logo, "/une.png": picture("PNG")})
    assert drawn.branding["name"] == "Le Phare du soir"
    assert content(drawn.branding["logo"]) == logo
    assert colour(drawn) == "#8b0000"
    assert "/une.png" not in site.asked


def test_logos_of_others(site: Site) -> None:
    """Where a page shows several logos and none leads home, none is taken; nor is a picture for previews."""
    shown = {path: picture("PNG") for path in ("/logo-acme.png", "/logo-globex.png", "/card.png")}
    drawn = draw(site, "partners", **shown)
    assert drawn.branding == {"name": "Quarry"}
    assert not set(shown) & set(site.asked)


def test_no_more_requests_than_said(site: Site) -> None:
    """A page of a thousand logos, stylesheets and icons costs what an ordinary one does."""
    parts = [
        f'<link rel="stylesheet" href="/{at}.css"><link rel="icon" href="/{at}.ico">'
        f'<header><a href="/"><img class="logo" src="/{at}.png" srcset="/{at}-2.png 2x"></a></header>'
        for at in range(1000)
    ]
    site.pages = {"/": (200, "text/html", ("<title>Many</title>" + "".join(parts)).encode())}
    assert site.draw().branding == {"name": "Many"}
    assert len(site.asked) == 1 + 3 + 4 + 3


def test_no_longer_than_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not read when time is up is left out, with a word."""
    monkeypatch.setattr("app.domain.site_brand.TOTAL_SECONDS", 0.5)
    site.slow["/style.css"] = 0.7
    drawn = draw(site, "plain", **{"/style.css": "style.css", "/bilder/kopf.jpg": picture("JPEG")})
    assert "logo" not in drawn.branding
    assert any("takes too long" in note for note in drawn.notes)
    assert "/bilder/kopf.jpg" not in site.asked


@pytest.mark.parametrize(
    "page",
    [
        b"<svg>" * 5000,
        b"<header><a href='/'>" + b"<div>" * 5000 + b"<svg><path></svg>",
        b"<a href='http://[/'><img src='http://[x' class=logo></a><link rel=icon href='//['><link rel=manifest href='http://['>",
        b"<link rel=stylesheet href='http://['><a href='https://['>Privacy</a><a href='https://a b/'>Terms</a>",
        b'<script type="application/ld+json">' + b"[" * 90_000 + b"</script>",
        b'<script type="application/ld+json">{"@type":"Organization","logo":"\\ud800","name":"\\ud800"}</script>',
        b"<base href='http://['><a href='/'><header><svg \x00a='1' viewBox='&#0;'><path d='\x01'/></svg></header></a>",
        b"<title>\x00\xff&#xD800;</title><style>:root{--brand:oklch(1e99 1e99 1e99);--primary:var(--primary)}</style>",
        b"<style>" + b"--" * 200_000 + b"</style>",
        b"<style>" + b"var(--a" * 60_000 + b":" * 9 + b"</style>",
    ],
)
def test_whatever_a_page_holds(site: Site, page: bytes) -> None:
    """Nothing in a page is an error of ours."""
    site.pages = {"/": (200, "text/html; charset=nonsense", b"<p>" + page)}
    BrandingSettings.model_validate(site.draw().branding)


def test_a_drawing_in_the_page_keeps_to_the_rules_of_pictures(site: Site) -> None:
    """Scripts, handlers, references outward and foreign content: refused whole, as from a file."""
    for inside in (
        "<script>alert(1)</script>",
        "<path onclick='alert(1)'/>",
        "<foreignObject><iframe src='https://evil.example'></iframe></foreignObject>",
        "<image href='https://evil.example/pixel.png'/>",
        "<style>@import 'https://evil.example';</style>",
        "<path style='fill:url(https://evil.example/a)'/>",
        "<a xlink:href='https://evil.example'><path/></a>",
        "<animate attributeName='href' values='x'/>",
        "<metadata>&lt;!ENTITY a></metadata><use href='#a'/>",
    ):
        page = f"<title>X</title><header><a href='/'><svg viewBox='0 0 9 9'>{inside}</svg></a></header>"
        site.pages = {"/": (200, "text/html", page.encode())}
        assert "logo" not in site.draw().branding, inside
