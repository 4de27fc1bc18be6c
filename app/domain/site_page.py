"""What a site's page says of itself: its metas, links, stylesheets, and what in it is likely the logo."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from app.domain.inline_svg import InlineSvg
from app.kernel import uris

MAX_STYLE = 500_000
MAX_DATA = 200_000
MAX_OPEN = 120
"""So many elements deep a page is followed."""

_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_BREAKS = _VOID | frozenset(
    "article body button div footer form h1 h2 h3 head header html li main nav ol p section span table ul".split()
)
"""What is in no drawing: one that was not closed ends before it (HTML, "the rules for parsing tokens in foreign
content")."""
_WHOLE = frozenset({"html", "body", "main", "header", "nav", "section"})
"""What is so large that its name says nothing of a picture in it."""
_HEADERS = frozenset({"header", "navbar", "masthead", "topbar"})
_LOGOS = frozenset({"logo", "logotype", "wordmark", "brand"})
_SIGNS = frozenset(
    "icon icons lucide feather fa fas bi menu search hamburger cart chevron arrow close".split()
)
"""What a drawing is called that is no logo."""
_NAMING = ("class", "id", "alt", "aria-label", "title", "src", "data-src")
_WORDS = re.compile(r"[a-z]+")
_HOMES = re.compile(r"/?|/(?:index|home|default)(?:\.[a-z]{2,5})?|/[a-z]{2}(?:-[a-z]{2})?/?")
_SRCSET = re.compile(r"[^\s,]\S*")
_LAZY = ("data-src", "data-lazy-src", "data-original")
"""Where scripts that load pictures late keep the address."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be the logo: a drawing in the page, or addresses to try in turn. The least rank is the likeliest."""

    rank: int
    addresses: tuple[str, ...] = ()
    svg: str = ""


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    in_header: bool = False
    is_named: bool = False
    """Itself or an element around it is called a logo."""
    is_home: bool = False


@dataclass
class Page(HTMLParser):
    """A page, once it was fed. `where` is its address."""

    where: str
    title: str = ""
    metas: list[dict[str, str]] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)
    anchors: list[tuple[str, str]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    """What it says in JSON-LD."""
    found: list[Candidate] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[_Open] = [_Open("")]
        self._inside = ""
        self._svg: InlineSvg | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element says."""
        said = {name: value or "" for name, value in reversed(attrs)}
        if self._svg is not None and tag in _BREAKS:
            self._svg = None
        if self._svg is not None:
            self._svg.start(tag, said)
            return
        if tag == "svg":
            self._svg = InlineSvg(said)
            return
        here = self._entered(tag, said)
        if tag not in _VOID and len(self._open) < MAX_OPEN:
            self._open.append(here)
        self._note(tag, said, here)

    def _entered(self, tag: str, said: dict[str, str]) -> _Open:
        around, words = self._open[-1], _words(said, "class", "id", "aria-label")
        return _Open(
            tag,
            in_header=around.in_header
            or tag in ("header", "nav")
            or said.get("role") == "banner"
            or bool(_words(said, "class", "id") & _HEADERS),
            is_named=around.is_named or (tag not in _WHOLE and bool(words & _LOGOS)),
            is_home=around.is_home or (tag == "a" and self._leads_home(said.get("href"))),
        )

    def _note(self, tag: str, said: dict[str, str], here: _Open) -> None:
        if tag == "base" and said.get("href"):
            self.where = joined(self.where, said["href"])
        elif tag == "meta":
            self.metas.append(said)
        elif tag == "link":
            self.links.append(said)
        elif tag == "a":
            self.anchors.append((said.get("href", ""), ""))
        elif tag == "img":
            self._image(said, here)
        elif tag in ("style", "script") or (tag == "title" and not self.title):
            is_data = "ld+json" in said.get("type", "").lower()
            self._inside = ("data" if is_data else "") if tag == "script" else tag
        if tag in ("html", "body") and said.get("style"):
            self.styles.append(f":root {{ {said['style'][:MAX_STYLE]} }}")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and those in it that were not closed."""
        if self._svg is not None:
            if self._svg.end(tag):
                self._drawing(self._svg)
                self._svg = None
            return
        if tag in ("title", "style", "script"):
            self._inside = ""
        depth = next((at for at in range(len(self._open) - 1, 0, -1) if self._open[at].tag == tag), None)
        if depth is not None:
            del self._open[depth:]

    def handle_data(self, data: str) -> None:
        """Note what is written where it matters."""
        if self._svg is not None:
            self._svg.text(data)
        elif self._inside == "title":
            self.title = (self.title + data)[:1000]
        elif self._inside == "style":
            self.styles.append(data[:MAX_STYLE])
        elif self._inside == "data":
            self.data.append(data[:MAX_DATA])
        elif any(entry.tag == "a" for entry in self._open[-8:]) and self.anchors:
            href, text = self.anchors[-1]
            self.anchors[-1] = (href, (text + data)[:200])

    def meta(self, *names: str) -> str:
        """The content of the first of these metas that has any."""
        for name in names:
            for said in self.metas:
                if (said.get("name") or said.get("property", "")).lower() == name and said.get("content"):
                    return said["content"].strip()
        return ""

    def logos(self) -> list[Candidate]:
        """What may be the logo, the likeliest first. Of several called so outside the header none is: they are
        whoever else is shown there."""
        strays = [candidate for candidate in self.found if candidate.rank == _STRAY]
        fit = [candidate for candidate in self.found if candidate.rank != _STRAY or len(strays) == 1]
        return sorted(fit, key=lambda candidate: candidate.rank)

    def _image(self, said: dict[str, str], here: _Open) -> None:
        is_named = here.is_named or bool(_words(said, *_NAMING) & _LOGOS)
        rank = _rank(is_named=is_named, here=here)
        addresses = _addresses(said)
        if rank is not None and addresses:
            self.found.append(Candidate(rank, addresses=addresses))

    def _drawing(self, svg: InlineSvg) -> None:
        here, words = self._open[-1], _words(svg.said, *_NAMING) | svg.words
        is_named = here.is_named or bool(words & _LOGOS)
        rank = _rank(is_named=is_named, here=here)
        is_sign = bool(words & _SIGNS) and not is_named
        if rank is None or rank == _STRAY or is_sign or not (here.in_header or is_named):
            return
        if text := svg.document():
            self.found.append(Candidate(rank, svg=text))

    def _leads_home(self, href: str | None) -> bool:
        if href is None or href.startswith(("#", "mailto:", "tel:", "javascript:")):
            return False
        mine, theirs = uris.split(self.where), uris.split(joined(self.where, href))
        if mine is None or theirs is None:
            return False
        if theirs.netloc.removeprefix("www.") != mine.netloc.removeprefix("www."):
            return False
        return theirs.path == mine.path or _HOMES.fullmatch(theirs.path) is not None


def joined(base: str, address: str) -> str:
    """A whole address. One that is none stays what it is, and is refused when it is fetched."""
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return address


_STRAY = 6


def _rank(*, is_named: bool, here: _Open) -> int | None:
    """How likely a picture here is the logo: 0 is called so and leads home from the header."""
    if here.is_home and here.in_header:
        return 0 if is_named else 1
    if is_named and here.in_header:
        return 2
    if here.is_home:
        return 3 if is_named else 5
    return _STRAY if is_named else None


def _words(said: dict[str, str], *names: str) -> set[str]:
    """The words of attributes, those of an address without its folders' names."""
    texts = (said.get(name, "")[:500] for name in names)
    return {
        word
        for text in texts
        for word in _WORDS.findall(("" if text.startswith("data:") else text.rpartition("/")[2]).lower())
    }


def _addresses(said: dict[str, str]) -> tuple[str, ...]:
    """Where an image's picture may be, a placeholder's own address left out."""
    late = next((said[name] for name in _LAZY if said.get(name)), "")
    sets = (said.get(name, "") for name in ("data-srcset", "data-lazy-srcset", "srcset"))
    listed = next((found[0].rstrip(",") for text in sets if (found := _SRCSET.search(text))), "")
    own = said.get("src", "")
    if late or (listed and own.startswith("data:")):
        own = ""
    return tuple(dict.fromkeys(address.strip() for address in (late, own, listed) if address.strip()))
