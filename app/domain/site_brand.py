"""A brand drawn from a site's own page: by rules, from what the page says of itself, in a few requests.

Name, pictures, colours and legal pages. Whatever is found is held to the same rules as what an operator writes: a
colour that cannot be read is moved until it can, a picture that is not safe or too large is left out.
"""

import base64
import colorsys
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from app.domain import colours, pictures
from app.domain.branding import BLACK, DARK_GROUNDS, LIGHT_GROUNDS, WHITE, BrandingSettings
from app.domain.colours import Rgb
from app.infra.fetch import Fetched, Fetcher
from app.kernel.errors import Problem

PAGE_BYTES = 2_000_000
SHEET_BYTES = 500_000
MAX_SHEETS = 3
MAX_PICTURES = 6
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 5.0

_REDIRECTS = (301, 302, 303, 307, 308)
_COLOURED = 30
"""The chroma from which a colour counts as one."""
_WIDE = 1.9
"""A logo this much wider than high has the name in it."""

_PROPERTY = re.compile(r"--([a-z0-9-]{1,60})\s*:\s*([^;{}]{1,80})", re.IGNORECASE)
_COLOUR = re.compile(r"#[0-9a-f]{6}\b|#[0-9a-f]{3}\b|(?:rgb|hsl)a?\([^)]{5,60}\)", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]*\.?[0-9]+")
_VIEW_BOX = re.compile(rb"viewBox\s*=\s*[\"']\s*[-0-9.]+[\s,]+[-0-9.]+[\s,]+([0-9.]+)[\s,]+([0-9.]+)")
_PARTS = re.compile(r"\s+[|–—·•:-]\s+|\s*\|\s*")
_NAMED = (("brand", 60), ("primary", 50), ("accent", 35), ("main", 25), ("theme", 25), ("link", 15))
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


