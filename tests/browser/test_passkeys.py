"""Passkeys in Chromium, with its virtual authenticator: made, shown, the only way in, renamed, and refused."""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import delete, select

from app.domain import tenants, users
from app.domain.models import Authenticator, RecoveryCode, User
from app.infra.tenancy import SystemReason
from app.kernel.secrets import b64url, unb64url
from tests.browser.site import PASSWORD, Site
from tests.browser.tour import sign_in
from tests.browser.virtual_key import Key

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Page]:
    """A tab of somebody who has no passkey yet."""
    context: BrowserContext = browser.new_context()
    context.set_default_timeout(10_000)
    forget(site)
    site.received.clear()
    yield context.new_page()
    context.close()
    forget(site)
    settle(site, {"authentication": None})


def forget(site: Site) -> None:
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        session.execute(delete(Authenticator))
        session.execute(delete(RecoveryCode))
        user = users.find_by_login(session, "bob")
        assert user is not None
        user.password_hash = site.services.passwords.hash(PASSWORD)


def settle(site: Site, settings: dict[str, Any]) -> None:
    with site.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, "default")
        assert row is not None
        tenants.update_settings(row, settings)
    site.services.versions.touch()


def passkeys(site: Site) -> list[Authenticator]:
    with site.services.tenancy.session(site.demo.tenant.id) as session:
        found = list(session.scalars(select(Authenticator).where(Authenticator.kind == "passkey")))
        session.expunge_all()
        return found


def add(tab: Page, site: Site, **options: Any) -> Key:
    """Sign in as bob and add a passkey, as the account console has it."""
    key = Key(tab, **options)
    tab.goto(f"{site.base_url}/account/passkeys")
    sign_in(tab, "bob")
    tab.click("#add")
    tab.fill("#name", "My laptop")
    tab.click("#passkey")
    tab.wait_for_selector("[value=saved]")
    tab.click("[value=saved]")
    expect(tab.get_by_text("My laptop").first).to_be_visible()
    return key


def sign_out(tab: Page) -> None:
    tab.context.clear_cookies()


def test_added_and_used_without_a_user_name(tab: Page, site: Site) -> None:
    key = add(tab, site)
    (row,) = passkeys(site)
    assert row.data["user_handle"] != row.user_id
    sign_out(tab)
    # So that the button is what is tried here, not autofill, which a virtual authenticator answers at once.
    tab.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    tab.goto(f"{site.base_url}/account")
    tab.click("#passkey")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Your account")
    assert key.credentials()[0]["signCount"] >= 1


def test_autofill(tab: Page, site: Site) -> None:
    """Conditional mediation: the browser offers the passkey at the user name, and nothing is typed."""
    add(tab, site)
    sign_out(tab)
    tab.goto(f"{site.base_url}/account")
    expect(tab.locator("#username")).to_have_count(0)
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Your account")


def test_second_step(tab: Page, site: Site) -> None:
    """A password and a passkey that did not verify its user are two factors."""
    add(tab, site, hasUserVerification=False, isUserVerified=False)
    sign_out(tab)
    tab.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    tab.goto(f"{site.base_url}/account")
    sign_in(tab, "bob")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Show that it is you")
    tab.click("#passkey")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Your account")


def test_passkey_is_all_there_is(tab: Page, site: Site) -> None:
    """An account without a password; its only way in cannot be removed."""
    add(tab, site)
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        user = users.find_by_login(session, "bob")
        assert user is not None
        user.password_hash, user.email_verified = None, False
    try:
        sign_out(tab)
        tab.goto(f"{site.base_url}/account/passkeys")
        expect(tab.get_by_text("My laptop").first).to_be_visible()
        tab.locator(".removal summary").click()
        tab.get_by_role("button", name="Remove").click()
        expect(tab.get_by_role("alert")).to_contain_text("only way to sign in")
        assert passkeys(site)
    finally:
        with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
            session.scalars(select(User).where(User.username == "bob")).one().email_verified = True


def test_renamed_and_removed(tab: Page, site: Site) -> None:
    add(tab, site)
    tab.get_by_text("Rename").first.click()
    tab.fill("input[name=name]", "Old phone")
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Old phone").first).to_be_visible()
    tab.locator(".removal summary").click()
    tab.get_by_role("button", name="Remove").click()
    expect(tab.get_by_text("None yet.")).to_be_visible()
    assert passkeys(site) == []


def test_same_authenticator_is_not_added_twice(tab: Page, site: Site) -> None:
    add(tab, site)
    tab.click("#add")
    tab.click("#passkey")
    expect(tab.locator("[data-passkey-known]")).to_be_visible()
    assert len(passkeys(site)) == 1


def test_counter_that_went_back_is_refused(tab: Page, site: Site) -> None:
    """A copy of the key: its counter is behind."""
    key = add(tab, site)
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        session.scalars(select(Authenticator)).one().counter = 1000
    sign_out(tab)
    tab.goto(f"{site.base_url}/account")
    expect(tab.get_by_role("alert").first).to_contain_text("not accepted")
    assert key.credentials()


def test_model_that_is_not_on_the_list_is_refused(tab: Page, site: Site) -> None:
    only = {"attestation": "direct", "allowed_aaguids": ["00000000-0000-0000-0000-00000000000f"]}
    settle(site, {"authentication": {"passkeys": only}})
    Key(tab)
    tab.goto(f"{site.base_url}/account/passkeys")
    sign_in(tab, "bob")
    tab.click("#add")
    tab.click("#passkey")
    expect(tab.get_by_role("alert").first).to_contain_text("not accepted here")
    assert passkeys(site) == []


