"""QR codes: as a picture of any size, and as text for terminals."""

import io

import segno

_PIXELS = 5
"""A module's width in a picture shown at its own size."""
_QUIET_ZONE = 4
"""Empty modules around the code, which scanners need (ISO/IEC 18004 section 6.3.8)."""


def svg(text: str, *, is_document: bool) -> str:
    """The picture that says `text`: a file of its own, or an element inside a page.

    It has a `viewBox`, so that a smaller box shrinks it; without one its edges would be cut.
    """
    picture = io.BytesIO()
    segno.make(text, error="m").save(
        picture,
        kind="svg",
        scale=_PIXELS,
        unit="px",
        border=_QUIET_ZONE,
        dark="#000",
        light="#fff",
        xmldecl=is_document,
        svgns=is_document,
        nl=is_document,
    )
    return picture.getvalue().decode()


def terminal(text: str) -> str:
    """The same, drawn with half blocks."""
    drawn = io.StringIO()
    segno.make(text, error="m").terminal(drawn, compact=True)
    return drawn.getvalue()
