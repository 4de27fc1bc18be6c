"""A brand drawn from a site's own page: by rules, from what the page says of itself, in a few requests.

Name, pictures, colours and legal pages. Whatever is found is held to the same rules as what an operator writes: a
colour that cannot be read is moved until it can, a picture that is not safe or too large is left out.
"""

import base64
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError

from app.domain import colours, pictures, plain_svg, site_colours, site_data
from app.domain.branding import BLACK, DARK_GROUNDS, LIGHT_GROUNDS, WHITE, BrandingSettings, LegalSettings
from app.domain.pictures import Picture
from app.domain.site_data import Said
from app.domain.site_page import Candidate, Page, joined
from app.infra.fetch import Fetched, Fetcher
from app.kernel import clock
from app.kernel.errors import Problem

PAGE_BYTES = 2_000_000
SHEET_BYTES = 500_000
MAX_SHEETS = 3
MAX_LOGOS = 4
MAX_ICONS = 3
"""So many pictures are fetched for each."""
MAX_LINK = 500
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 5.0
"""For one answer."""
TOTAL_SECONDS = 20.0
"""For all of them; what was not read by then is left out."""

_REDIRECTS = (301, 302, 303, 307, 308)
_CHARSETS = frozenset({"iso-8859-1", "iso-8859-15", "latin1", "us-ascii", "utf-16", "utf-8", "windows-1252"})
_WIDE = 1.9
"""A logo this much wider than high has the name in it."""
_LOGO_KINDS = frozenset(pictures.EXTENSIONS) - {pictures.ICO}
_ICON_KINDS = frozenset({pictures.PNG, pictures.WEBP, pictures.SVG, pictures.ICO})
_LINKED_RANK = 4
"""Where what a page says for programs stands among what it shows."""

