"""The hosted pages at work in Chromium, with scripts and without."""

import re
from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.second_factor import add_app
from tests.browser.site import PASSWORD, Site
from tests.browser.tour import sign_in

pytestmark = pytest.mark.browser


@pytest.fixture(params=["with scripts", "without scripts"])
def tab(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Page]:
    """A tab that complains about everything the policy blocked."""
    context = browser.new_context(java_script_enabled=request.param == "with scripts")
    context.set_default_timeout(10_000)
    page = context.new_page()
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        told = message.text + message.location["url"]  # a resource's address is only in the latter
        if message.type == "error" and "favicon" not in told and "status of" not in told:
            complaints.append(message.text)

    page.on("console", listen)
    site.received.clear()
    yield page
    context.close()
    assert complaints == []


def withdraw_everything(site: Site, username: str) -> None:
    """As if nothing was allowed yet."""
    from app.domain import consents, users

    services = site.services
    with services.tenancy.session(site.demo.tenant.id, write=True) as session:
        user = users.find_by_login(session, username)
        assert user is not None
        for consent in consents.of_user(session, user.id):
            consents.withdraw(session, consent.id, user_id=user.id, log=services.revocations)


def test_sign_in_allow_and_arrive(tab: Page, site: Site) -> None:
    """The whole way; after a form Chromium lets the page go on to the application (contracts 14)."""
    withdraw_everything(site, "bob")
    tab.goto(site.authorize_url())
    sign_in(tab, "bob", "not it")
    expect(tab.get_by_role("alert")).to_contain_text("Wrong username or password")
    sign_in(tab, "bob")
    expect(tab.get_by_role("heading")).to_contain_text(["Example Docs wants access"])
    tab.click("#allow")
    tab.wait_for_selector("#arrived")
    (method, parameters) = site.received[-1]
    assert method == "GET"
    assert set(parameters) == {"code", "state", "iss"}
    assert parameters["state"] == "st&<\"'>ä"
    assert parameters["iss"] == site.base_url


def test_cancel_arrives_as_access_denied(tab: Page, site: Site) -> None:
    withdraw_everything(site, "bob")
    tab.goto(site.authorize_url())
    sign_in(tab, "bob")
    tab.click("#deny")
    tab.wait_for_selector("#arrived")
    assert site.received[-1][1]["error"] == "access_denied"


def test_form_post(tab: Page, site: Site) -> None:
    """The answer is posted; with scripts by itself, without them by the button."""
    withdraw_everything(site, "bob")
    tab.goto(site.authorize_url(response_mode="form_post"))
    sign_in(tab, "bob")
    tab.click("#allow")
    _press_continue(tab)
    tab.wait_for_selector("#arrived")
    (method, parameters) = site.received[-1]
    assert method == "POST"
    assert set(parameters) == {"code", "state", "iss"}
    assert parameters["state"] == "st&<\"'>ä"


def test_posted_request(tab: Page, site: Site) -> None:
    """Another site posts the request; the session's cookie counts all the same."""
    tab.goto(site.authorize_url("own"))
    sign_in(tab, "carol")
    tab.wait_for_selector("#arrived")
    url, _, query = site.authorize_url("own").partition("?")
    fields = "".join(
        f'<input type="hidden" name="{pair.partition("=")[0]}" value="{_unquoted(pair.partition("=")[2])}">'
        for pair in query.split("&")
    )
    tab.set_content(f'<form method="post" action="{url}">{fields}<button id="go">Go</button></form>')
    received = len(site.received)
    tab.click("#go")
    tab.wait_for_selector("#arrived")
    assert "code" in site.received[received][1]


def test_start_account_and_sign_out(tab: Page, site: Site) -> None:
    tab.goto(site.base_url)
    sign_in(tab, "carol")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Carol Chen")
    tab.get_by_role("link", name="Your account", exact=True).click()
    expect(tab.get_by_role("main").get_by_text("carol@example.com")).to_be_visible()
    tab.click("#accounts")
    tab.click("#sign-out")
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed out")
    tab.goto(f"{site.base_url}/account")
    expect(tab.locator("#sign-in")).to_be_visible()


def test_rp_initiated_logout_after_confirming(tab: Page, site: Site) -> None:
    """The answer after the form goes on to the application by itself."""
    tab.goto(site.base_url)
    sign_in(tab, "carol")
    tab.goto(f"{site.base_url}/logout?client_id=docs&state=s1&post_logout_redirect_uri={site.demo.callback}")
    tab.click("#confirm-logout")
    tab.wait_for_selector("#arrived")
    assert site.received[-1][1] == {"state": "s1"}


