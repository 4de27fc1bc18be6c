"""What a page says was wrong: beside its field, in view on a phone, with the cursor in it and what was typed kept."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import tour
from tests.browser.site import PASSWORD, Site

pytestmark = pytest.mark.browser


def _app(page: Page, site: Site) -> None:
    tour.TOUR["enrol-app"](page, site)
    page.fill("#name", "Old telephone")
    page.fill("#code", "000000")
    page.click("#verify")


def _recovery(page: Page, site: Site) -> None:
    tour.TOUR["factor-recovery"](page, site)
    page.fill("#code", "AAAA-AAAA-AAAA")
    page.click("#verify")


def _sent(page: Page, site: Site) -> None:
    tour.TOUR["factor-sent"](page, site)
    page.fill("#code", "000000")
    page.click("#verify")


def _number(page: Page, site: Site) -> None:
    """After a good number another one that is none: the page asks for a number again, not for a code."""
    tour.TOUR["enrol-telephone-code"](page, site)
    page.click("#other-number")
    page.fill("#number", "12")
    page.click("#send")


def _mailed(page: Page, site: Site) -> None:
    tour.TOUR["email-code"](page, site)
    page.fill("#code", "000000")
    page.click("#verify")


def _password_again(page: Page, site: Site) -> None:
    tour.TOUR["factor-password"](page, site)
    page.fill("#password", "not the one")
    page.click("#verify")


def _address(page: Page, site: Site) -> None:
    tour.TOUR["account-email"](page, site)
    page.fill("#email", "gina@example.com")
    page.click("#continue")


def _leave(page: Page, site: Site) -> None:
    tour.TOUR["account-delete"](page, site)
    page.fill("#username", "genia")
    page.click("#continue")


def _current(page: Page, site: Site) -> None:
    tour.TOUR["password"](page, site)
    page.fill("#current", "not the one")
    page.fill("#password", "a long sentence nobody says")
    page.click("#continue")


def _new(page: Page, site: Site) -> None:
    tour.TOUR["change-password"](page, site)
    page.fill("#password", "short")
    page.click("#continue")


def _profile(page: Page, site: Site) -> None:
    tour.TOUR["account-profile"](page, site)
    # As a page of yesterday sends it, that knew a choice there is no more.
    page.evaluate(
        "document.querySelector('#profile-team').innerHTML += '<option value=gone selected>Gone</option>'"
    )
    page.click("#continue")


WRONG: dict[str, tuple[Callable[[Page, Site], None], str]] = {
    "app": (_app, "code"),
    "recovery code": (_recovery, "code"),
    "code by text": (_sent, "code"),
    "number": (_number, "number"),
    "code by mail": (_mailed, "code"),
    "device": (tour.TOUR["device-wrong"], "user_code"),
    "password as a second step": (_password_again, "password"),
    "address": (_address, "email"),
    "leaving": (_leave, "username"),
    "current password": (_current, "current"),
    "new password": (tour.TOUR["password-faults"], "password"),
    "new password on the way in": (_new, "password"),
    "profile": (_profile, "profile-team"),
}
KEPT = {"number": "12", "device": "BBBB-BBBB", "leaving": "genia", "address": "gina@example.com"}


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 320, "height": 640}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("case", list(WRONG))
def test_the_first_wrong_field_has_the_cursor_and_its_fault(phone: Page, site: Site, case: str) -> None:
    wrong, field = WRONG[case]
    wrong(phone, site)
    fault = phone.locator(f"#{field}-fault")
    expect(fault).to_be_in_viewport()
    expect(phone.locator(f"#{field}")).to_be_focused()
    expect(phone.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    assert f"{field}-fault" in (phone.get_attribute(f"#{field}", "aria-describedby") or "").split()
    assert phone.title().startswith("Error:")
    if case in KEPT:
        expect(phone.locator(f"#{field}")).to_have_value(KEPT[case])


def test_a_name_given_to_an_app_is_kept(phone: Page, site: Site) -> None:
    _app(phone, site)
    expect(phone.locator("#name")).to_have_value("Old telephone")


@pytest.mark.parametrize(
    ("stop", "who"), [("reset", "gina"), ("recover", "gina"), ("factor-password", "hana-")]
)
def test_a_password_is_kept_with_a_name(page: Page, site: Site, stop: str, who: str) -> None:
    """What keeps passwords for people finds whose this one is, where no field asks for it."""
    tour.TOUR[stop](page, site)
    name = page.locator("input[autocomplete=username]")
    expect(name).to_have_count(1)
    assert name.input_value().startswith(who)
    assert PASSWORD not in page.content()


@pytest.mark.parametrize(
    "stop", ["not-found", "bad-redirect", "email-elsewhere", "first-admin-gone", "link-gone"]
)
def test_no_page_is_a_dead_end(page: Page, site: Site, stop: str) -> None:
    tour.TOUR[stop](page, site)
    page.get_by_role("link", name="Go to the start page").click()
    expect(page.locator("#sign-in")).to_be_visible()


def test_what_only_developers_understand_is_closed_at_first(page: Page, site: Site) -> None:
    tour.TOUR["bad-redirect"](page, site)
    expect(page.locator(".lead")).to_have_text("The application sent you here with a wrong return address.")
    detail = page.get_by_text("This redirect_uri is not registered for the client.")
    expect(detail).to_be_hidden()
    page.get_by_text("For developers").click()
    expect(detail).to_be_visible()
    expect(page.get_by_text("request.redirect_uri_unregistered")).to_be_visible()
