"""Colours, and whether one can be read on another (WCAG 2.2, success criterion 1.4.3)."""

import re

READABLE = 4.5
"""The least contrast of text."""

_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_STEPS = 50

Rgb = tuple[int, int, int]


def parse(text: str) -> Rgb | None:
    """`#abc` or `#aabbcc` as red, green and blue, 0 to 255 each."""
    found = _HEX.fullmatch(text.strip())
    if found is None:
        return None
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def to_hex(colour: Rgb) -> str:
    """The colour as stylesheets write it."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def luminance(colour: Rgb) -> float:
    """Relative luminance, 0 for black to 1 for white (WCAG 2.2, "relative luminance")."""
    red, green, blue = (_linear(part / 255) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def least_contrast(colour: Rgb, grounds: tuple[Rgb, ...]) -> float:
    """The contrast on the worst of several grounds."""
    return min(contrast(colour, ground) for ground in grounds)


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """`share` of `one`, the rest of `other`."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def readable(colour: Rgb, grounds: tuple[Rgb, ...], towards: Rgb) -> Rgb:
    """The colour, moved towards black or white no further than it takes to be read on every ground."""
    for step in range(_STEPS + 1):
        moved = mix(towards, colour, step / _STEPS)
        if least_contrast(moved, grounds) >= READABLE:
            return moved
    return towards


def chroma(colour: Rgb) -> int:
    """How far a colour is from grey, 0 to 255."""
    return max(colour) - min(colour)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