def _answer(tab: Page, site: Site) -> dict[str, str]:
    """What the sign-in page would send, kept back."""
    tab.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    tab.add_init_script("HTMLFormElement.prototype.requestSubmit = function () { window.kept = true }")
    tab.goto(f"{site.base_url}/account")
    tab.click("#passkey")
    tab.wait_for_function("window.kept")
    found: dict[str, str] = tab.evaluate(
        "() => Object.fromEntries(new FormData(document.querySelector('form[data-passkey]')))"
    )
    return found


def _send(tab: Page, form: dict[str, str]) -> int:
    action = tab.evaluate("document.querySelector('form[data-passkey]').action")
    return tab.request.post(action, form=form, max_redirects=0).status


def test_answer_works_once(tab: Page, site: Site) -> None:
    """The challenge is used up by the first answer to it; another interaction has another one."""
    add(tab, site)
    sign_out(tab)
    form = _answer(tab, site)
    assert _send(tab, form) == 303
    tab.context.clear_cookies()
    tab.goto(f"{site.base_url}/account")
    token = tab.evaluate("document.querySelector('form[data-passkey]').elements.csrf_token.value")
    assert _send(tab, {**form, "csrf_token": token}) == 401


def test_answer_to_another_origin_is_refused(tab: Page, site: Site) -> None:
    """What a page elsewhere got from the browser is worth nothing here: the browser says where it was."""
    add(tab, site)
    sign_out(tab)
    form = _answer(tab, site)
    answer = json.loads(form["credential"])
    client = json.loads(unb64url(answer["response"]["clientDataJSON"]))
    client["origin"] = "https://phishing.example"
    answer["response"]["clientDataJSON"] = b64url(json.dumps(client).encode())
    assert _send(tab, {**form, "credential": json.dumps(answer)}) == 401


def test_without_scripts_the_page_says_so(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.base_url}/account")
    expect(page.get_by_text("Passkeys need JavaScript")).to_be_visible()
    expect(page.locator("#passkey")).to_be_hidden()
    context.close()


def test_related_origins(tab: Page, site: Site) -> None:
    """WebAuthn section 5.11.1: a document that names them, where there are some."""
    address = f"{site.base_url}/.well-known/webauthn"
    assert tab.request.get(address).status == 404
    settle(site, {"authentication": {"passkeys": {"related_origins": ["https://shop.example"]}}})
    answer = tab.request.get(address)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"origins": ["https://shop.example"]}


def begin_account(tab: Page, site: Site) -> str:
    """Fill in the form of a new account, without a password. Gives the user name."""
    name = f"new-{secrets.token_hex(4)}"
    link = site.link("registration", "/register", email=f"{name}@example.com", interaction=None)
    tab.goto(link)
    tab.fill("#username", name)
    tab.fill("#profile-name", "New Comer")
    tab.select_option("#profile-team", "Pilots")
    tab.check("#agreed")
    return name


def has_password(site: Site, name: str) -> bool:
    with site.services.tenancy.session(site.people().id) as session:
        user = users.find_by_login(session, name)
        assert user is not None
        return user.password_hash is not None


def test_account_made_with_a_passkey(tab: Page, site: Site) -> None:
    """Instead of a password: nobody is signed in before it is there, and it signs in again."""
    Key(tab)
    name = begin_account(tab, site)
    tab.click("#by-passkey")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Add a passkey")
    assert not has_password(site, name)
    tab.click("#passkey")
    expect(tab.get_by_text("New Comer").first).to_be_visible()
    sign_out(tab)
    tab.goto(f"{site.base_url}/t/people/account")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Your account")


def test_whose_browser_gives_no_passkey_chooses_a_password(tab: Page, site: Site) -> None:
    Key(tab, isUserVerified=False)
    name = begin_account(tab, site)
    tab.click("#by-passkey")
    tab.click("#passkey")
    expect(tab.locator("#passkey")).to_be_enabled()
    tab.click("#back")
    tab.fill("#password", PASSWORD)
    tab.click("#continue")
    expect(tab.get_by_text("New Comer").first).to_be_visible()
    assert has_password(site, name)


def test_without_scripts_no_passkey_is_offered_for_a_password(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.link("registration", "/register", email="new@example.com", interaction=None))
    expect(page.locator("#by-passkey")).to_be_hidden()
    expect(page.locator("#password")).to_be_visible()
    context.close()


def test_what_was_removed_is_taken_from_the_authenticator(tab: Page, site: Site) -> None:
    """Section 5.1.10: it is not offered any more, and called by the name the person has now."""
    key = add(tab, site)
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        user = users.find_by_login(session, "bob")
        assert user is not None
        before = dict(user.claims)
        user.claims = {**before, "name": "Robert"}
    tab.reload()
    wait_until(tab, lambda: key.credentials()[0].get("userDisplayName") == "Robert")
    tab.locator(".removal summary").click()
    tab.get_by_role("button", name="Remove").click()
    expect(tab.get_by_text("The passkey was removed.")).to_be_visible()
    wait_until(tab, lambda: key.credentials() == [])
    with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
        session.scalars(select(User).where(User.username == "bob")).one().claims = before


def wait_until(tab: Page, holds: Callable[[], bool]) -> None:
    for _ in range(50):
        if holds():
            return
        tab.wait_for_timeout(100)
    raise AssertionError("it does not come")
