"""Colours as stylesheets write them (CSS Color Module Level 4), as sRGB."""

import colorsys
import math
import re
from collections.abc import Callable

from app.domain import colours
from app.domain.colours import Rgb

TOKEN = r"#[0-9a-f]{3,8}\b|(?:rgba?|hsla?|oklch|oklab|lch|lab)\([^()]{5,80}\)"
"""What a colour looks like inside a stylesheet; names are not looked for, since every word could be one."""

_FUNCTION = re.compile(r"(rgba?|hsla?|oklch|oklab|lch|lab)\(([^()]{1,80})\)")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,2})?)(%|deg|grad|rad|turn)?")
_BARE_HSL = re.compile(r"[0-9.]+(?:deg)?[\s,]+[0-9.]+%[\s,]+[0-9.]+%")
_BARE_RGB = re.compile(r"[0-9]{1,3}[\s,]+[0-9]{1,3}[\s,]+[0-9]{1,3}")
_DEGREES = {"deg": 1.0, "grad": 0.9, "rad": 180 / math.pi, "turn": 360.0}

Matrix = tuple[tuple[float, float, float], ...]

# CSS Color 4, sections 9.3 and 10.
_LMS: Matrix = (
    (1.0, 0.3963377773761749, 0.2158037573099136),
    (1.0, -0.1055613458156586, -0.0638541728258133),
    (1.0, -0.0894841775298119, -1.2914855480194092),
)
_RGB_OF_LMS: Matrix = (
    (4.0767416360759583, -3.3077115392580629, 0.2309699031821043),
    (-1.2684379732850315, 2.6097573492876882, -0.3413193760026570),
    (-0.0041960761386756, -0.7034186179359362, 1.7076146940746117),
)
_D65_OF_D50: Matrix = (
    (0.9554734527042182, -0.0230985368742614, 0.0632593086610217),
    (-0.0283697069632081, 1.0099954580058226, 0.0210413989669430),
    (0.0123140016883199, -0.0205076964334779, 1.3303659366080753),
)
_RGB_OF_XYZ: Matrix = (
    (3.2409699419045226, -1.5373831775700939, -0.4986107602930034),
    (-0.9692436362808796, 1.8759675015077202, 0.0415550574071756),
    (0.0556300796969937, -0.2039769588889765, 1.0569715142428785),
)
_WHITE_D50 = (0.3457 / 0.3585, 1.0, (1.0 - 0.3457 - 0.3585) / 0.3585)


def read(text: str, *, bare: bool = False) -> Rgb | None:
    """A colour: hexadecimal, a name, `rgb()`, `hsl()`, `lab()`, `lch()`, `oklab()` or `oklch()`.

    One that can be seen through is none. `bare` takes three numbers as well, as custom properties hold them for
    `hsl(var(--primary))` and `rgb(var(--primary))`. What sRGB cannot show is cut off at its edge.
    """
    text = text.strip().lower()
    if text.startswith("#"):
        return _of_hex(text)
    if (digits := _NAMES.get(text)) is not None:
        return colours.parse(f"#{digits}")
    if (found := _FUNCTION.fullmatch(text)) is not None:
        return _of_function(found[1], found[2])
    if bare and _BARE_HSL.fullmatch(text):
        return _of_function("hsl", text)
    if bare and _BARE_RGB.fullmatch(text):
        return _of_function("rgb", text)
    return None


def _of_hex(text: str) -> Rgb | None:
    if len(text) in (5, 9):
        short = len(text) == 5
        text, alpha = (text[:-1], text[-1]) if short else (text[:-2], text[-2:])
        if alpha.strip("f"):
            return None
    return colours.parse(text)


def _of_function(name: str, inside: str) -> Rgb | None:
    said, _, alpha = inside.partition("/")
    parts = [_part(word) for word in said.replace(",", " ").split()]
    if alpha or (len(parts) == 4 and name[:3] in ("rgb", "hsl")):
        opacity = _part(alpha.strip()) if alpha else parts.pop()
        if opacity is None or _scaled(opacity, 1.0) < 1:
            return None
    numbers = [part for part in parts if part is not None]
    if len(parts) != 3 or len(numbers) != 3:
        return None
    one, two, three = numbers
    return _READERS[name.rstrip("a") if name[:3] in ("rgb", "hsl") else name](one, two, three)


