"""Every hosted page in Chromium: accessible, whole at 320 px, readable in both schemes and from right to left."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.site import Site
from tests.browser.tour import TOUR, visit

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent.parent.parent / "node_modules" / "axe-core" / "axe.min.js"

MEASURE = """() => ({
  scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  small: [...document.querySelectorAll("a, button, summary, select, textarea, input:not([type=hidden])")]
    .filter((e) => e.checkVisibility() && !e.matches(".skip, .visually-hidden"))
    // A link among words is as high as they are.
    .filter((e) => !e.matches("a:not(.plain)") || !e.closest("p:not(.links, .secondary), .mail, .own-markup")
      || e.closest("p")?.innerText.trim() === e.innerText.trim())
    .map((e) => e.closest("label") ?? e)
    .filter((e) => e.getBoundingClientRect().height < 44)
    .map((e) => e.outerHTML),
  // What is typed runs beneath no button, and has the whole field where there is none.
  covered: [...document.querySelectorAll("input.input")].filter((field) => {
    const style = getComputedStyle(field), box = field.getBoundingClientRect();
    const button = document.querySelector(`[data-reveals="${field.id}"]:not([hidden])`)?.getBoundingClientRect();
    const [left, right] = [parseFloat(style.paddingLeft), parseFloat(style.paddingRight)];
    if (!button) return field.type !== "password" && left + right > 32;
    return button.left < box.right - right && button.right > box.left + left;
  }).map((e) => e.outerHTML),
  // Neither fields nor boxes touch what stands above them.
  glued: [...document.querySelectorAll("main :is(.field, .panel, .note)")].filter((e) => {
    const before = (one) => one.previousElementSibling;
    let above = before(e);
    while (above && (!above.checkVisibility() || above.matches(".visually-hidden"))) above = before(above);
    return above && e.checkVisibility() && e.getBoundingClientRect().top - above.getBoundingClientRect().bottom < 12;
  }).map((e) => e.outerHTML),
  headings: document.querySelectorAll("h1").length,
  foreign: performance.getEntriesByType("resource")
    // Pages of applications load in frames where somebody signs out.
    .filter((e) => e.initiatorType !== "iframe")
    .map((e) => e.name).filter((n) => !n.startsWith(location.origin)),
})"""

ARABIC = re.compile("[\u0621-\u064a]")
BUILT_OF = re.compile(r"""\{%-? *(?:extends|from|import|include) "([^"]+)\"""")
GERMAN_STOPS = ("sign-in-wrong", "consent-sensitive", "account", "first-admin-faults", "expired", "not-found")


@pytest.mark.parametrize("name", list(TOUR))
def test_accessible(browser: Browser, site: Site, name: str) -> None:
    """axe-core finds nothing, at 320 px as at 1280, in light as in dark; nothing scrolls sideways; targets are 44 px;
    nothing is foreign."""
    # The checker is injected past our policy, which would not let it in.
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme="light",
        reduced_motion="reduce",
        bypass_csp=True,
    )
    page = context.new_page()
    try:
        visit(page, site, name)
        _check(page)
        page.emulate_media(color_scheme="dark")
        _check_colours(page)
        page.set_viewport_size({"width": 320, "height": 640})
        _check(page)
        page.emulate_media(color_scheme="light")
        _check_colours(page)
    finally:
        context.close()


@pytest.mark.parametrize("name", list(TOUR))
def test_accessible_in_arabic(browser: Browser, site: Site, name: str) -> None:
    """From right to left, on a phone: nothing scrolls sideways, nothing is left in English but names."""
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, locale="ar", reduced_motion="reduce", bypass_csp=True
    )
    page = context.new_page()
    try:
        visit(page, site, name)
        _check(page)
        frame = page.evaluate("[document.documentElement.lang, getComputedStyle(document.body).direction]")
        assert frame == ["ar", "rtl"]
        assert ARABIC.search(page.inner_text("h1")), page.inner_text("h1")
    finally:
        context.close()


@pytest.mark.afterwards
def test_every_page_is_on_the_tour(browser: Browser, site: Site) -> None:
    """Each template that is a page, or a part a page is made with."""
    folder = Path(__file__).parent.parent.parent / "templates"
    texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}
    used = {name for text in texts.values() for name in BUILT_OF.findall(text)}
    shown = {name for name in texts if name not in used and not name.startswith("mail/")}
    assert len(shown) > 45
    for name in TOUR:
        # Most stops were made by the tests above, where those ran.
        if shown <= site.toured:
            break
        context = browser.new_context()
        try:
            visit(context.new_page(), site, name)
        finally:
            context.close()
    assert shown - site.toured == set()


@pytest.mark.parametrize("name", GERMAN_STOPS)
def test_german_fits(browser: Browser, site: Site, name: str) -> None:
    """The longest words of the languages we have, at 320 px."""
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, locale="de", reduced_motion="reduce", bypass_csp=True
    )
    page = context.new_page()
    try:
        TOUR[name](page, site)
        _check(page)
        assert page.evaluate("document.documentElement.lang") == "de"
    finally:
        context.close()


def _check(page: Page) -> None:
    """Everything axe-core knows, and what it does not measure."""
    page.wait_for_load_state("load")
    found = page.evaluate(MEASURE)
    assert not found["scrolls"], "the page scrolls sideways"
    assert found["small"] == []
    assert found["covered"] == []
    assert found["glued"] == []
    assert found["headings"] == 1
    assert found["foreign"] == []
    _ask_axe(page, {})


def _check_colours(page: Page) -> None:
    """What another colour scheme changes."""
    _ask_axe(page, {"runOnly": ["color-contrast", "link-in-text-block"]})


def _ask_axe(page: Page, options: dict[str, Any]) -> None:
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    result = page.evaluate(
        "async (options) => { const r = await axe.run(options); return [r.violations, r.passes.map(p => p.id)] }",
        {"resultTypes": ["violations"], **options},
    )
    violations, passes = result
    assert "color-contrast" in passes
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in violations] == []


def test_bidirectional_layout(browser: Browser, site: Site) -> None:
    """Logical properties: a right-to-left page mirrors and still fits."""
    context = browser.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    TOUR["consent-sensitive"](page, site)
    page.evaluate("document.documentElement.dir = 'rtl'")
    found = page.evaluate(MEASURE)
    assert not found["scrolls"]
    left = page.evaluate("document.querySelector('.scopes li svg').getBoundingClientRect().left")
    words = page.evaluate("document.querySelector('.scopes li span').getBoundingClientRect().left")
    assert left > words
    context.close()


def test_twice_the_text_size(browser: Browser, site: Site) -> None:
    """200 % zoom is half the width."""
    context = browser.new_context(viewport={"width": 640, "height": 400}, device_scale_factor=2)
    page = context.new_page()
    for name in ("sign-in", "account"):
        TOUR[name](page, site)
        assert not page.evaluate(MEASURE)["scrolls"]
        context.clear_cookies()
    context.close()


def test_stylesheet_is_small() -> None:
    """Under 20 KB, as it is on the wire before compression."""
    static = Path(__file__).parent.parent.parent / "static"
    assert (static / "watchword.css").stat().st_size < 20_480
