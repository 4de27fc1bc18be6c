"""Colours as stylesheets write them, against values known from elsewhere."""

import math

import pytest
from PIL import ImageColor

from app.domain import css_colours
from app.domain.colours import Rgb


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#abc", (0xAA, 0xBB, 0xCC)),
        ("#abcf", (0xAA, 0xBB, 0xCC)),
        ("#abc8", None),
        ("#aabbccFF", (0xAA, 0xBB, 0xCC)),
        ("#aabbcc80", None),
        ("#12345", None),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("rgb(98 0 238 / 100%)", (98, 0, 238)),
        ("rgb(98 0 238 / 50%)", None),
        ("rgb(100% 0% 50%)", (255, 0, 128)),
        ("rgba(1,2,3,0.5)", None),
        ("rgba(1,2,3,1)", (1, 2, 3)),
        ("rgb(999, -5, 0)", (255, 0, 0)),
        ("hsl(0, 100%, 50%)", (255, 0, 0)),
        ("hsl(120deg 100% 25%)", (0, 128, 0)),
        ("hsl(0.5turn 100% 50%)", (0, 255, 255)),
        ("hsl(-120 100% 50% / 1)", (0, 0, 255)),
        ("hsl(262 83% 58%)", (124, 59, 237)),
        ("hsl(var(--primary))", None),
        ("currentcolor", None),
        ("transparent", None),
        ("RebeccaPurple", (0x66, 0x33, 0x99)),
        ("rgb(1 2)", None),
        ("rgb(1 2 3 4 5)", None),
        ("", None),
    ],
)
def test_what_most_pages_write(text: str, colour: Rgb | None) -> None:
    assert css_colours.read(text) == colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("oklch(0.627966 0.257704 29.2346)", (255, 0, 0)),
        ("oklch(62.7966% 64.426% 29.2346deg)", (255, 0, 0)),
        ("oklch(0.452014 0.313214 264.052)", (0, 0, 255)),
        ("oklch(51.975% 0.17686 142.495)", (0, 128, 0)),
        ("oklch(0.541 0.281 293.009)", (0x7F, 0x22, 0xFE)),
        ("oklch(1 0 0)", (255, 255, 255)),
        ("oklch(50% none none)", (99, 99, 99)),
        ("oklab(0.627955 0.224863 0.125846)", (255, 0, 0)),
        ("oklab(51.975% -0.1403 0.10768)", (0, 128, 0)),
        ("lab(46.2775% -47.5621 48.5837)", (0, 128, 0)),
        ("lab(100 0 0)", (255, 255, 255)),
        ("lab(0 0 0)", (0, 0, 0)),
        ("lch(46.2775% 67.9892 134.3912)", (0, 128, 0)),
        ("lch(29.5683 131.207 301.364)", (0, 0, 255)),
        ("oklch(0.6 0.2 20 / 0.5)", None),
        ("oklch(0.6 0.2 20 0.5)", None),
    ],
)
def test_what_newer_ones_write(text: str, colour: Rgb | None) -> None:
    """CSS Color 4: the specification's own examples (`green` is #008000), and Tailwind's violet-600."""
    found = css_colours.read(text)
    assert (found is None) == (colour is None)
    if found and colour:
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 1, found


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("262 83% 58%", (124, 59, 237)),
        ("262, 83%, 58%", (124, 59, 237)),
        ("262.1deg 83.3% 57.8%", (124, 58, 237)),
        ("98 0 238", (98, 0, 238)),
        ("13,110,253", (13, 110, 253)),
        ("0 1px 2px", None),
        ("4px", None),
        ("16", None),
    ],
)
def test_three_numbers(text: str, colour: Rgb | None) -> None:
    """What `hsl(var(--primary))` is made of is a colour where a custom property says it, and nowhere else."""
    assert css_colours.read(text, bare=True) == colour
    assert css_colours.read(text) is None


def test_every_name() -> None:
    """All 148 of CSS Color 4, as Pillow knows them."""
    assert {name: css_colours.read(name) for name in ImageColor.colormap} == {
        name: ImageColor.getrgb(name) for name in ImageColor.colormap
    }


@pytest.mark.parametrize("name", ["oklch", "oklab", "lab", "lch", "hsl", "rgb"])
def test_no_number_is_too_large(name: str) -> None:
    """Whatever a stylesheet writes is a colour or none."""
    for number in ("1e99", "-1e99", "0", "none", "9" * 20):
        for inside in (f"{number} 1 1", f"1 {number} 1", f"1 1 {number}"):
            found = css_colours.read(f"{name}({inside})")
            assert found is None or all(0 <= part <= 255 and not math.isnan(part) for part in found)
