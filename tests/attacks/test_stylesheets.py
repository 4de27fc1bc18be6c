"""Own stylesheets as a browser reads them: nothing accepted reaches further than the server meant it to."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from app.domain import custom_markup

SERVERS = {"body", ".card", ".tenant", ".button", ".input", "h1", "h2"}
LOOKS = re.compile(
    r"(border-.*(radius|width|style)|font-(family|weight|style)|letter-spacing|text-align|padding-.*)"
)
"""What may be changed of the server's own elements, as Chromium spells shorthands out."""
HIDING = re.compile(
    r"position|inset.*|z-index|opacity|visibility|transform|content|clip.*|float|top|left|filter"
)

WORDS = [
    "red",
    "#fff",
    "#1e1e1e",
    "1px",
    "900rem",
    ".5em",
    "12%",
    "0",
    "serif",
    "flex",
    "var(--brand)",
    "rgb(1 2 3/4%)",
]
BROKEN = [
    '"',
    "'",
    "(",
    ")",
    "rgb(",
    "url(",
    "[",
    "]",
    "{",
    "}",
    ";",
    ":",
    "\\",
    "\n",
    "\f",
    "\u2028",
    "/*",
    "*/",
    "<!--",
    "-->",
    "!important",
    "--",
    "-1px",
    "5%-1px",
    "1e6px",
    "1e",
    "@",
    '"a"',
    "'b c'",
    '";"',
    '"\'"',
    ",",
    "/",
    "#",
    " ",
    "a",
]
NAMES = [
    "font-family",
    "padding",
    "letter-spacing",
    "color",
    "margin",
    "font-size",
    "display",
    "background",
    "position",
]
SELECTORS = [
    ".card",
    ".button",
    "body",
    ".x-a",
    "p.x-b",
    ".x-a > b",
    ".card, .x-a",
    ".x-a:hover",
    "> .x-a",
    "input",
]
VALUES = st.lists(st.sampled_from(WORDS + BROKEN), min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from([" ".join(parts), "".join(parts)])
)
DECLARATIONS = st.tuples(st.sampled_from(NAMES), VALUES).map(lambda pair: f"{pair[0]}: {pair[1]}")
RULES = st.tuples(st.sampled_from(SELECTORS), st.lists(DECLARATIONS, max_size=3)).map(
    lambda rule: f"{rule[0]} {{ {'; '.join(rule[1])} }}"
)
SHEETS = st.tuples(
    st.sampled_from(["", "@media print", "@media (min-width: 0em)"]), st.lists(RULES, max_size=4)
).map(lambda sheet: f"{sheet[0]} {{ {' '.join(sheet[1])} }}" if sheet[0] else " ".join(sheet[1]))
READ = """css => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  const read = rules => [...rules].flatMap(rule => rule.cssRules && !rule.selectorText
    ? [[rule.conditionText ?? rule.cssText, [], ""], ...read(rule.cssRules)]
    : [[rule.selectorText ?? rule.cssText, [...(rule.style ?? [])], rule.cssText]]);
  return read(sheet.cssRules);
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    found = browser.new_page()
    yield found
    found.close()


@given(SHEETS)
@settings(max_examples=400)
@example('.card { font-family: " } .x-b { font-family: "; font-size: 0 }')
@example('@media print { .card { font-family: "; } .x-b { font-family: " ; font-size: 0; margin: 900rem; } }')
@example(
    "@media print { .card { font-family: rgb( } .x-b { font-family: ); font-size: 0 } .x-a { color: red } }"
)
@example(
    "@media print { .card { padding: 1px } .x-b { color: red; margin: 1px } } .x-a > b { font-family: 'x' }"
)
def test_a_browser_reads_what_was_let_through(page: Page, text: str) -> None:
    """Written anew, a stylesheet has the rules it seems to have, whatever was accepted in it: none swallows another,
    and what stands in a rule for the server's own elements is what may stand there."""
    try:
        written = custom_markup.stylesheet(text)
    except ValueError:
        return
    seems = [line.partition(" {")[0].removeprefix("@media ") for line in written.splitlines() if line != "}"]
    found = page.evaluate(READ, written)
    assert [selector for selector, _, _ in found] == seems
    for selector, properties, whole in found:
        assert "url(" not in whole
        if SERVERS & set(selector.split(", ")):
            assert all(LOOKS.fullmatch(each) for each in properties), whole
        assert not any(HIDING.fullmatch(each) for each in properties), whole
        assert not re.search(r": [^\"']*(?<![A-Za-z0-9-])-[0-9.]", whole), whole


def test_a_rule_reaches_no_other_in_the_page(page: Page) -> None:
    """What took the words of the consent page away: a string that began in one rule and ended in another."""
    text = """@media (min-width: 0em) { .card { font-family: "; } .x-b { font-family: " ; color: #fffefb;
      font-size: 0; margin-block-start: 900rem; } }"""
    with pytest.raises(ValueError, match="css: the value"):
        custom_markup.stylesheet(text)
    harmless = custom_markup.stylesheet(text.replace('"', "serif"))
    page.set_content(f"<style>{harmless}</style><main class=card>Allow this</main>")
    look = "(() => { const c = getComputedStyle(document.querySelector('.card')); return [c.fontSize, c.marginTop] })()"
    assert page.evaluate(look) == ["16px", "0px"]