_Part = tuple[float, str]


def _part(word: str) -> _Part | None:
    """A number and its unit; `none` is nought (CSS Color 4 section 4.4)."""
    if word == "none":
        return 0.0, ""
    found = _NUMBER.fullmatch(word)
    return (float(found[1]), found[2] or "") if found else None


def _scaled(part: _Part, whole: float) -> float:
    """A number, of which 100% is `whole`."""
    return part[0] * whole / 100 if part[1] == "%" else part[0]


def _degrees(part: _Part) -> float:
    return part[0] * _DEGREES.get(part[1], 1.0)


def _of_rgb(red: _Part, green: _Part, blue: _Part) -> Rgb:
    return _bytes(*(_scaled(part, 255.0) / 255 for part in (red, green, blue)))


def _of_hsl(hue: _Part, saturation: _Part, lightness: _Part) -> Rgb:
    share, light = (min(1.0, max(0.0, part[0] / 100)) for part in (saturation, lightness))
    return _bytes(*colorsys.hls_to_rgb(_degrees(hue) % 360 / 360, light, share))


def _of_oklab(lightness: _Part, a: _Part, b: _Part) -> Rgb:
    return _ok(_scaled(lightness, 1.0), _scaled(a, 0.4), _scaled(b, 0.4))


def _of_oklch(lightness: _Part, chroma: _Part, hue: _Part) -> Rgb:
    return _ok(_scaled(lightness, 1.0), *_polar(_scaled(chroma, 0.4), _degrees(hue)))


def _of_lab(lightness: _Part, a: _Part, b: _Part) -> Rgb:
    return _cie(_scaled(lightness, 100.0), _scaled(a, 125.0), _scaled(b, 125.0))


def _of_lch(lightness: _Part, chroma: _Part, hue: _Part) -> Rgb:
    return _cie(_scaled(lightness, 100.0), *_polar(_scaled(chroma, 150.0), _degrees(hue)))


def _polar(chroma: float, degrees: float) -> tuple[float, float]:
    angle = math.radians(degrees % 360)
    return chroma * math.cos(angle), chroma * math.sin(angle)


def _ok(lightness: float, a: float, b: float) -> Rgb:
    """CSS Color 4 section 9.3: by way of the cones' answers, cubed."""
    cones = _times(_LMS, (min(1.0, max(0.0, lightness)), a, b))
    return _bytes(*(_curved(part) for part in _times(_RGB_OF_LMS, tuple(part**3 for part in cones))))


def _cie(lightness: float, a: float, b: float) -> Rgb:
    """CSS Color 4 section 9.1: CIE Lab under D50, moved to the white of sRGB."""
    kappa, epsilon = 24389 / 27, 216 / 24389
    lightness = min(100.0, max(0.0, lightness))
    middle = (lightness + 16) / 116
    first, last = a / 500 + middle, middle - b / 200
    relative = (
        first**3 if first**3 > epsilon else (116 * first - 16) / kappa,
        middle**3 if lightness > kappa * epsilon else lightness / kappa,
        last**3 if last**3 > epsilon else (116 * last - 16) / kappa,
    )
    xyz = _times(_D65_OF_D50, tuple(part * white for part, white in zip(relative, _WHITE_D50, strict=True)))
    return _bytes(*(_curved(part) for part in _times(_RGB_OF_XYZ, xyz)))


def _times(matrix: Matrix, vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)