@dataclass
class _Page(HTMLParser):
    """What a page says of itself."""

    title: str = ""
    metas: list[dict[str, str]] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)
    logos: list[str] = field(default_factory=list)
    anchors: list[tuple[str, str]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._inside = ""
        self._header = 0
        self._href = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element says."""
        said = {name: value or "" for name, value in attrs}
        if tag == "meta":
            self.metas.append(said)
        elif tag == "link":
            self.links.append(said)
        elif tag == "header":
            self._header += 1
        elif tag == "a":
            self._href = said.get("href", "")
            self.anchors.append((self._href, ""))
        elif tag == "img":
            named = " ".join(said.get(name, "") for name in ("src", "class", "id", "alt")).lower()
            if said.get("src") and "logo" in named:
                self.logos.insert(0 if self._header else len(self.logos), said["src"])
        if tag in ("title", "style"):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag == "header":
            self._header = max(0, self._header - 1)
        if tag == self._inside:
            self._inside = ""
        if tag == "a":
            self._href = ""

    def handle_data(self, data: str) -> None:
        """Note what is written where it matters."""
        if self._inside == "title":
            self.title += data
        elif self._inside == "style":
            self.styles.append(data[:SHEET_BYTES])
        elif self._href:
            href, text = self.anchors[-1]
            self.anchors[-1] = (href, (text + data)[:200])

    def meta(self, *names: str) -> str:
        """The content of the first of these metas that has any."""
        for name in names:
            for said in self.metas:
                if (said.get("name") or said.get("property", "")).lower() == name and said.get("content"):
                    return said["content"].strip()
        return ""


class _Artist:
    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._notes: list[str] = []
        self._pictures_left = MAX_PICTURES

    def draw(self, url: str) -> Drawn:
        where, answer = self._get(url, PAGE_BYTES, "text/html")
        if answer.status != 200 or b"<" not in answer.body[:4096]:
            raise Problem("brand.nothing", f"There is no page at {url} to draw a brand from.", status=502)
        page = _Page()
        page.feed(answer.body.decode("utf-8", "replace"))
        sheets = "\n".join([*page.styles, *self._sheets(page, where)])
        branding: dict[str, Any] = {"name": _name(page)}
        logo = self._picture(
            [urljoin(where, src) for src in page.logos], pictures.EXTENSIONS.keys() - {pictures.ICO}
        )
        icons = [urljoin(where, href) for href in _icons(page)]
        icon = self._picture([*icons, urljoin(where, "/favicon.ico")], pictures.EXTENSIONS.keys())
        if logo is None and icon is not None and icon.content_type != pictures.ICO:
            logo = icon
        if logo is None and (image := page.meta("og:image")):
            logo = self._picture([urljoin(where, image)], {pictures.PNG, pictures.WEBP, pictures.SVG})
        if logo is not None:
            branding["logo"] = as_setting(logo)
            if _ratio(logo) > _WIDE:
                branding["show_name"] = False
        if icon is not None:
            branding["icon"] = as_setting(icon)
        svg = logo.content.decode("utf-8", "replace") if logo and logo.content_type == pictures.SVG else ""
        if (chosen := _colour(page, sheets, svg)) is not None:
            branding["colours"] = self._fitted(chosen)
        else:
            self._notes.append("No colour of its own was found; the usual one stays.")
        if legal := _legal(page, where):
            branding["legal"] = legal
        said = {name: value for name, value in branding.items() if value not in (None, "")}
        BrandingSettings.model_validate(said)
        return Drawn(said, tuple(self._notes))

    def _get(self, url: str, max_bytes: int, accept: str) -> tuple[str, Fetched]:
        """An answer and its address. Each redirect is a fetch of its own, checked like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._fetcher.get(
                url, max_bytes=max_bytes, timeout_seconds=TIMEOUT_SECONDS, accept=accept
            )
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target:
                return url, answer
            url = urljoin(url, target)
        raise Problem("brand.nothing", "The address redirects too often.", status=502)

    def _sheets(self, page: _Page, where: str) -> Iterator[str]:
        hrefs = [
            said["href"]
            for said in page.links
            if "stylesheet" in said.get("rel", "").lower().split() and said.get("href")
        ]
        for href in hrefs[:MAX_SHEETS]:
            try:
                _, answer = self._get(urljoin(where, href), SHEET_BYTES, "text/css")
            except Problem as refusal:
                self._notes.append(f"A stylesheet was left out: {refusal.detail or refusal.public}")
                continue
            if answer.status == 200:
                yield answer.body.decode("utf-8", "replace")

    def _picture(self, urls: list[str], kinds: Any) -> pictures.Picture | None:
        """The first of several that may be used."""
        for url in urls:
            if self._pictures_left == 0:
                return None
            self._pictures_left -= 1
            try:
                _, answer = self._get(url, pictures.MAX_BYTES, "image/*")
                found = pictures.check(answer.body) if answer.status == 200 else None
            except Problem as refusal:
                self._notes.append(f"{url[:120]} was left out: {refusal.detail or refusal.public}")
                continue
            if found is not None and found.content_type in kinds:
                return found
        return None

    def _fitted(self, colour: Rgb) -> dict[str, str]:
        light = colours.readable(colour, LIGHT_GROUNDS, BLACK)
        dark = colours.readable(colour, DARK_GROUNDS, WHITE)
        if light != colour:
            contrast = int(colours.least_contrast(colour, LIGHT_GROUNDS) * 100) / 100
            self._notes.append(
                f"{colours.to_hex(colour)} has a contrast of {contrast}:1 on light ground; "
                f"{colours.to_hex(light)} is the nearest with {colours.READABLE}:1."
            )
        return {"brand": colours.to_hex(light), "brand_dark": colours.to_hex(dark)}


def as_setting(picture: pictures.Picture) -> str:
    """A picture as settings say it."""
    return f"data:{picture.content_type};base64,{base64.b64encode(picture.content).decode('ascii')}"


def _name(page: _Page) -> str:
    named = page.meta("og:site_name", "application-name", "apple-mobile-web-app-title")
    parts = [part for part in _PARTS.split(" ".join(page.title.split())) if part]
    name = named or min(parts, key=len, default="")
    return "".join(c for c in name if c.isprintable())[:80].strip()


def _icons(page: _Page) -> list[str]:
    """Addresses of icons, the best kind first: drawn, then large, then whatever there is."""

    def rank(said: dict[str, str]) -> int:
        if "svg" in said.get("type", "") or said.get("href", "").partition("?")[0].endswith(".svg"):
            return 0
        return 1 if "apple-touch-icon" in said.get("rel", "").lower() else 2

    wanted = [
        said
        for said in page.links
        if {"icon", "apple-touch-icon"} & set(said.get("rel", "").lower().split()) and said.get("href")
    ]
    return [said["href"] for said in sorted(wanted, key=rank)]


def _colour(page: _Page, sheets: str, svg: str) -> Rgb | None:
    """The colour with the most to be said for it; a grey only where there is nothing else."""
    points: Counter[Rgb] = Counter()
    for said in page.metas:
        if said.get("name", "").lower() in (
            "theme-color",
            "msapplication-tilecolor",
        ) and "dark" not in said.get("media", ""):
            _count(points, said.get("content", ""), 40)
    for said in page.links:
        if said.get("rel", "").lower() == "mask-icon":
            _count(points, said.get("color", ""), 30)
    for name, value in _PROPERTY.findall(sheets):
        weight = next((weight for word, weight in _NAMED if word in name.lower()), 0)
        _count(points, value, weight)
    for found, times in Counter(match.lower() for match in _COLOUR.findall(sheets)).most_common(200):
        _count(points, found, min(times, 20))
    for found, times in Counter(match.lower() for match in _COLOUR.findall(svg)).items():
        _count(points, found, 30 + min(times, 10))
    ranked = [colour for colour, _ in points.most_common()]
    coloured = [colour for colour in ranked if colours.chroma(colour) >= _COLOURED]
    return next(iter([*coloured, *ranked]), None)


def _count(points: Counter[Rgb], text: str, weight: int) -> None:
    colour = read_colour(text)
    if colour is not None and weight and colour not in (WHITE, BLACK):
        points[colour] += weight


def read_colour(text: str) -> Rgb | None:
    """A colour as stylesheets write it: hexadecimal, `rgb()` or `hsl()`. Transparent ones are none."""
    text = text.strip().lower()
    if (found := colours.parse(text)) is not None:
        return found
    kind, bracket, inside = text.partition("(")
    numbers = [float(number) for number in _NUMBER.findall(inside)]
    if not bracket or len(numbers) < 3 or (len(numbers) > 3 and numbers[3] < 1):
        return None
    if kind.startswith("rgb"):
        red, green, blue = (max(0, min(255, round(number))) for number in numbers[:3])
        return red, green, blue
    return _of_hsl(*numbers[:3]) if kind.startswith("hsl") else None


def _of_hsl(hue: float, saturation: float, lightness: float) -> Rgb:
    parts = colorsys.hls_to_rgb(hue % 360 / 360, min(lightness, 100) / 100, min(saturation, 100) / 100)
    red, green, blue = (max(0, min(255, round(part * 255))) for part in parts)
    return red, green, blue


def _ratio(picture: pictures.Picture) -> float:
    """Width to height, 1 where it cannot be told."""
    content = picture.content
    if picture.content_type == pictures.PNG:
        width, height = struct.unpack(">II", content[16:24])
    elif picture.content_type == pictures.SVG and (box := _VIEW_BOX.search(content)):
        width, height = float(box[1]), float(box[2])
    else:
        return 1.0
    return float(width / height) if height else 1.0


def _legal(page: _Page, where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for href, text in page.anchors:
        address, words = urljoin(where, href), text.lower()
        for name, known in _LEGAL.items():
            fits = address.startswith("https://") and len(address) <= 500
            if fits and name not in found and any(word in words for word in known):
                found[name] = address
    return found
