"""What a brand may be: colours that can be read, pictures that do nothing, markup that stays in its place."""

import base64
import io
import struct
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from app.domain import branding, colours, custom_markup, pictures
from app.domain.branding import BrandingSettings
from app.kernel.errors import Problem

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" fill="#123456"/></svg>'


def png(width: int = 8, height: int = 8) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", width, height) + b"\x08\x03\x00\x00\x00"
    )


def jpeg(width: int = 8, height: int = 8) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (width, height)).save(written, "JPEG", progressive=width == 8)
    return written.getvalue()


def fault_of(**said: Any) -> str:
    with pytest.raises(ValidationError) as found:
        BrandingSettings.model_validate(said)
    return str(found.value)


class TestColours:
    @pytest.mark.parametrize(
        ("one", "other", "ratio"),
        [
            ("#000", "#fff", 21.0),
            ("#777777", "#ffffff", 4.48),
            ("#fff", "#fff", 1.0),
        ],
    )
    def test_contrast(self, one: str, other: str, ratio: float) -> None:
        """WCAG 2.2, "contrast ratio"."""
        a, b = colours.parse(one), colours.parse(other)
        assert a is not None
        assert b is not None
        assert colours.contrast(a, b) == pytest.approx(ratio, abs=0.05)

    def test_unreadable_is_refused_with_the_number_and_a_better_one(self) -> None:
        said = fault_of(colours={"brand": "#ffcc00"})
        assert "1.36:1" in said
        assert "4.5:1" in said
        better = said.partition("; ")[2][:7]
        assert BrandingSettings.model_validate({"colours": {"brand": better}}).colours.brand == better

    def test_on_dark_ground_as_well(self) -> None:
        assert "brand_dark" in fault_of(colours={"brand_dark": "#102030"})

    @pytest.mark.parametrize("brand", ["#0b5c62", "#7a1fa2", "#b00020", "#000000", "#00f", "#1a7f37"])
    def test_every_pair_made_of_a_brand_can_be_read(self, brand: str) -> None:
        """Links and buttons, resting and hovered over, on every ground they stand on."""
        colour = colours.parse(brand)
        assert colour is not None
        dark = colours.readable(colour, branding.DARK_GROUNDS, branding.WHITE)
        for made, grounds in (
            (branding.palette(colour, dark=False), branding.LIGHT_GROUNDS),
            (branding.palette(dark, dark=True), branding.DARK_GROUNDS),
        ):
            read = {name: colours.parse(value) for name, value in made.items()}
            own, strong = read["--brand"], read["--brand-strong"]
            on, tint = read["--brand-contrast"], read["--brand-tint"]
            assert own
            assert strong
            assert on
            assert tint
            assert colours.least_contrast(own, (*grounds, on, tint)) >= 4.5
            assert colours.contrast(strong, on) >= 4.5

    @pytest.mark.parametrize("text", ["red", "#12", "#12345g", "rgb(0,0,0)", "url(x)", "#fff;}body{"])
    def test_only_hexadecimal(self, text: str) -> None:
        assert "a colour such as" in fault_of(colours={"brand": text})


@pytest.mark.parametrize(
    ("picture", "proportion"),
    [
        (png(30, 10), 3.0),
        (jpeg(40, 10), 4.0),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 90 30"/>', 3.0),
        (b'<svg xmlns="http://www.w3.org/2000/svg" height="20" width="50px"/>', 2.5),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="100%"/>', 1.0),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1.1.1 ."/>', 1.0),
        (b"\x00\x00\x01\x00" + b"\x00" * 20, 1.0),
    ],
)
def test_how_wide_a_picture_is(picture: bytes, proportion: float) -> None:
    assert pictures.proportion(pictures.check(picture)) == proportion


class TestWords:
    def test_those_of_the_sign_in_page_stand_first(self) -> None:
        said = BrandingSettings.model_validate(
            {
                "texts": {
                    "title": {"en": "Hello"},
                    "intro": {"de": "Servus"},
                    "registration": {"title": {"en": "Join"}},
                }
            }
        )
        assert (said.texts.title, said.texts.intro) == ({"en": "Hello"}, {"de": "Servus"})
        assert said.texts.registration.title == {"en": "Join"}

    @pytest.mark.parametrize(
        "texts",
        [
            {"registration": {"title": {"en": "x" * 301}}},
            {"error": {"intro": {"en": "two\nlines"}}},
            {"consent": {"title": {"en": "Allow everything"}}},
            {"factor": {"title": {"en": "Nothing to see"}}},
            {"mail": {"greeting": {"en": "Hello\r\nBcc: eve@example.com"}}},
            {"mail": {"greeting": {"<b>": "Hello"}}},
            {"elsewhere": {"intro": {"en": "x"}}},
        ],
    )
    def test_refused(self, texts: dict[str, Any]) -> None:
        """Lines of plain text, of which the headings that say who wants what are none."""
        assert "texts." in fault_of(texts=texts)

    @pytest.mark.parametrize(
        "mail",
        [
            {"from_name": "Acme\r\nBcc: eve@example.com"},
            {"from_name": ""},
            {"from_name": "x" * 81},
            {"reply_to": "nobody"},
            {"reply_to": "a@example.com\r\nBcc: eve@example.com"},
            {"reply_to": "a@example.com, b@example.com"},
            {"reply_to": "Eve <eve@example.com>"},
            {"reply_to": "ö@example.com"},
            {"from": "eve@example.com"},
        ],
    )
    def test_no_header_of_ones_own(self, mail: dict[str, Any]) -> None:
        assert "mail." in fault_of(mail=mail)


