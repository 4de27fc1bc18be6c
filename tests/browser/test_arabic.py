"""From right to left, with names from left to right in it: what stands below each other begins at one edge."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.second_factor import add_app
from tests.browser.site import Site
from tests.browser.tour import visit

pytestmark = pytest.mark.browser

APART = """() => [...document.querySelectorAll(".rows .what, .rows .small, .facts dd, .panel h2, .person .name, h2")]
  .filter((element) => element.offsetParent && element.innerText.trim())
  .map((element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const ends = [...range.getClientRects()].filter((box) => box.width).map((box) => box.right);
    return [element.innerText, element.getBoundingClientRect().right - Math.max(...ends)];
  })
  .filter(([, pixels]) => pixels > 2)"""
"""Texts that begin elsewhere than at the right edge of their box."""


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A telephone that speaks Arabic."""
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, locale="ar", reduced_motion="reduce", accept_downloads=True
    )
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    "name",
    ["start", "account", "account-applications", "account-sessions", "account-factors", "account-passkeys"],
)
def test_names_begin_where_the_other_lines_do(tab: Page, site: Site, name: str) -> None:
    visit(tab, site, name)
    assert tab.evaluate("document.documentElement.dir") == "rtl"
    assert tab.evaluate(APART) == []


def test_dates_have_arabic_commas(tab: Page, site: Site) -> None:
    visit(tab, site, "account-sessions")
    said = tab.locator(".rows time").first.inner_text()
    assert "،" in said
    assert "," not in said


def test_an_app_without_a_name_is_called_in_the_language_of_whoever_looks(tab: Page, site: Site) -> None:
    tab.goto(site.admin_link())
    tab.fill("#username", "unnamed")
    tab.fill("#password", "a long sentence nobody says")
    tab.click("#continue")
    add_app(tab)
    tab.goto(f"{site.base_url}/account/factors")
    name = tab.locator("#yours + .rows .what")
    expect(name).to_have_text("تطبيق المصادقة")
    tab.locator("button[lang=en]").first.click()
    expect(name).to_have_text("Authenticator app")
