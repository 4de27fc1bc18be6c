"""A drawing inside a page, written anew as a document of its own. Whether it may be used, `pictures.check` says."""

import re
from xml.sax.saxutils import escape, quoteattr

from app.domain.pictures import MAX_BYTES, SVG_ELEMENTS

_NAMES = {name.lower(): name for name in SVG_ELEMENTS}
_ATTRIBUTES = {
    name.lower(): name
    for name in (
        "baseFrequency clipPathUnits filterUnits gradientTransform gradientUnits lengthAdjust markerHeight markerUnits "
        "markerWidth maskContentUnits maskUnits numOctaves pathLength patternContentUnits patternTransform "
        "patternUnits preserveAspectRatio primitiveUnits refX refY spreadMethod startOffset stdDeviation tableValues "
        "textLength viewBox"
    ).split()
}
"""What HTML reads whatever its case, and XML does not (HTML, "adjust SVG attributes")."""
_NAME = re.compile(r"[a-z][a-z0-9-]*|xlink:href|xml:space")
_ELEMENT = re.compile(r"[a-z][a-z0-9]*")
_LEFT_OUT = ("data-", "aria-", "xmlns")
"""What a page's scripts and reading aids need."""
_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


class InlineSvg:
    """An `svg` element as it is read, tag by tag."""

    def __init__(self, said: dict[str, str]) -> None:
        self.said = said
        self.words: set[str] = set()
        """Of its title."""
        self._open = ["svg"]
        self._parts = [f"<svg {_SPACES}{_written(said)}>"]
        self._characters = 0
        self._is_hidden = "hidden" in said or "display:none" in said.get("style", "").replace(" ", "").lower()

    def start(self, tag: str, said: dict[str, str]) -> None:
        """An element in it begins."""
        if not _ELEMENT.fullmatch(tag):
            self._is_hidden = True
            return
        self._open.append(tag)
        self._add(f"<{_NAMES.get(tag, tag)}{_written(said)}>")

    def end(self, tag: str) -> bool:
        """An element in it ends, and those within that were not closed. Whether it is over."""
        if tag not in self._open:
            return False
        while self._open:
            last = self._open.pop()
            self._add(f"</{_NAMES.get(last, last)}>")
            if last == tag:
                break
        return not self._open

    def text(self, data: str) -> None:
        """Text in it."""
        if self._open[-1] == "title":
            self.words.update(re.findall(r"[a-z]+", data[:500].lower()))
        self._add(escape(data))

    def document(self) -> str:
        """The whole, or nothing for one that cannot be seen or is too large."""
        return "" if self._is_hidden or self._characters > MAX_BYTES else "".join(self._parts)

    def _add(self, text: str) -> None:
        self._characters += len(text)
        if self._characters <= MAX_BYTES:
            self._parts.append(text)


def _written(said: dict[str, str]) -> str:
    """Attributes as XML. Handlers stay, so that the drawing is refused for them and not repaired."""
    return "".join(
        f" {_ATTRIBUTES.get(name, name)}={quoteattr(value)}"
        for name, value in said.items()
        if _NAME.fullmatch(name) and not name.startswith(_LEFT_OUT)
    )
