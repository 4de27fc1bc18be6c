"""A drawing in one tone without a colour of its own: black, white, or whatever the text around it has.

Shown as a picture of its own it would be black whatever it stands on, or white on white. It is written once for light
ground and once for dark.
"""

import re

from app.domain import colours, css_colours
from app.domain.pictures import SVG, Picture, check

ON_LIGHT, ON_DARK = "#1b1f23", "#eceae4"
"""The text's colours of `static/watchword.css`."""

_PAINT = re.compile(
    r"""((?<![a-z-])(?:fill|stroke|stop-color|color)\s*(?:=\s*["']|:)\s*)"""
    rf"({css_colours.TOKEN}|[a-z]{{3,24}})(?=\s*[\"';}}!]|\s*$)",
    re.IGNORECASE,
)
_ROOT = re.compile(r"<svg\b[^>]*>")
_NO_PAINT = frozenset({"none", "inherit", "transparent", "context-fill", "initial", "unset"})


def for_grounds(picture: Picture) -> tuple[Picture, Picture] | None:
    """The picture for light and for dark ground; None for one that has colours, or is no SVG."""
    if picture.content_type != SVG:
        return None
    text = picture.content.decode("utf-8", "replace")
    tones = {match[2].lower() for match in _PAINT.finditer(text)} - _NO_PAINT
    root = _ROOT.search(text)
    if root is None or len(tones) > 1 or not all(_is_grey(tone) for tone in tones):
        return None
    return _painted(text, ON_LIGHT), _painted(text, ON_DARK)


def _is_grey(tone: str) -> bool:
    if tone == "currentcolor":
        return True
    colour = css_colours.read(tone)
    return colour is not None and colours.chroma(colour) == 0


def _painted(text: str, ink: str) -> Picture:
    def paint(match: re.Match[str]) -> str:
        return match[0] if match[2].lower() in _NO_PAINT else match[1] + ink

    painted = _PAINT.sub(paint, text)
    root = _ROOT.search(painted)
    assert root is not None
    if not re.search(r"\sfill\s*=", root[0]):
        # What says nothing of itself is black.
        painted = f'{painted[: root.start()]}<svg fill="{ink}"{painted[root.start() + 4 :]}'
    return check(painted.encode())
