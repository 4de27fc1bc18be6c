"""Brands in Chromium: what a first page weighs, and that one tenant's brand is no danger to another tenant."""

from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browser.site import Site
from tests.browser.tour import sign_in
from tests.servers import wait_until

pytestmark = pytest.mark.browser

FIRST_PAGE_BYTES = 60_000


@pytest.mark.parametrize("path", ["/sign-in", "/t/loud/"])
def test_first_page_is_small_and_nobody_elses(page: Page, site: Site, path: str) -> None:
    """Under 60 KB with everything it loads, uncompressed, and every request to our own origin."""
    sizes: dict[str, int] = {}

    def count(request: Request) -> None:
        response = request.response()
        assert response is not None
        sizes[request.url] = len(response.body()) + request.sizes()["responseHeadersSize"]

    page.on("requestfinished", count)
    page.goto(site.base_url + path)
    page.wait_for_load_state("networkidle")
    assert len(sizes) >= 3
    assert all(url.startswith(site.base_url + "/") for url in sizes), sizes
    assert sum(sizes.values()) < FIRST_PAGE_BYTES, sizes


def test_the_brand_is_seen(page: Page, site: Site) -> None:
    page.goto(f"{site.base_url}/t/loud/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome back")
    logo = page.locator(".logo")
    expect(logo).to_be_visible()
    box = logo.bounding_box()
    # Its SVG has a shape and no size.
    assert box is not None
    assert (box["width"], box["height"]) == (180, 48)
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#sign-in')).backgroundColor")
        == "rgb(194, 24, 91)"
    )
    assert page.get_by_role("link", name="Legal notice").is_visible()
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: "logo-dark" in logo.evaluate("e => e.currentSrc"), seconds=5, what="the dark logo")


def test_own_markup_stays_in_its_box(page: Page, site: Site) -> None:
    """The tenant's HTML is there and styled, and lies over nothing of ours."""
    page.goto(f"{site.own_origin}/sign-in")
    banner = page.locator(".x-banner")
    expect(banner).to_contain_text("for employees")
    assert banner.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(27, 94, 32)"
    assert page.evaluate("getComputedStyle(document.querySelector('.own-markup')).contain") == "content"
    for field in ("#username", "#password", "#sign-in"):
        on_top = page.locator(field).evaluate(
            """e => { const box = e.getBoundingClientRect();
            return e.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)) }"""
        )
        assert on_top, field


@pytest.fixture
def worst_case(browser: Browser, site: Site) -> Any:
    """A page of tenant A's own origin where script runs, as if its brand had got some through."""
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"{site.base_url}/account")
    sign_in(page)
    page.wait_for_selector("#sign-out", state="attached")
    page.goto(f"{site.own_origin}/sign-in")
    yield page
    context.close()


def test_nothing_of_tenant_b_is_read_from_tenant_a(worst_case: Page, site: Site) -> None:
    """Contracts 13. Not by fetch, with credentials or without; not in a frame; not from the cookies."""
    read = """async ([url, credentials]) => {
      try { return (await (await fetch(url, {credentials})).text()).length } catch (fault) { return fault.name }
    }"""
    for path in ("/account", "/sign-in", "/brand.css"):
        for credentials in ("include", "omit"):
            found = worst_case.evaluate(read, [site.base_url + path, credentials])
            assert found == "TypeError", (path, credentials)
    assert worst_case.evaluate("document.cookie") == ""
    framed = worst_case.evaluate(
        """url => new Promise(done => {
          const frame = document.createElement("iframe");
          frame.onload = () => { try { done(frame.contentDocument ? frame.contentDocument.body.innerText : "closed") }
            catch (fault) { done("closed") } };
          frame.src = url; document.body.append(frame);
        })""",
        site.base_url + "/account",
    )
    assert "Alice" not in framed


def test_nothing_is_submitted_to_tenant_b_from_tenant_a(
    worst_case: Page, site: Site, context: BrowserContext
) -> None:
    """A form made at A is refused at B, although the browser holds B's session: it is no form of B's pages."""
    answers: list[tuple[str, int]] = []
    worst_case.on(
        "response", lambda r: answers.append((r.url, r.status)) if r.request.method == "POST" else None
    )
    with worst_case.expect_navigation():
        worst_case.evaluate(
            """url => { const form = document.createElement("form"); form.method = "post"; form.action = url;
        form.innerHTML = '<input name="step" value="withdraw"><input name="csrf_token" value="x.y">';
        document.body.append(form); form.submit() }""",
            site.base_url + "/logout",
        )
    worst_case.goto(f"{site.base_url}/account")
    assert worst_case.locator("#password").count() == 0, "still signed in at B"
    assert answers
    page = context.new_page()
    page.goto(f"{site.own_origin}/sign-in")
    # Our policy lets the forms of a page go to its own origin alone.
    with page.expect_console_message(lambda message: "form-action" in message.text):
        page.evaluate(
            """url => { const form = document.createElement("form"); form.method = "post"; form.action = url;
            document.body.append(form); setTimeout(() => form.submit(), 0) }""",
            site.base_url + "/logout",
        )


@pytest.mark.parametrize("scripts", [True, False])
def test_the_language_is_switched(browser: Browser, site: Site, scripts: bool) -> None:
    """By a button at the foot of the page, without a script, and the interaction goes on."""
    context = browser.new_context(java_script_enabled=scripts, locale="en")
    page = context.new_page()
    try:
        page.goto(site.authorize_url("own", scope="openid"))
        page.get_by_role("button", name="العربية").click()
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect(page.get_by_role("heading", level=1)).to_contain_text("تسجيل الدخول")
        page.get_by_role("button", name="Deutsch").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Bei Northwind Mail anmelden")
        sign_in(page)
        page.wait_for_url("**/cb?**")
    finally:
        context.close()
