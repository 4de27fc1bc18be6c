"""What pages do with long names, little room, paper and clocks elsewhere."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.site import PASSWORD, Site
from tests.browser.tour import visit

pytestmark = pytest.mark.browser

LONG = "Donaudampfschifffahrtsgesellschaftskapitänswitwenverein"
SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A small telephone, unless something else is said."""
    contexts: list[BrowserContext] = []

    def open_one(**other: object) -> Page:
        said = {"viewport": {"width": 320, "height": 640}, "reduced_motion": "reduce", **other}
        contexts.append(browser.new_context(**said))
        contexts[-1].set_default_timeout(20_000)
        return contexts[-1].new_page()

    yield open_one
    for context in contexts:
        context.close()


def top(page: Page, selector: str) -> float:
    """Where something begins."""
    found: float = page.locator(selector).evaluate("e => e.getBoundingClientRect().top")
    return found


@pytest.mark.parametrize("stop", ["expired", "not-allowed", "consent"])
def test_a_long_name_stays_in_the_card(open_tab: Callable[..., Page], site: Site, stop: str) -> None:
    page = open_tab()
    visit(page, site, stop)
    page.evaluate(
        "name => document.querySelectorAll('.card bdi').forEach(e => { e.textContent = name })", LONG
    )
    assert not page.evaluate(SCROLLS)


def test_a_name_is_a_word_among_the_words_of_a_button(open_tab: Callable[..., Page], site: Site) -> None:
    """As wide as the same words without it: no gap of a layout's stands between them."""
    page = open_tab()
    visit(page, site, "expired")
    widths = page.evaluate(
        """() => { const button = document.querySelector("#continue"), range = document.createRange();
        const width = () => { range.selectNodeContents(button); return range.getBoundingClientRect().width };
        const named = width(); button.textContent = button.textContent; return [named, width()] }"""
    )
    assert abs(widths[0] - widths[1]) < 1


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_shown_password_can_be_read(open_tab: Callable[..., Page], site: Site, language: str) -> None:
    """It ends before the button, in Arabic as in English."""
    page = open_tab(locale=language)
    page.goto(site.base_url)
    page.fill("#password", PASSWORD)
    page.click(".reveal")
    button, field = page.locator(".reveal").bounding_box(), page.locator("#password").bounding_box()
    assert button is not None
    assert field is not None
    padding = page.eval_on_selector("#password", "e => parseFloat(getComputedStyle(e).paddingRight)")
    assert page.eval_on_selector("#password", "e => getComputedStyle(e).direction") == "ltr"
    assert field["x"] + field["width"] - padding <= button["x"]


@pytest.mark.parametrize("width", [320, 1280])
def test_the_console_begins_near_the_top(open_tab: Callable[..., Page], site: Site, width: int) -> None:
    """One row for whose place and account it is, and on phones one for its pages, however long the names."""
    page = open_tab(viewport={"width": width, "height": 640})
    visit(page, site, "account-security")
    page.evaluate("name => { document.querySelector('summary .name bdi').textContent = name }", LONG)
    assert not page.evaluate(SCROLLS)
    assert page.locator(".bar").evaluate("e => e.clientHeight") <= 48
    assert top(page, "h1") < 160
    # This page is in view on the rail.
    page.reload()
    box = page.locator(".rail [aria-current]").bounding_box()
    assert box is not None
    assert 0 <= box["x"] < box["x"] + box["width"] <= width


def test_pages_below_others_lead_back(open_tab: Callable[..., Page], site: Site) -> None:
    page = open_tab()
    visit(page, site, "account-email")
    expect(page.locator(".rail [aria-current=true]")).to_have_text("Sign-in and security")
    page.click("#back")
    expect(page.locator(".rail [aria-current=page]")).to_have_text("Sign-in and security")
    expect(page.locator("#back")).to_have_count(0)


def test_the_menu_of_accounts_closes_as_menus_do(open_tab: Callable[..., Page], site: Site) -> None:
    page = open_tab()
    visit(page, site, "account")
    menu, button = page.locator("#sign-out"), page.locator("#accounts")
    button.click()
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    page.mouse.click(10, 600)
    expect(menu).to_be_hidden()


def test_instants_are_those_of_the_clock_on_the_wall(open_tab: Callable[..., Page], site: Site) -> None:
    """Kathmandu is 5:45 ahead, so nothing else can be meant; the words in UTC are there on hover."""
    page = open_tab(timezone_id="Asia/Kathmandu", locale="de")
    visit(page, site, "account")
    time = page.locator("main time").first
    instant = datetime.fromisoformat(time.get_attribute("datetime") or "")
    local = instant + timedelta(hours=5, minutes=45)
    expect(time).to_contain_text(f"{local.hour}:{local:%M}")
    assert "UTC" in (time.get_attribute("title") or "")
    without = open_tab(timezone_id="Asia/Kathmandu", java_script_enabled=False)
    visit(without, site, "account")
    expect(without.locator("main time").first).to_contain_text("UTC")


def test_recovery_codes_are_copied_and_printed(open_tab: Callable[..., Page], site: Site) -> None:
    """On paper: whose they are and where, in ink, without what can be pressed."""
    page = open_tab(permissions=["clipboard-read", "clipboard-write"], color_scheme="dark")
    visit(page, site, "recovery-codes")
    codes = page.locator(".codes li").all_inner_texts()
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").split() == codes
    expect(page.get_by_text(site.base_url)).to_be_hidden()
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.get_by_text(site.base_url)).to_be_visible()
    expect(page.locator("#print")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 35)"


def test_a_form_that_was_sent_says_so(open_tab: Callable[..., Page], site: Site) -> None:
    page = open_tab()
    page.goto(site.base_url)
    page.fill("#username", "alice")
    page.fill("#password", PASSWORD)
    pressed = """() => { const button = document.querySelector("#sign-in"); button.click();
      return button.getAttribute("aria-busy") }"""
    assert page.evaluate(pressed) == "true"


def test_too_many_attempts_blame_no_field(open_tab: Callable[..., Page], site: Site) -> None:
    page = open_tab()
    visit(page, site, "sign-in-wrong")
    expect(page.locator("[aria-invalid]")).to_have_count(2)
    visit(page, site, "sign-in-too-many")
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    assert page.locator("#password[aria-describedby=sign-in-fault]").count() == 1


def test_the_page_one_is_on_is_marked_without_colours(open_tab: Callable[..., Page], site: Site) -> None:
    page = open_tab(forced_colors="active")
    visit(page, site, "account")
    sign = "e => getComputedStyle(e).borderInlineStartWidth"
    assert page.locator(".rail [aria-current]").evaluate(sign) == "4px"
    assert page.locator(".rail a:not([aria-current])").first.evaluate(sign) == "0px"
