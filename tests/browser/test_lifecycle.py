"""Coming, staying and leaving, in Chromium: with scripts and without."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.domain import new_passwords, users
from tests.browser.site import PASSWORD, Site
from tests.browser.test_flows import tab
from tests.browser.tour import sign_in
from tests.protocol import mailbag

__all__ = ["tab"]

pytestmark = pytest.mark.browser

NEXT = "quite another long sentence"


@pytest.fixture
def elsewhere(browser: Browser) -> Iterator[Page]:
    """Another browser: where the mail is read."""
    context = browser.new_context()
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def person(site: Site) -> str:
    """Somebody of the tenant, in order with everything."""
    username = f"p{secrets.token_hex(4)}"
    with site.services.tenancy.session(site.people().id, write=True) as session:
        user = users.create(
            session,
            username=username,
            email=f"{username}@example.com",
            email_verified=True,
            password_hash=site.services.passwords.hash(PASSWORD),
            claims={"name": "Some Body", "team": "Pilots"},
        )
        user.terms_version = "2026-05"
    return username


def link_to(site: Site, address: str) -> str:
    return mailbag.newest(site.services, site.people(), address).link


def test_registration_leads_on_to_the_application(tab: Page, site: Site) -> None:
    """Without scripts there is no proof of work, and it goes all the same."""
    address = f"new-{secrets.token_hex(4)}@example.com"
    tab.goto(site.people_url())
    tab.click("#register")
    tab.fill("#email", address)
    tab.click("#continue")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Check your e-mail")
    tab.goto(link_to(site, address))
    tab.fill("#password", PASSWORD)
    tab.fill("#profile-name", "New Comer")
    tab.select_option("#profile-team", "Pilots")
    tab.check("#agreed")
    tab.click("#continue")
    tab.click("#allow")
    tab.wait_for_selector("#arrived")
    assert "code" in site.received[-1][1]


def test_a_forgotten_password(tab: Page, elsewhere: Page, site: Site, person: str) -> None:
    tab.goto(site.people_url())
    tab.click("#forgot")
    tab.fill("#login", person)
    tab.click("#continue")
    expect(tab.get_by_text("on its way")).to_be_visible()
    elsewhere.goto(link_to(site, f"{person}@example.com"))
    elsewhere.fill("#password", NEXT)
    elsewhere.click("#continue")
    expect(elsewhere.get_by_role("heading", level=1)).to_have_text("Your password is set")
    tab.get_by_role("link", name="Back to sign in").click()
    sign_in(tab, person, NEXT)
    tab.click("#allow")
    tab.wait_for_selector("#arrived")


def test_a_new_password(tab: Page, site: Site, person: str) -> None:
    """Changed in the account, with the meter where scripts run; and demanded by an administrator at the sign-in."""
    tab.goto(f"{site.base_url}/t/people/account/password")
    sign_in(tab, person)
    tab.fill("#current", PASSWORD)
    tab.fill("#password", "aaaaaaaaaaaaaaa")
    # The button that shows a password is there where scripts run.
    if tab.locator(".reveal:not([hidden])").count():
        expect(tab.get_by_text("Very easy to guess")).to_be_visible()
    tab.fill("#password", NEXT)
    tab.click("#continue")
    expect(tab.get_by_role("status").first).to_contain_text("Your password was changed")
    with site.services.tenancy.session(site.people().id, write=True) as session:
        user = users.find_by_login(session, person)
        assert user is not None
        new_passwords.demand(user)
    tab.context.clear_cookies()
    tab.goto(site.people_url())
    sign_in(tab, person, NEXT)
    expect(tab.get_by_text("Your administrator asks you")).to_be_visible()
    tab.fill("#password", NEXT)
    tab.click("#continue")
    expect(tab.get_by_role("alert")).to_contain_text("last passwords")
    tab.fill("#password", f"{NEXT} again")
    tab.click("#continue")
    tab.click("#allow")
    tab.wait_for_selector("#arrived")


def test_recovery(tab: Page, site: Site, person: str) -> None:
    """By a link an administrator had sent: a new password, and nothing left of the old factors."""
    tab.goto(site.link("recover", "/recover", person))
    tab.fill("#password", NEXT)
    tab.click("#continue")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Your password is set")
    tab.goto(site.people_url())
    sign_in(tab, person, NEXT)
    tab.click("#allow")
    tab.wait_for_selector("#arrived")


def test_confirming_an_address_in_another_browser(
    tab: Page, elsewhere: Page, site: Site, person: str
) -> None:
    with site.services.tenancy.session(site.people().id, write=True) as session:
        user = users.find_by_login(session, person)
        assert user is not None
        user.email_verified, user.terms_version = False, None
    tab.goto(site.people_url())
    sign_in(tab, person)
    tab.wait_for_selector("#resend")
    elsewhere.goto(link_to(site, f"{person}@example.com"))
    elsewhere.click("#continue")
    expect(elsewhere.get_by_role("status")).to_contain_text("is confirmed")
    tab.click("#continue")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Terms")
    tab.click("#continue")
    tab.click("#allow")
    tab.wait_for_selector("#arrived")


def test_profile_and_address_are_changed(tab: Page, elsewhere: Page, site: Site, person: str) -> None:
    tab.goto(f"{site.base_url}/t/people/account/profile")
    sign_in(tab, person)
    tab.fill("#profile-name", "An Other")
    tab.check("#profile-newsletter")
    tab.click("#continue")
    expect(tab.get_by_role("status")).to_contain_text("saved")
    expect(tab.locator("#profile-name")).to_have_value("An Other")
    tab.goto(f"{site.base_url}/t/people/account/email")
    address = f"new-{person}@example.com"
    tab.fill("#email", address)
    tab.click("#continue")
    expect(tab.get_by_role("status")).to_contain_text("on its way")
    elsewhere.goto(link_to(site, address))
    elsewhere.click("#continue")
    elsewhere.goto(link_to(site, f"{person}@example.com"))
    elsewhere.click("#continue")
    elsewhere.fill("#password", NEXT)
    elsewhere.click("#continue")
    expect(elsewhere.get_by_role("heading", level=1)).to_have_text("Your password is set")
    tab.goto(f"{site.base_url}/t/people/account")
    tab.wait_for_selector("#sign-in")


def test_leaving_and_coming_back(tab: Page, site: Site, person: str) -> None:
    tab.goto(f"{site.base_url}/t/people/account/delete")
    sign_in(tab, person)
    tab.fill("#username", person)
    tab.click("#continue")
    expect(tab.get_by_role("status")).to_contain_text("sign in before that day")
    tab.goto(f"{site.base_url}/t/people/account")
    sign_in(tab, person)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Keep your account?")
    tab.click("#continue")
    tab.wait_for_selector("#accounts")


def test_an_invitation_is_accepted(tab: Page, site: Site) -> None:
    address = f"guest-{secrets.token_hex(4)}@example.com"
    data = {"email": address, "roles": [], "groups": [], "by_mail": True}
    tab.goto(site.link("invitation", "/invitation", **data))
    tab.fill("#password", PASSWORD)
    tab.fill("#profile-name", "Guest")
    tab.select_option("#profile-team", "Pilots")
    tab.check("#agreed")
    tab.click("#continue")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Hello, Guest")
