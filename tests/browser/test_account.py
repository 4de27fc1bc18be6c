"""The account console and the account switcher in Chromium, with scripts and without."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.site import Site
from tests.browser.test_flows import tab
from tests.browser.tour import sign_in

__all__ = ["tab"]

pytestmark = pytest.mark.browser


def add_account(page: Page, site: Site, username: str) -> None:
    """By the menu of the console."""
    page.goto(site.base_url)
    page.click("#accounts")
    page.click("#another-account")
    sign_in(page, username)
    page.wait_for_selector("#accounts")


def test_switch_between_two_accounts_and_sign_out_of_both(tab: Page, site: Site) -> None:
    tab.goto(site.base_url)
    sign_in(tab, "alice")
    add_account(tab, site, "bob")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Bob Baker")
    tab.click("#accounts")
    tab.get_by_role("button", name=re.compile("Alice Adams")).click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Alice Adams")
    tab.click("#accounts")
    tab.click("#sign-out")
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed out")
    expect(tab.get_by_text("Bob Baker")).to_be_visible()
    tab.goto(site.base_url)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Choose an account")
    tab.get_by_role("button", name=re.compile("Bob Baker")).click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Bob Baker")
    add_account(tab, site, "carol")
    tab.click("#accounts")
    tab.click("#sign-out-all")
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed out")
    tab.goto(site.base_url)
    expect(tab.locator("#sign-in")).to_be_visible()


def test_an_application_asks_which_account_to_use(tab: Page, site: Site) -> None:
    tab.goto(site.base_url)
    sign_in(tab, "alice")
    add_account(tab, site, "bob")
    tab.goto(site.authorize_url("own", prompt="select_account"))
    expect(tab.get_by_role("heading", level=1)).to_have_text("Choose an account")
    tab.get_by_role("button", name=re.compile("Alice Adams")).click()
    tab.wait_for_selector("#arrived")
    assert "code" in site.received[-1][1]
    tab.goto(site.base_url)
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Alice Adams")


def test_end_the_session_of_another_browser(tab: Page, site: Site, browser: Browser) -> None:
    elsewhere = browser.new_context(
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    )
    other = elsewhere.new_page()
    other.goto(site.base_url)
    sign_in(other, "carol")
    expect(other.get_by_role("heading", level=1)).to_contain_text("Hello, Carol Chen")
    tab.goto(f"{site.base_url}/account/sessions")
    sign_in(tab, "carol")
    tab.get_by_role("button", name=re.compile("Sign out Firefox 140 on Linux")).first.click()
    expect(tab.get_by_role("status")).to_contain_text("That session has ended")
    other.goto(f"{site.base_url}/account")
    expect(other.locator("#sign-in")).to_be_visible()
    elsewhere.close()


def test_download_ones_data(tab: Page, site: Site, tmp_path: Path) -> None:
    tab.goto(f"{site.base_url}/account/data")
    sign_in(tab, "bob")
    with tab.expect_download() as download:
        tab.click("#download")
    target = tmp_path / "data.json"
    download.value.save_as(target)
    assert json.loads(target.read_text())["account"][0]["username"] == "bob"


def test_the_rail_leads_to_every_page(tab: Page, site: Site) -> None:
    tab.goto(f"{site.base_url}/account")
    sign_in(tab, "bob")
    for name in ("Start", "Your account", "Sign-in and security", "Sessions", "Applications", "Your data"):
        tab.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        expect(tab.get_by_role("navigation").locator("[aria-current=page]")).to_have_text(name)