def test_take_access_back(tab: Page, site: Site) -> None:
    site.allow_everything("carol")
    tab.goto(f"{site.base_url}/account/applications")
    sign_in(tab, "carol")
    buttons = tab.get_by_role("button", name=re.compile("Remove access"))
    # A page on its way has no button to count.
    buttons.first.wait_for()
    before = buttons.count()
    buttons.first.click()
    expect(tab.get_by_role("status")).to_contain_text("The access was removed")
    expect(buttons).to_have_count(before - 1)


def test_first_administrator(tab: Page, site: Site) -> None:
    tab.goto(site.admin_link())
    name = f"root{len(site.received)}{id(tab) % 100000}"
    tab.fill("#username", name)
    tab.fill("#password", "short")
    tab.click("#continue")
    expect(tab.get_by_role("alert")).to_contain_text("At least")
    tab.fill("#password", "a long sentence nobody says")
    tab.click("#continue")
    add_app(tab)
    expect(tab.get_by_role("heading", level=1)).to_contain_text(name)


def test_keyboard_alone(page: Page, site: Site) -> None:
    """From the address to the application without a mouse; the focus can be seen on the way."""
    page.goto(site.authorize_url("own"))
    expect(page.locator("[autofocus]")).to_be_focused()
    page.keyboard.type("carol")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    page.wait_for_selector("#arrived")


def test_password_can_be_shown(page: Page, site: Site) -> None:
    page.goto(site.authorize_url())
    page.fill("#password", "visible")
    page.get_by_role("button", name="Show Password", exact=True).click()
    expect(page.locator("#password")).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide Password", exact=True).click()
    expect(page.locator("#password")).to_have_attribute("type", "password")


def test_framing_is_refused(page: Page, site: Site) -> None:
    """frame-ancestors 'none': no page of ours shows up inside another."""
    page.goto(site.demo.callback)
    with page.expect_response(f"{site.base_url}/sign-in") as answer:
        page.set_content(f'<iframe src="{site.base_url}/sign-in"></iframe>')
    assert answer.value.ok
    frame = page.frames[1]
    frame.wait_for_url("chrome-error://**")
    assert frame.locator("#sign-in").count() == 0


def test_pop_up_keeps_its_opener(page: Page, site: Site) -> None:
    """An application signs in in a pop-up: the window that opened it can still be told."""
    page.goto(site.demo.callback)
    with page.expect_popup() as popup:
        page.evaluate("url => { window.open(url) }", site.authorize_url("own", display="popup"))
    window = popup.value
    sign_in(window, "carol")
    window.wait_for_selector("#arrived")
    assert window.evaluate("window.opener !== null")


def test_two_tabs_at_once(page: Page, site: Site) -> None:
    """Each interaction has a cookie of its own: the tab opened first still works."""
    withdraw_everything(site, "bob")
    other = page.context.new_page()
    page.goto(site.authorize_url(state="first"))
    other.goto(site.authorize_url(state="second"))
    sign_in(page, "bob")
    page.click("#allow")
    page.wait_for_selector("#arrived")
    assert site.received[-1][1]["state"] == "first"
    sign_in(other, "bob")
    other.wait_for_selector("#arrived")
    assert site.received[-1][1]["state"] == "second"


def _press_continue(tab: Page) -> None:
    """The button of a page that goes on by itself where scripts run."""
    button = tab.locator("#continue, #arrived")
    button.first.wait_for()
    if tab.locator("#continue").count() and not tab.locator("#arrived").count():
        try:
            tab.click("#continue", timeout=2000)
        except Exception:
            tab.wait_for_selector("#arrived")


def _unquoted(value: str) -> str:
    from html import escape
    from urllib.parse import unquote_plus

    return escape(unquote_plus(value))


def test_a_device_is_let_in(tab: Page, site: Site) -> None:
    """The code typed as people type, compared, signed in, allowed; and the device goes on (RFC 8628)."""
    device = site.device()
    tab.goto(f"{site.base_url}/device")
    tab.fill("#user_code", device["user_code"].lower().replace("-", " "))
    tab.click("#continue")
    expect(tab.locator("#user-code")).to_have_text(device["user_code"])
    expect(tab.locator("main")).to_contain_text("Living Room TV")
    tab.click("#continue")
    sign_in(tab, "bob")
    tab.click("#allow")
    expect(tab.get_by_role("heading")).to_contain_text(["Your device is connected"])
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": device["device_code"],
        "client_id": "tv",
    }
    answer = requests.post(f"{site.base_url}/token", data=form, timeout=10)
    assert answer.status_code == 200, answer.text
