"""Which colour is a site's own: by what its page, stylesheets, manifest and logo say, weighed."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from app.domain import colours, css_colours
from app.domain.branding import BLACK, WHITE
from app.domain.colours import Rgb
from app.domain.site_page import Page

COLOURED = 30
"""The chroma from which a colour counts as one."""

_PROPERTY = re.compile(r"(?<![a-z0-9_-])--([a-z0-9_-]{1,60})\s*:\s*([^;{}]{1,80})", re.IGNORECASE)
_TOKEN = re.compile(css_colours.TOKEN, re.IGNORECASE)
_VARIABLE = re.compile(
    r"(?:(?:rgb|hsl)a?\(\s*)?var\(\s*--([a-z0-9_-]{1,60})\s*(?:,[^()]*)?\)(?:\s*\))?", re.IGNORECASE
)
_STEP = re.compile(r"-?(50|[1-9]00|950)$")
_NAMED = (("brand", 60), ("primary", 50), ("accent", 35), ("main", 25), ("theme", 25), ("link", 15))
_NOT_ITSELF = frozenset(
    "foreground fg on text contrast content background bg surface border ring hover active focus light lighter "
    "lightest dark darker darkest muted subtle shadow inverse disabled soft pale".split()
)
"""Words of a property that holds what goes with a colour, and not the colour."""
_BUTTON = re.compile(r"\b(?:btn|button|cta|primary)\b|btn-primary", re.IGNORECASE)
_GROUND = re.compile(r"background(?:-color)?\s*:\s*([^;{}]{1,80})", re.IGNORECASE)
_DEPTH = 4
"""So often a property may stand for another."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The colour for light ground, and one for dark where the site says so."""

    light: Rgb
    dark: Rgb | None = None


def choose(page: Page, sheets: str, *, manifest: str = "", svg: str = "") -> Chosen | None:
    """The colour with the most to be said for it; a grey only where there is nothing else."""
    points: Counter[Rgb] = Counter()
    dark: Counter[Rgb] = Counter()
    for said in page.metas:
        if said.get("name", "").lower() in ("theme-color", "msapplication-tilecolor"):
            _count(dark if "dark" in said.get("media", "").lower() else points, said.get("content", ""), 40)
    _count(points, manifest, 40)
    for said in page.links:
        if said.get("rel", "").lower() == "mask-icon":
            _count(points, said.get("color", ""), 30)
    _count_properties(points, sheets)
    for ground in _buttons(sheets):
        _count(points, ground, 4)
    for found, times in Counter(match.lower() for match in _TOKEN.findall(sheets)).most_common(200):
        _count(points, found, min(times, 20))
    for found, times in Counter(match.lower() for match in _TOKEN.findall(svg)).items():
        _count(points, found, 30 + min(times, 10))
    light, night = _best(points), _best(dark)
    if light is None:
        return None
    return Chosen(light, night if night and colours.chroma(night) >= COLOURED else None)


def _best(points: Counter[Rgb]) -> Rgb | None:
    ranked = [colour for colour, _ in points.most_common()]
    coloured = [colour for colour in ranked if colours.chroma(colour) >= COLOURED]
    return next(iter([*coloured, *ranked]), None)


def _count_properties(points: Counter[Rgb], sheets: str) -> None:
    """Weigh custom properties by what they are called, each by what it says first: later ones are other themes."""
    said: dict[str, str] = {}
    for name, value in _PROPERTY.findall(sheets):
        said.setdefault(name.lower(), value.strip())
    for name, value in said.items():
        if weight := _weight(name):
            _count(points, _resolved(value, said), weight, bare=True)


def _weight(name: str) -> int:
    """How much a property's name says that it holds the colour itself."""
    weight = next((weight for word, weight in _NAMED if word in name), 0)
    words = set(re.split(r"[-_]", name))
    if words & _NOT_ITSELF:
        return weight // 5
    if (step := _STEP.search(name)) is not None:
        # Scales run from pale to deep; the middle is the colour itself.
        return weight if step[1] in ("500", "600") else weight // 5
    return weight


def _resolved(value: str, said: dict[str, str]) -> str:
    for _ in range(_DEPTH):
        found = _VARIABLE.fullmatch(value)
        if found is None:
            break
        value = said.get(found[1].lower(), "")
    return value


def _buttons(sheets: str) -> Iterator[str]:
    """What is painted behind the text of buttons."""
    for rule in sheets.split("}"):
        selector, _, body = rule.rpartition("{")
        if _BUTTON.search(selector[-300:]):
            yield from (match[1].strip() for match in _GROUND.finditer(body[:2000]))


def _count(points: Counter[Rgb], text: str, weight: int, *, bare: bool = False) -> None:
    colour = css_colours.read(text, bare=bare)
    if colour is not None and weight and colour not in (WHITE, BLACK):
        points[colour] += weight