_PARTS = re.compile(r"\s+[|–—·•:-]\s+|\s*\|\s*")
_GREETINGS = frozenset(
    {"home", "homepage", "home page", "start", "startseite", "welcome", "willkommen", "accueil"}
)
_LEGAL = {
    "imprint": ("imprint", "impressum", "legal notice", "mentions légales"),
    "privacy": ("privacy", "datenschutz", "confidentialité", "خصوصية"),
    "terms": ("terms", "agb", "nutzungsbedingungen", "conditions"),
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A proposed brand, as settings, and what was done to get there."""

    branding: dict[str, Any]
    notes: tuple[str, ...]


def draw(fetcher: Fetcher, url: str) -> Drawn:
    """The brand of the site at `url`.

    Raises `Problem`: those of the fetcher, and `brand.nothing` where there is no page.
    """
    return _Artist(fetcher).draw(url)


class _Artist:
    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._notes: list[str] = []
        self._until = clock.after(TOTAL_SECONDS)

    def draw(self, url: str) -> Drawn:
        where, answer = self._get(url, PAGE_BYTES, "text/html")
        if answer.status != 200 or b"<" not in answer.body[:4096]:
            raise Problem("brand.nothing", f"There is no page at {url} to draw a brand from.", status=502)
        page = Page(where)
        page.feed(answer.body.decode(_charset(answer), "replace"))
        page.close()
        manifest, linked = self._manifest(page), site_data.read_linked_data(page.data)
        sheets = "\n".join([*page.styles, *self._sheets(page)])
        branding: dict[str, Any] = {"name": _name(page, manifest, linked)}
        logo, icon = self._pictures(page, manifest, linked)
        if logo is not None:
            branding.update(_logo(logo))
        if icon is not None:
            branding["icon"] = as_setting(icon)
        svg = logo.content.decode("utf-8", "replace") if logo and logo.content_type == pictures.SVG else ""
        chosen = site_colours.choose(page, sheets, manifest=manifest.colour, svg=svg)
        if chosen is not None:
            branding["colours"] = self._fitted(chosen)
        else:
            self._notes.append("No colour of its own was found; the usual one stays.")
        if legal := _legal(page):
            branding["legal"] = legal
        said = {name: value for name, value in branding.items() if value not in (None, "")}
        BrandingSettings.model_validate(said)
        return Drawn(said, tuple(self._notes))

    def _get(self, url: str, max_bytes: int, accept: str) -> tuple[str, Fetched]:
        """An answer and its address. Each redirect is a fetch of its own, checked like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            left = (self._until - clock.now()).total_seconds()
            if left <= 0:
                raise Problem("brand.nothing", "The site takes too long to answer.", status=502)
            answer = self._fetcher.get(
                url, max_bytes=max_bytes, timeout_seconds=min(left, TIMEOUT_SECONDS), accept=accept
            )
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target:
                return url, answer
            url = joined(url, target)
        raise Problem("brand.nothing", "The address redirects too often.", status=502)

    def _manifest(self, page: Page) -> Said:
        """What the web app manifest says, its icons by their whole addresses."""
        href = next((said["href"] for said in page.links if _is(said, "manifest") and said.get("href")), "")
        if not href:
            return Said()
        try:
            where, answer = self._get(joined(page.where, href), SHEET_BYTES, "application/manifest+json")
        except Problem as refusal:
            self._leave_out("The web app manifest", refusal)
            return Said()
        read = site_data.read_manifest(answer.body) if answer.status == 200 else Said()
        return Said(read.name, read.colour, icons=tuple(joined(where, icon) for icon in read.icons))

    def _sheets(self, page: Page) -> Iterator[str]:
        """The stylesheets, the site's own before those of others."""
        hrefs = [
            joined(page.where, said["href"])
            for said in page.links
            if _is(said, "stylesheet") and said.get("href") and said.get("media", "").lower() != "print"
        ]
        own = f"{page.where.partition('://')[2].partition('/')[0]}/"
        for href in sorted(hrefs, key=lambda href: own not in href)[:MAX_SHEETS]:
            try:
                _, answer = self._get(href, SHEET_BYTES, "text/css")
            except Problem as refusal:
                self._leave_out("A stylesheet", refusal)
                continue
            if answer.status == 200:
                yield answer.body.decode("utf-8", "replace")

    def _pictures(self, page: Page, manifest: Said, linked: Said) -> tuple[Picture | None, Picture | None]:
        """Logo and icon. A picture made for previews of links (`og:image`) is neither."""
        said = tuple(address for address in (*linked.logos, page.meta("og:logo")) if address)
        candidates = [*page.logos(), *(Candidate(_LINKED_RANK, addresses=(address,)) for address in said)]
        candidates.sort(key=lambda candidate: candidate.rank)
        logo = self._first(
            ((candidate.svg, candidate.addresses) for candidate in candidates), page, _LOGO_KINDS, MAX_LOGOS
        )
        hrefs = [*_icons(page), *manifest.icons, "/favicon.ico"]
        icon = self._first((("", (href,)) for href in hrefs), page, _ICON_KINDS, MAX_ICONS)
        if logo is None and icon is not None and icon.content_type != pictures.ICO:
            logo = icon
        return logo, icon

    def _first(
        self, found: Iterable[tuple[str, tuple[str, ...]]], page: Page, kinds: Collection[str], most: int
    ) -> Picture | None:
        """The first of several that may be used: drawings of the page, and addresses, of which `most` are fetched."""
        for svg, addresses in found:
            for address in addresses or ("",):
                is_here = not address or address.startswith("data:")
                if not is_here and most == 0:
                    continue
                most -= 0 if is_here else 1
                picture = self._picture(svg, address, page)
                if picture is not None and picture.content_type in kinds:
                    return picture
        return None

    def _picture(self, svg: str, address: str, page: Page) -> Picture | None:
        try:
            if svg:
                return pictures.check(svg.encode())
            if address.startswith("data:"):
                return _of_data(address)
            _, answer = self._get(joined(page.where, address), pictures.MAX_BYTES, "image/*")
            return pictures.check(answer.body) if answer.status == 200 else None
        except Problem as refusal:
            self._leave_out("A drawing in the page" if svg else address[:120], refusal)
            return None

    def _leave_out(self, what: str, refusal: Problem) -> None:
        self._notes.append(f"{what} was left out: {refusal.detail or refusal.public}")

    def _fitted(self, chosen: site_colours.Chosen) -> dict[str, str]:
        colour = chosen.light
        light = colours.readable(colour, LIGHT_GROUNDS, BLACK)
        dark = colours.readable(chosen.dark or colour, DARK_GROUNDS, WHITE)
        if light != colour:
            contrast = int(colours.least_contrast(colour, LIGHT_GROUNDS) * 100) / 100
            self._notes.append(
                f"{colours.to_hex(colour)} has a contrast of {contrast}:1 on light ground; "
                f"{colours.to_hex(light)} is the nearest with {colours.READABLE}:1."
            )
        return {"brand": colours.to_hex(light), "brand_dark": colours.to_hex(dark)}


def as_setting(picture: Picture) -> str:
    """A picture as settings say it."""
    return f"data:{picture.content_type};base64,{base64.b64encode(picture.content).decode('ascii')}"


def _logo(logo: Picture) -> dict[str, Any]:
    """The logo as settings; one in a single tone once for each ground."""
    light, dark = plain_svg.for_grounds(logo) or (logo, None)
    said: dict[str, Any] = {"logo": as_setting(light)}
    if dark is not None:
        said["logo_dark"] = as_setting(dark)
    if pictures.proportion(logo) > _WIDE:
        said["show_name"] = False
    return said


def _of_data(address: str) -> Picture:
    """A picture that is its own address (RFC 2397)."""
    kind, _, content = address.partition(",")
    if kind.endswith(";base64"):
        return pictures.read(f"{kind},{unquote_to_bytes(content).decode('ascii', 'replace')}")
    return pictures.check(unquote_to_bytes(content))


def _charset(answer: Fetched) -> str:
    message = Message()
    message["content-type"] = answer.headers.get("content-type", "")
    said = str(message.get_content_charset() or "")
    return said if said in _CHARSETS else "utf-8"


def _is(said: dict[str, str], relation: str) -> bool:
    return relation in said.get("rel", "").lower().split()


def _name(page: Page, manifest: Said, linked: Said) -> str:
    """What the site calls itself, else the part of its title that its host is named after, else the shortest."""
    named = page.meta("og:site_name", "application-name", "apple-mobile-web-app-title")
    name = named or manifest.name or linked.name or _of_title(page)
    return "".join(c for c in name if c.isprintable())[:80].strip()


def _of_title(page: Page) -> str:
    parts = [part for part in _PARTS.split(" ".join(page.title.split())) if part]
    host = "".join(filter(str.isalnum, page.where.partition("://")[2].partition("/")[0]))
    own = [
        part for part in parts if len(word := "".join(filter(str.isalnum, part.lower()))) > 2 and word in host
    ]
    told = [part for part in parts if part.lower() not in _GREETINGS]
    return min(own or told or parts, key=len, default="")


def _icons(page: Page) -> list[str]:
    """Addresses of icons, the best kind first: drawn, then large, then whatever there is."""

    def rank(said: dict[str, str]) -> int:
        if "svg" in said.get("type", "") or said.get("href", "").partition("?")[0].endswith(".svg"):
            return 0
        return 1 if _is(said, "apple-touch-icon") else 2

    wanted = [
        said
        for said in page.links
        if (_is(said, "icon") or _is(said, "apple-touch-icon")) and said.get("href")
    ]
    return [said["href"] for said in sorted(wanted, key=rank)]


def _legal(page: Page) -> dict[str, str]:
    found: dict[str, str] = {}
    for href, text in page.anchors:
        address, words = joined(page.where, href), text.lower()
        for name, known in _LEGAL.items():
            if name not in found and any(word in words for word in known) and _may_be_linked(address):
                found[name] = address
    return found


def _may_be_linked(address: str) -> bool:
    try:
        LegalSettings(imprint=address)
    except ValidationError:
        return False
    return len(address) <= MAX_LINK
