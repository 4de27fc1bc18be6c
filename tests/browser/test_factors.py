"""Second factors in a real browser, with scripts and without: enrolment, sign-in, recovery, e-mail links."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from app.domain import tenants, users
from app.domain.models import OutboxMessage, Tenant
from app.infra import mail, sms
from app.infra.tenancy import SystemReason
from tests.browser.second_factor import add_app, new_app
from tests.browser.site import PASSWORD, Site
from tests.browser.tour import sign_in

pytestmark = pytest.mark.browser

_numbers = iter(range(1, 1000))


@pytest.fixture(params=["scripts", "no scripts"])
def tab(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """A tab with JavaScript, and one without."""
    context = browser.new_context(java_script_enabled=request.param == "scripts", accept_downloads=True)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def name(site: Site) -> str:
    """Somebody nobody else uses, whose address is confirmed."""
    name = f"factor{next(_numbers)}"
    services = site.services
    where = services.tenants.default()
    with services.tenancy.session(where.id, write=True) as session:
        users.create(
            session,
            username=name,
            email=f"{name}@example.com",
            email_verified=True,
            password_hash=services.passwords.hash(PASSWORD),
        )
    return name


def test_enrol_sign_in_trust_and_recover(tab: Page, site: Site, name: str, browser: Browser) -> None:
    """A request asks for two factors; later the app, a trusted browser and a recovery code let the person in."""
    tab.goto(site.authorize_url("own", acr_values="urn:watchword:acr:two-factor"))
    sign_in(tab, name)
    app, codes = add_app(tab)
    tab.wait_for_selector("#arrived")
    assert len(codes) == 10
    tab.context.clear_cookies()
    tab.goto(site.authorize_url("own"))
    sign_in(tab, name)
    tab.fill("#code", "000000")
    tab.click("#verify")
    expect(tab.get_by_role("alert")).to_contain_text("That code is not right")
    tab.fill("#code", app.code())
    tab.check("#trust")
    tab.click("#verify")
    tab.wait_for_selector("#arrived")
    tab.goto(site.authorize_url("own", prompt="login"))
    sign_in(tab, name)
    tab.wait_for_selector("#arrived")
    tab.context.clear_cookies()
    tab.goto(site.authorize_url("own"))
    sign_in(tab, name)
    tab.click("#way-recovery")
    tab.fill("#code", codes[0].lower())
    tab.click("#verify")
    tab.wait_for_selector("#arrived")


def test_codes_are_downloaded(tab: Page, site: Site, name: str) -> None:
    tab.goto(site.authorize_url("own", acr_values="urn:watchword:acr:two-factor"))
    sign_in(tab, name)
    app = new_app(tab)
    tab.fill("#code", app.code())
    tab.click("#verify")
    tab.wait_for_selector(".codes")
    shown = tab.locator(".codes code").all_inner_texts()
    with tab.expect_download() as download:
        tab.click("#download")
    text = download.value.path().read_text("utf-8")
    assert all(code in text for code in shown)
    assert download.value.suggested_filename == "recovery-codes.txt"
    tab.click("#continue")
    tab.wait_for_selector("#arrived")


def test_from_the_account(tab: Page, site: Site, name: str) -> None:
    tab.goto(f"{site.base_url}/account/factors")
    sign_in(tab, name)
    tab.click("#add-totp")
    add_app(tab)
    expect(tab.get_by_role("heading", level=1)).to_have_text("Second factors")
    expect(tab.get_by_text("You have 10 recovery codes left.")).to_be_visible()
    tab.goto(f"{site.base_url}/account/factors/trusted-devices")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Trusted browsers")
    tab.goto(f"{site.base_url}/account/factors")
    tab.locator(".removal summary").click()
    tab.get_by_role("button", name=re.compile("Remove")).click()
    expect(tab.get_by_role("status")).to_contain_text("It was removed")


def test_link_in_a_second_browser(tab: Page, site: Site, name: str, browser: Browser) -> None:
    """It signs in neither browser; opened where the sign-in began, it does."""
    _settle(site, {"authentication": {"methods": ["password", "email"]}})
    try:
        tab.goto(site.authorize_url("own"))
        tab.fill("#username", name)
        tab.click("#by-email")
        expect(tab.get_by_role("heading")).to_contain_text(["Check your e-mail"])
        link = _link(_newest(site, mail.TOPIC))
        other = browser.new_context()
        page = other.new_page()
        page.goto(link)
        expect(page.get_by_role("heading")).to_contain_text(["You began in another browser"])
        page.goto(f"{site.base_url}/account")
        expect(page.locator("#username")).to_be_visible()
        other.close()
        tab.goto(link)
        tab.click("#verify")
        tab.wait_for_selector("#arrived")
    finally:
        _settle(site, {"authentication": {"methods": None}})


def test_code_by_mail(tab: Page, site: Site, name: str, browser: Browser) -> None:
    """Read in a second browser, where its link signs nobody in, and typed in the one that asked."""
    _settle(site, {"authentication": {"methods": ["password", "email"]}})
    try:
        tab.goto(site.authorize_url("own"))
        tab.fill("#username", name)
        tab.click("#by-email")
        tab.fill("#code", "000000")
        tab.click("#verify")
        expect(tab.get_by_role("alert")).to_contain_text("wrong or has expired")
        tab.fill("#code", _code(_newest(site, mail.TOPIC)))
        tab.click("#verify")
        tab.wait_for_selector("#arrived")
    finally:
        _settle(site, {"authentication": {"methods": None}})


def test_text_message(tab: Page, site: Site, name: str) -> None:
    """A telephone is added on the way in; at the next sign-in it gets the code."""
    tab.goto(site.authorize_url("own", acr_values="urn:watchword:acr:two-factor"))
    sign_in(tab, name)
    tab.click("#way-sms")
    tab.fill("#number", "+49 170 1234567")
    tab.click("#send")
    tab.locator("#code").wait_for()
    tab.fill("#code", _code(_newest(site, sms.TOPIC)))
    tab.click("#verify")
    tab.click("#continue")
    tab.wait_for_selector("#arrived")
    tab.context.clear_cookies()
    tab.goto(site.authorize_url("own"))
    sign_in(tab, name)
    tab.click("#send")
    tab.locator("#code").wait_for()
    tab.fill("#code", _code(_newest(site, sms.TOPIC)))
    tab.click("#verify")
    tab.wait_for_selector("#arrived")


def _settle(site: Site, settings: dict[str, Any]) -> None:
    with site.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = session.scalars(select(Tenant).where(Tenant.slug == "default")).one()
        tenants.update_settings(row, settings)
    site.services.versions.touch()


def _newest(site: Site, topic: str) -> str:
    """The text of the newest message."""
    tenant_id = site.services.tenants.default().id
    with site.services.tenancy.session(tenant_id) as session:
        asked = select(OutboxMessage).where(OutboxMessage.topic == topic).order_by(OutboxMessage.id.desc())
        payload = session.scalars(asked).first()
        assert payload is not None
        content = payload.payload
    sealed = base64.b64decode(content["sealed"])
    opened = site.services.vault.open(
        topic, sealed, tenant=tenant_id, table="outbox", column="payload", row=content["id"]
    )
    return str(json.loads(opened)["text"])


def _code(text: str) -> str:
    found = re.search(r"\b\d{6}\b", text)
    assert found
    return found[0]


def _link(text: str) -> str:
    found = re.search(r"\S+/interaction/\S+/email/\S+", text)
    assert found
    return found[0]
