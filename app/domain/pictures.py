"""Pictures somebody gives us to serve: logos and icons. Known kinds, small, and nothing in them that acts.

What is refused is refused whole: an SVG with a script in it is not repaired, since what else is in it nobody knows.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from app.kernel.errors import Problem

MAX_BYTES = 100 * 1024
MAX_PIXELS = 2048

PNG, WEBP, JPEG, SVG, ICO = "image/png", "image/webp", "image/jpeg", "image/svg+xml", "image/x-icon"
EXTENSIONS = {PNG: "png", WEBP: "webp", JPEG: "jpg", SVG: "svg", ICO: "ico"}

_DATA = re.compile(r"data:[a-z0-9.+/-]+(;charset=[a-z0-9-]+)?;base64,([A-Za-z0-9+/=\s]*)", re.IGNORECASE)
SVG_ELEMENTS = frozenset(
    """svg g defs title desc metadata path rect circle ellipse line polyline polygon text tspan linearGradient
    radialGradient stop clipPath mask pattern symbol style filter feGaussianBlur feOffset feBlend feFlood
    feComposite feColorMatrix feMerge feMergeNode marker""".split()
)
"""Shapes, text and gradients. What is drawn by anything else is refused."""
_SVG_SPACES = frozenset({"", "http://www.w3.org/2000/svg"})
_DESCRIBING_SPACES = frozenset(
    {
        "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "http://purl.org/dc/elements/1.1/",
        "http://purl.org/dc/terms/",
        "http://creativecommons.org/ns#",
        "http://web.resource.org/cc/",
    }
)
"""What programs write into `metadata`: who made the picture, and under which licence. No browser acts on any of it."""
_EDITOR_SPACES = frozenset(
    {
        "http://www.inkscape.org/namespaces/inkscape",
        "http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd",
    }
)
"""What drawing programs keep for themselves, anywhere."""
_VIEW_BOX = re.compile(rb"viewBox\s*=\s*[\"']\s*[-0-9.e]+[\s,]+[-0-9.e]+[\s,]+([0-9.]+)[\s,]+([0-9.]+)")
_SVG_SIZE = re.compile(rb"\s(width|height)\s*=\s*[\"']([0-9]+(?:\.[0-9]+)?)(?:px)?[\"']")
_REFERENCE = re.compile(r"url\(\s*(?!['\"]?#)", re.IGNORECASE)
_AT_RULE = re.compile(r"@|\\|expression|javascript", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was looked at."""

    content_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def read(text: str) -> Picture:
    """A picture out of a setting: a `data:` URL in base64, or the text of an SVG. Raises `Problem`."""
    if text.lstrip("\ufeff \r\n\t").startswith("<"):
        return check(text.encode())
    found = _DATA.fullmatch(text.strip())
    if found is None:
        raise refused("a data: URL in base64, or the text of an SVG, is wanted")
    try:
        return check(base64.b64decode("".join(found[2].split()), validate=True))
    except (binascii.Error, ValueError):
        raise refused("the base64 of the data: URL is broken") from None


def check(content: bytes) -> Picture:
    """The picture, whose kind is read off its content and nothing else. Raises `Problem` (`picture.refused`)."""
    if len(content) > MAX_BYTES:
        raise refused(f"it has {len(content)} bytes, and {MAX_BYTES} are the most")
    for kind, (is_one, size_of) in _MEASURED.items():
        if is_one(content):
            _check_size(*size_of(content))
            return Picture(kind, content)
    if content.startswith(b"\x00\x00\x01\x00"):
        return Picture(ICO, content)
    if content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        _check_svg(content)
        return Picture(SVG, content)
    raise refused("it is neither PNG, WebP, JPEG, SVG nor ICO")


def proportion(picture: Picture) -> float:
    """Width to height, 1 where it cannot be told."""
    content = picture.content
    if picture.content_type in _MEASURED:
        width, height = _MEASURED[picture.content_type][1](content)
        return width / height
    if picture.content_type != SVG:
        return 1.0
    if (box := _VIEW_BOX.search(content)) is not None:
        across, down = _number(box[1]), _number(box[2])
    else:
        said = {name: _number(number) for name, number in reversed(_SVG_SIZE.findall(content[:2000]))}
        across, down = said.get(b"width", 0.0), said.get(b"height", 0.0)
    return across / down if across and down else 1.0


def refused(why: str) -> Problem:
    """The refusal of a picture."""
    return Problem("picture.refused", f"This picture cannot be used: {why}.")


def _number(digits: bytes) -> float:
    try:
        return float(digits)
    except ValueError:
        return 0.0


def _is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR" and len(content) > 24


def _png_size(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _is_webp(content: bytes) -> bool:
    kinds = (b"VP8 ", b"VP8L", b"VP8X")
    return content.startswith(b"RIFF") and content[8:12] == b"WEBP" and content[12:16] in kinds


def _webp_size(content: bytes) -> tuple[int, int]:
    """Width and height (WebP container specification; RFC 9649 section 2)."""
    if len(content) < 30:
        raise refused("it ends early")
    kind = content[12:16]
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _is_jpeg(content: bytes) -> bool:
    return content.startswith(b"\xff\xd8\xff")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height, of the frame header (ITU-T T.81 section B.2.2)."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xFF:  # filling before a marker
            at += 1
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + max(2, length)
    raise refused("it ends early")


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MEASURED: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]]] = {
    PNG: (_is_png, _png_size),
    WEBP: (_is_webp, _webp_size),
    JPEG: (_is_jpeg, _jpeg_size),
}


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
        raise refused(f"it has {width} by {height} pixels, and {MAX_PIXELS} are the most")


def _check_svg(content: bytes) -> None:
    """Shapes, text and gradients only: no scripts, no handlers, no animation, no foreign content, no references out."""
    parser = expat.ParserCreate(namespace_separator=" ")
    open_elements: list[str] = []

    def doctype(*_: object) -> None:
        # Entities are how a few bytes become gigabytes, and how files of the server are read.
        raise refused("an SVG with a document type is refused")

    def start(name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if not open_elements and local != "svg":
            raise refused("it is XML, but no SVG")
        if space in _SVG_SPACES and local not in SVG_ELEMENTS:
            raise refused(f"the element {local[:40]} is refused")
        describes = space in _DESCRIBING_SPACES and "metadata" in open_elements
        if space not in _SVG_SPACES | _EDITOR_SPACES and not describes:
            raise refused("elements of other vocabularies are refused")
        open_elements.append(local)
        for attribute, value in attributes.items():
            _check_attribute(attribute.rpartition(" ")[2].lower(), value)

    def end(_: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        if "style" in open_elements:
            styles.append(data)

    styles: list[str] = []
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text
    parser.ProcessingInstructionHandler = lambda target, _: _refuse_instruction(target)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as fault:
        raise refused(f"the SVG is not well-formed: {fault}") from None
    style = "".join(styles)
    if _REFERENCE.search(style) or _AT_RULE.search(style):
        raise refused("a style of the SVG refers to something outside it")


def _refuse_instruction(target: str) -> None:
    raise refused(f"the instruction {target[:40]} is refused")


def _check_attribute(name: str, value: str) -> None:
    if name.startswith("on"):
        raise refused(f"the attribute {name[:40]} is refused")
    if name in ("href", "src") and not value.strip().startswith("#"):
        raise refused("a reference to something outside it is refused")
    if _REFERENCE.search(value) or (name == "style" and _AT_RULE.search(value)):
        raise refused("a style of the SVG refers to something outside it")