class TestPictures:
    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (png(), "image/png"),
            (SVG.encode(), "image/svg+xml"),
            (b"\x00\x00\x01\x00" + b"\x00" * 20, "image/x-icon"),
            (jpeg(), "image/jpeg"),
            (
                b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x0a\x00\x00\x00" + b"\x00" * 4 + b"\x07\x00\x00" * 2,
                "image/webp",
            ),
        ],
    )
    def test_known_kinds(self, content: bytes, kind: str) -> None:
        assert pictures.check(content).content_type == kind
        data = f"data:text/html;base64,{base64.b64encode(content).decode()}"
        assert pictures.read(data).content_type == kind, "what it is called counts for nothing"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"GIF89a", "neither"),
            (b"<html><script>alert(1)</script></html>", "no SVG"),
            (png(4000, 10), "pixels"),
            (png(0, 10), "pixels"),
            (jpeg(2049, 10), "pixels"),
            (jpeg()[:12], "ends early"),
            (b"\xff\xd8\xff" + b"\xff" * 5000, "ends early"),
            (png() + b"x" * 102_400, "bytes"),
            (b"\x89PNG\r\n\x1a\n", "neither"),
        ],
    )
    def test_refused(self, content: bytes, why: str) -> None:
        with pytest.raises(Problem, match=why):
            pictures.check(content)

    @pytest.mark.parametrize(
        "inner",
        [
            "<script>alert(1)</script>",
            '<rect onload="alert(1)"/>',
            '<a href="https://evil.example"><rect/></a>',
            '<image href="https://evil.example/x.png"/>',
            '<use href="https://evil.example/x.svg#a"/>',
            "<foreignObject><body/></foreignObject>",
            '<animate attributeName="href" to="javascript:alert(1)"/>',
            '<set attributeName="onload" to="alert(1)"/>',
            '<rect fill="url(https://evil.example/x)"/>',
            '<rect style="background:url(//evil.example)"/>',
            "<style>@import 'https://evil.example/x.css';</style>",
            "<style>rect { fill: url( 'https://evil.example' ) }</style>",
            "<style>r\\65ct{}</style>",
            '<h:script xmlns:h="http://www.w3.org/1999/xhtml">1</h:script>',
            '<metadata><h:script xmlns:h="http://www.w3.org/1999/xhtml">1</h:script></metadata>',
            '<metadata><a:note xmlns:a="https://example.com/ours">1</a:note></metadata>',
            '<x:script xmlns:x="http://www.w3.org/1999/xhtml/sodipodi">1</x:script>',
            '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>',
            "<rect",
        ],
    )
    def test_what_acts_in_an_svg_is_refused(self, inner: str) -> None:
        with pytest.raises(Problem):
            pictures.check(f'<svg xmlns="http://www.w3.org/2000/svg">{inner}</svg>'.encode())

    def test_what_drawing_programs_write_is_fine(self) -> None:
        """Who made it and under which licence, and what the program keeps for itself."""
        text = SVG.replace(
            "<rect",
            '<s:namedview xmlns:s="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" id="n">'
            '<i:grid xmlns:i="http://www.inkscape.org/namespaces/inkscape" id="g"/></s:namedview>'
            '<metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<c:Work xmlns:c="http://creativecommons.org/ns#" r:about="">'
            '<d:title xmlns:d="http://purl.org/dc/elements/1.1/">A logo</d:title></c:Work></r:RDF></metadata><rect',
        )
        assert pictures.check(text.encode()).content_type == "image/svg+xml"

    def test_entities_are_refused(self) -> None:
        """A billion laughs, and files of the server."""
        text = '<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b SYSTEM "file:///etc/passwd">]>' + SVG
        with pytest.raises(Problem, match="document type"):
            pictures.check(text.encode())

    def test_gradients_and_styles_of_its_own_are_fine(self) -> None:
        text = SVG.replace(
            "<rect",
            '<defs><linearGradient id="g"><stop stop-color="#fff"/></linearGradient></defs>'
            '<style>.a{fill:url(#g)}</style><circle class="a" r="2" style="fill:#000"/><rect',
        )
        assert pictures.check(text.encode()).content_type == "image/svg+xml"