def _curved(linear: float) -> float:
    """The sRGB transfer curve."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * float(linear ** (1 / 2.4)) - 0.055


def _bytes(*parts: float) -> Rgb:
    red, green, blue = (round(255 * min(1.0, max(0.0, part))) for part in parts)
    return red, green, blue


_READERS: dict[str, Callable[[_Part, _Part, _Part], Rgb]] = {
    "rgb": _of_rgb,
    "hsl": _of_hsl,
    "oklab": _of_oklab,
    "oklch": _of_oklch,
    "lab": _of_lab,
    "lch": _of_lch,
}

_LISTED = """
    aliceblue f0f8ff antiquewhite faebd7 aqua 00ffff aquamarine 7fffd4 azure f0ffff beige f5f5dc bisque ffe4c4
    black 000000 blanchedalmond ffebcd blue 0000ff blueviolet 8a2be2 brown a52a2a burlywood deb887 cadetblue
    5f9ea0 chartreuse 7fff00 chocolate d2691e coral ff7f50 cornflowerblue 6495ed cornsilk fff8dc crimson dc143c
    cyan 00ffff darkblue 00008b darkcyan 008b8b darkgoldenrod b8860b darkgray a9a9a9 darkgreen 006400 darkgrey
    a9a9a9 darkkhaki bdb76b darkmagenta 8b008b darkolivegreen 556b2f darkorange ff8c00 darkorchid 9932cc darkred
    8b0000 darksalmon e9967a darkseagreen 8fbc8f darkslateblue 483d8b darkslategray 2f4f4f darkslategrey 2f4f4f
    darkturquoise 00ced1 darkviolet 9400d3 deeppink ff1493 deepskyblue 00bfff dimgray 696969 dimgrey 696969
    dodgerblue 1e90ff firebrick b22222 floralwhite fffaf0 forestgreen 228b22 fuchsia ff00ff gainsboro dcdcdc
    ghostwhite f8f8ff gold ffd700 goldenrod daa520 gray 808080 green 008000 greenyellow adff2f grey 808080
    honeydew f0fff0 hotpink ff69b4 indianred cd5c5c indigo 4b0082 ivory fffff0 khaki f0e68c lavender e6e6fa
    lavenderblush fff0f5 lawngreen 7cfc00 lemonchiffon fffacd lightblue add8e6 lightcoral f08080 lightcyan
    e0ffff lightgoldenrodyellow fafad2 lightgray d3d3d3 lightgreen 90ee90 lightgrey d3d3d3 lightpink ffb6c1
    lightsalmon ffa07a lightseagreen 20b2aa lightskyblue 87cefa lightslategray 778899 lightslategrey 778899
    lightsteelblue b0c4de lightyellow ffffe0 lime 00ff00 limegreen 32cd32 linen faf0e6 magenta ff00ff maroon
    800000 mediumaquamarine 66cdaa mediumblue 0000cd mediumorchid ba55d3 mediumpurple 9370db mediumseagreen
    3cb371 mediumslateblue 7b68ee mediumspringgreen 00fa9a mediumturquoise 48d1cc mediumvioletred c71585
    midnightblue 191970 mintcream f5fffa mistyrose ffe4e1 moccasin ffe4b5 navajowhite ffdead navy 000080 oldlace
    fdf5e6 olive 808000 olivedrab 6b8e23 orange ffa500 orangered ff4500 orchid da70d6 palegoldenrod eee8aa
    palegreen 98fb98 paleturquoise afeeee palevioletred db7093 papayawhip ffefd5 peachpuff ffdab9 peru cd853f
    pink ffc0cb plum dda0dd powderblue b0e0e6 purple 800080 rebeccapurple 663399 red ff0000 rosybrown bc8f8f
    royalblue 4169e1 saddlebrown 8b4513 salmon fa8072 sandybrown f4a460 seagreen 2e8b57 seashell fff5ee sienna
    a0522d silver c0c0c0 skyblue 87ceeb slateblue 6a5acd slategray 708090 slategrey 708090 snow fffafa
    springgreen 00ff7f steelblue 4682b4 tan d2b48c teal 008080 thistle d8bfd8 tomato ff6347 turquoise 40e0d0
    violet ee82ee wheat f5deb3 white ffffff whitesmoke f5f5f5 yellow ffff00 yellowgreen 9acd32
"""
"""The names and their digits (CSS Color 4 section 6.1)."""
_NAMES = dict(zip(_LISTED.split()[::2], _LISTED.split()[1::2], strict=True))