class TestMarkup:
    @pytest.mark.parametrize(
        "text",
        [
            "{{ 7 * 7 }}",
            "{{ tenant.__class__ }}",
            "{{ tenant['x'] }}",
            "{{ ''.join(tenant) }}",
            "{{ tenant|upper }}",
            "{% for i in tenant %}x{% endfor %}",
            "{% set x = 1 %}",
            "{% include 'base.html' %}",
            "{% import 'macros.html' as m %}",
            "{{ config }}",
            "{{ self }}",
            "{{ lipsum() }}",
            "{% raw %}{{",
            "{{ tenant",
        ],
    )
    def test_templates_name_three_things_and_do_nothing(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"line|is not|there is no"):
            custom_markup.checked_html(text)

    @pytest.mark.parametrize(
        "text",
        [
            "<script>alert(1)</script>",
            "<p onclick='x'>",
            "<form action='https://evil.example'>",
            "<input name='password'>",
            "<button>",
            "<iframe src='https://evil.example'>",
            "<meta http-equiv='refresh' content='0;url=https://evil.example'>",
            "<base href='https://evil.example'>",
            "<link rel='stylesheet' href='https://evil.example'>",
            "<style>body{}</style>",
            "<a href='javascript:alert(1)'>x</a>",
            "<a href='java\nscript:alert(1)'>x</a>",
            "<a href='http://evil.example'>x</a>",
            "<a href='https://good.example@evil.example'>x</a>",
            "<img src='https://evil.example/pixel.png'>",
            "<img src='//evil.example/pixel.png'>",
            "<img src='/brand/logo?x=1'>",
            "<p id='sign-in'>x</p>",
            "<p style='position:fixed'>x</p>",
            "<p class='card'>x</p>",
            "<svg><a xlink:href='x'/></svg>",
            "<!DOCTYPE html>",
            "<math>",
            "<a " * 3000,
            "<!--" * 2000,
            "<p title='x",
            "</p",
        ],
    )
    def test_elements_and_attributes_beyond_the_list_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not let through"):
            custom_markup.checked_html(text)

    def test_what_is_rendered_is_written_anew(self) -> None:
        """Even had it got past the check: values are escaped, what is open is closed, what is not ours is gone."""
        values = {"tenant": "<script>x</script>\"'", "language": "en", "direction": "ltr"}
        text = '<p class="x-a card" onclick="x">{{ tenant }}</div></main><b>open<script>1</script><!-- c -->'
        said = custom_markup.render(text, values)
        assert said.startswith('<p class="x-a">&lt;script&gt;x&lt;/script&gt;')
        assert said.endswith("<b>open</b></p>")
        assert "<script" not in said
        assert "</div>" not in said
        assert "onclick" not in said
        assert custom_markup.render("<b>x</b> &lt;<p <p", values) == "<b>x</b> &lt;&lt;p &lt;p"

    def test_what_is_rendered_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every page has it. To read an unfinished tag again from each of its beginnings took a second."""
        written: list[str] = []
        rebuild = custom_markup._sanitised
        monkeypatch.setattr(
            custom_markup, "_sanitised", lambda text, **how: written.append(text) or rebuild(text, **how)
        )
        values = {"tenant": "T", "language": "en", "direction": "ltr"}
        assert {custom_markup.render("<p>kept</p>{{ tenant }}", values) for _ in range(3)} == {"<p>kept</p>T"}
        custom_markup.render("<p>kept</p>{{ tenant }}", {**values, "tenant": "U"})
        assert written == ["<p>kept</p>T", "<p>kept</p>U"]

    def test_languages(self) -> None:
        text = custom_markup.checked_html(
            '{% if language == "de" %}<b>Hallo</b>{% else %}<i>Hi</i>{% endif %}'
        )
        values = {"tenant": "T", "language": "de", "direction": "ltr"}
        assert custom_markup.render(text, values) == "<b>Hallo</b>"
        assert custom_markup.render(text, {**values, "language": "ar"}) == "<i>Hi</i>"


class TestStylesheet:
    @pytest.mark.parametrize(
        "text",
        [
            "@import 'https://evil.example/x.css';",
            "@font-face { font-family: x; src: url(https://evil.example) }",
            "@media screen { .x-a { color: red } }",
            "@supports (a: b) { .x-a { color: red } }",
            "input[value^='a'] { background: url(https://evil.example/a) }",
            ".x-a [name=csrf_token] { color: red }",
            ".x-a { background: url(/brand/logo) }",
            ".x-a { background: URL( 'x' ) }",
            ".x-a { background: image-set('x' 1x) }",
            ".x-a { background: u\\72l(x) }",
            ".x-a { position: absolute }",
            ".x-a { display: none }",
            ".x-a { margin: -40rem }",
            ".x-a { margin-block-end: calc(0px - 40rem) }",
            ".x-a { transform: scale(9) }",
            ".x-a { opacity: 0 }",
            ".x-a { content: 'x' }",
            ".x-a { box-shadow: 0 0 0 9999px red }",
            ".card { display: none }",
            ".card { background: #fff; color: #fff }",
            ".scopes { padding: 0 }",
            "#allow { padding: 0 }",
            "form { padding: 0 }",
            "* { padding: 0 }",
            ":root { --brand: #fff }",
            ".x-a:has(input) { color: red }",
            ".x-a ~ .card { color: red }",
            ".x-a + .card { padding: 0 }",
            ".x-a { color: red } </style><script>",
            ".x-a { color: red",
            "}",
            ".x-a { padding: 100000px }",
            ".x-a { padding: 1e6px }",
            ".x-a { margin: 5%-900px }",
            ".x-a { margin: 1px-900px }",
            ".x-a { margin: (1px) }",
            ".x-a { color: rgb(0, 0, 0 }",
            ".x-a { color: rgb(0, 0, 0)) }",
            ".x-a { color: a1rgb(0, 0, 0) }",
            ".x-a { font-family: \"one' }",
            '.x-a { font-family: "one"two }',
            ".x-a { font-family: 'a;b' }",
            ".x-a { color: #12 }",
            '.card { font-family: " } .x-a { font-family: " }',
            ".card { font-family: rgb( } .x-a { font-family: ) }",
            ".x-a { color: red } /* not closed",
            "@media\u2028print { .x-a { color: red } }",
        ],
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="css:"):
            custom_markup.stylesheet(text)

    def test_own_elements_and_the_frame(self) -> None:
        text = """/* ours */ .x-top, p.x-top > b:hover { color: #fff; background: linear-gradient(#000, #222) }
        .card { border-radius: 0 } @media (prefers-color-scheme: dark) { .x-top { color: #999999 } .x-a
        { font-family: "Own Font", 'x', serif; margin: .5rem 0.25em/* */12%; color: rgb(0 0 0/50%) } }"""
        assert custom_markup.stylesheet(text).splitlines() == [
            ".x-top, p.x-top > b:hover { color: #fff; background: linear-gradient(#000, #222); }",
            ".card { border-radius: 0; }",
            "@media (prefers-color-scheme: dark) {",
            ".x-top { color: #999999; }",
            ".x-a { font-family: \"Own Font\", 'x', serif; margin: .5rem 0.25em 12%; color: rgb(0 0 0/50%); }",
            "}",
        ]

    def test_what_is_refused_by_now_is_left_out_where_it_was_accepted_once(self) -> None:
        """One tenant's old stylesheet keeps nobody from their pages."""
        text = ".card { font-family: ' }"
        said = {"css": text, "header_html": "<p>x</p><a"}
        with pytest.raises(ValidationError):
            BrandingSettings.model_validate(said)
        kept = BrandingSettings.model_validate(said, context=branding.KEPT)
        assert (kept.css, kept.header_html) == (None, "<p>x</p><a")


def test_the_stylesheet_of_a_brand() -> None:
    said = BrandingSettings.model_validate(
        {"colours": {"brand": "#7A1FA2"}, "radius": 2, "font": "serif", "css": ".x-a { color: #000 }"}
    )
    text = branding.stylesheet(said, with_custom=False)
    assert "--brand: #7a1fa2;" in text
    assert "--radius: 2px;" in text
    assert "--font: " in text
    assert "@media screen and (prefers-color-scheme: dark) {" in text, "paper is light"
    assert "x-a" not in text
    assert ".x-a { color: #000; }" in branding.stylesheet(said, with_custom=True)
    assert branding.stylesheet(BrandingSettings(), with_custom=True) == ""


@pytest.mark.parametrize(
    "said",
    [
        {"links": [{"text": {"en": "x"}, "uri": "javascript:alert(1)"}]},
        {"legal": {"privacy": "http://example.com"}},
        {"font": "https://evil.example/font.woff2"},
        {"radius": "4px; } body { display: none"},
        {"name": "two\nlines"},
        {"texts": {"title": {"not a tag!": "x"}}},
    ],
)
def test_settings_that_are_refused(said: dict[str, Any]) -> None:
    fault_of(**said)
