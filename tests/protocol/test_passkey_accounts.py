"""Accounts without a password: how one is made, and how its owner gets back in."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import time_machine
from sqlalchemy import select, update
from werkzeug.test import Client

from app.domain import admin_links, authenticators, invitations, one_time_links, users
from app.domain.models import Authenticator, User
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol import mailbag
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_assurance import ORIGIN, add_passkey
from tests.protocol.test_factors import claims_of, events
from tests.protocol.test_registration import NEW, ask, find, link_for
from tests.protocol.test_tenant_settings import decide
from tests.soft_passkey import SoftPasskey, options_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

PASSWORD = "a long sentence nobody says"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.0)


def allow(services: Services, tenant: TenantContext, *methods: str, **more: Any) -> None:
    """Anybody may make an account, and sign in by these."""
    authentication = {"methods": list(methods), "mfa": {"required": "none"}, **more}
    decide(services, tenant, registration={"people": "open"}, authentication=authentication)


def make(http: "Http", path: str, **form: str) -> tuple[Person, "TestResponse"]:
    """Fill in the form of a new account. Gives the person, and the page after it."""
    person = Person(http, "newcomer")
    page = http.get(path)
    return person, person.follow(
        http.post(path, form={"username": "newcomer", "csrf_token": token_of(page), **form})
    )


def add(person: Person, page: "TestResponse", *, verifies: bool = True) -> tuple[SoftPasskey, "TestResponse"]:
    """Answer the page that asks for the first passkey."""
    key = SoftPasskey(ORIGIN, synced=True, verifies=verifies)
    answer = key.create(options_of(page.text))
    return key, person.step(page, step="enrol", way="passkey", credential=answer)


def sign_in(http: "Http", key: SoftPasskey) -> "TestResponse":
    person = Person(Browser(http.app, http.tenant))
    page = person.authorize()
    return person.step(page, step="sign-in", way="passkey", credential=key.get(options_of(page.text)))


def is_signed_in(http: "Http") -> bool:
    return http.get("/account").status_code == 200 and "Your account" in http.get("/account").text


def passkeys(services: Services, tenant: TenantContext) -> list[Authenticator]:
    with services.tenancy.session(tenant.id) as session:
        found = list(session.scalars(select(Authenticator)))
        session.expunge_all()
        return found


def test_a_passkey_instead_of_a_password(http: "Http", services: Services, tenant: TenantContext) -> None:
    """There is no session before there is a passkey, and it says nothing but the passkey."""
    allow(services, tenant, "password", "passkey")
    new_public_client(services, tenant)
    person = Person(http)
    page = person.authorize(prompt="create")
    person.follow(http.post(person.at, raw=True, form={"csrf_token": token_of(page), "email": NEW}))
    path = mailbag.path_of(mailbag.newest(services, tenant, NEW).link, tenant)
    assert 'id="password"' in http.get(path).text
    person, page = make(http, path, way="passkey")
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert (user.password_hash, user.email_verified) == (None, True)
    assert options_of(page.text)["authenticatorSelection"]["userVerification"] == "required"
    assert not is_signed_in(http)
    key, page = add(person, page)
    # No recovery codes: there is nothing they could stand in for.
    assert 'id="allow"' in page.text, page.text
    person.allow(page)
    claims = claims_of(person.tokens())
    assert (claims["amr"], claims["acr"]) == (["swk", "user", "mfa"], "phr")
    assert is_signed_in(http)
    assert "code" in answer_of(sign_in(http, key)).parameters
    told = [event["data"]["method"] for event in events(services, tenant, "auth.login.success")]
    assert told == ["link+passkey", "passkey"]


def test_a_passkey_that_does_not_verify_its_user_is_no_password(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    allow(services, tenant, "password", "passkey")
    person, page = make(http, link_for(services, tenant, http), way="passkey")
    _, page = add(person, page, verifies=False)
    assert "could not be added" in page.text
    assert passkeys(services, tenant) == []
    assert not is_signed_in(http)


def test_whose_browser_gives_no_passkey_chooses_a_password(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """They are not locked out by having chosen one."""
    allow(services, tenant, "password", "passkey")
    person, page = make(http, link_for(services, tenant, http), way="passkey")
    assert "Choose a password instead" in page.text
    page = person.view("password")
    assert "Use a passkey instead" in page.text
    page = person.step(page, step="enrol", way="password", password="short")
    assert "At least" in page.text
    assert not is_signed_in(http)
    page = person.step(page, step="enrol", way="password", password=PASSWORD)
    assert is_signed_in(http)
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert user.password_hash is not None
    other = Person(Browser(http.app, tenant), "newcomer", PASSWORD)
    other.at = "/"
    page = other.http.get("/sign-in")
    other.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    other.sign_in(page)
    assert is_signed_in(other.http)


def test_who_left_before_there_was_a_passkey_sets_a_password_by_mail(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    allow(services, tenant, "password", "passkey")
    make(http, link_for(services, tenant, http), way="passkey")
    person = Person(Browser(http.app, tenant))
    page = person.follow(person.http.get("/forgot"))
    person.step(page, login=NEW)
    letter = mailbag.newest(services, tenant, NEW)
    assert "new password" in letter.subject


def test_where_only_passkeys_sign_in_nobody_is_asked_for_a_password(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Nor does one that is sent make a session, or is it kept."""
    allow(services, tenant, "passkey")
    path = link_for(services, tenant, http)
    page = http.get(path)
    assert 'name="password"' not in page.text
    assert "You add a passkey next" in page.text
    person, page = make(http, path, password=PASSWORD)
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert user.password_hash is None
    assert not is_signed_in(http)
    assert "Choose a password" not in page.text
    form = {"csrf_token": token_of(page), "step": "enrol", "way": "password", "password": PASSWORD}
    page = person.follow(http.post(person.at, raw=True, form=form))
    key, _ = add(person, page)
    assert is_signed_in(http)
    new_public_client(services, tenant)
    assert 'id="allow"' in sign_in(http, key).text


def test_an_invitation_to_a_place_of_passkeys(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    allow(services, tenant, "passkey")
    with services.tenancy.session(tenant.id, write=True) as session:
        _, token = invitations.create(session, NEW, by=None, by_mail=False)
    person, page = make(http, f"/invitation/{token}")
    assert not is_signed_in(http)
    add(person, page)
    assert is_signed_in(http)


def test_a_confirmed_address_is_enough_where_mail_signs_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    for methods in (["email"], ["passkey", "email"]):
        allow(services, tenant, *methods)
        browser = Browser(http.app, tenant)
        path = link_for(services, tenant, browser, f"{len(methods)}@example.com")
        assert 'name="password"' not in browser.get(path).text
        form = {"username": f"newcomer-{len(methods)}", "csrf_token": token_of(browser.get(path))}
        Person(browser).follow(browser.post(path, form=form))
        assert is_signed_in(browser)
        user = find(services, tenant, f"newcomer-{len(methods)}")
        assert user is not None
        assert user.password_hash is None


def test_an_invitation_that_was_handed_over_confirms_its_address_where_mail_signs_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Who was given the link need not be who reads the mail."""
    allow(services, tenant, "email")
    with services.tenancy.session(tenant.id, write=True) as session:
        _, token = invitations.create(session, NEW, by=None, by_mail=False)
    _, page = make(http, f"/invitation/{token}")
    assert "Check your e-mail" in page.text
    assert not is_signed_in(http)
    path = mailbag.path_of(mailbag.newest(services, tenant, NEW).link, tenant)
    http.post(path, form={"csrf_token": token_of(http.get(path))})
    user = find(services, tenant, "newcomer")
    assert user is not None
    assert user.email_verified


def test_a_second_factor_is_demanded_after_the_first_passkey(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """A passkey that verified its user is both, so nothing more is asked for where everybody needs two."""
    allow(services, tenant, "passkey", mfa={"required": "all"})
    person, page = make(http, link_for(services, tenant, http))
    add(person, page)
    assert is_signed_in(http)


@pytest.mark.parametrize("methods", [["passkey"], ["email"]])
def test_nothing_speaks_of_passwords_where_there_are_none(
    http: "Http", services: Services, tenant: TenantContext, methods: list[str]
) -> None:
    """No field, no link to set a new one, no mail."""
    new_person(services, tenant)
    person = Person(http)
    page = person.follow(http.get("/forgot"))
    forgot, form = person.at, {"csrf_token": token_of(page), "login": "alice"}
    allow(services, tenant, *methods)
    page = person.follow(Browser(http.app, tenant).get("/sign-in"))
    assert 'id="forgot"' not in page.text
    assert 'id="password"' not in page.text
    assert http.get("/forgot").status_code == 404
    assert http.post(forgot, raw=True, form=form).status_code == 404
    assert mailbag.letters(services, tenant, "alice@example.com") == []


def recovery(services: Services, tenant: TenantContext, user_id: str) -> str:
    with services.tenancy.session(tenant.id, write=True) as session:
        return f"/recover/{one_time_links.create(session, one_time_links.RECOVER, user_id=user_id)}"


def test_an_administrators_link_leads_to_a_new_passkey(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Where only passkeys sign in: the old ones are gone, and the new one is made at once."""
    allow(services, tenant, "passkey")
    new_public_client(services, tenant)
    person, page = make(http, link_for(services, tenant, http))
    lost, _ = add(person, page)
    user = find(services, tenant, "newcomer")
    assert user is not None
    path = recovery(services, tenant, user.id)
    browser = Browser(http.app, tenant)
    owner = Person(browser)
    page = browser.get(path)
    assert 'name="password"' not in page.text
    page = owner.follow(browser.post(path, form={"csrf_token": token_of(page)}))
    assert passkeys(services, tenant) == []
    assert not is_signed_in(http)
    assert not is_signed_in(browser)
    key, _ = add(owner, page)
    assert is_signed_in(browser)
    assert sign_in(http, lost).status_code == 401
    assert 'id="allow"' in sign_in(http, key).text
    assert browser.get(path).status_code == 404
    assert len(events(services, tenant, "account.recovered")) == 1


def test_an_administrators_link_where_mail_signs_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Whose address is confirmed has a way in, and is led to it."""
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True
    allow(services, tenant, "email", "passkey")
    path = recovery(services, tenant, user_id)
    answer = http.post(path, form={"csrf_token": token_of(http.get(path))})
    assert answer.headers["Location"].endswith("/sign-in")
    with services.tenancy.session(tenant.id) as session:
        found = users.get(session, user_id)
        assert found is not None
        assert found.password_hash is None


def test_an_old_second_factor_is_shown_before_a_first_passkey(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """A link to the mailbox alone adds no passkey to an account that has an authenticator app."""
    user_id = new_person(services, tenant)
    allow(services, tenant, "password", "passkey")
    person = Person(http)
    page = person.http.get("/account/factors/totp")
    person.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    person.save_codes(person.enrol(person.sign_in(page)))
    with services.tenancy.session(tenant.id, write=True) as session:
        token = one_time_links.create(session, one_time_links.RESET_PASSWORD, user_id=user_id)
    allow(services, tenant, "passkey")
    browser = Browser(http.app, tenant)
    owner = Person(browser)
    owner.app, owner.recovery_codes = person.app, person.recovery_codes
    path = f"/reset/{token}"
    page = owner.follow(browser.post(path, form={"csrf_token": token_of(browser.get(path))}))
    assert "data-passkey" not in page.text
    page = owner.second(page, "recovery")
    _, page = add(owner, page)
    assert is_signed_in(browser)
    assert len(passkeys(services, tenant)) == 2
    with services.tenancy.session(tenant.id) as session:
        assert authenticators.of_user(session, user_id, authenticators.PASSKEY)
        user = session.get(User, (tenant.id, user_id))
        assert user is not None
        assert user.password_hash is None


def test_asking_again_tells_of_no_password(http: "Http", services: Services, tenant: TenantContext) -> None:
    new_person(services, tenant)
    allow(services, tenant, "passkey")
    ask(http, "alice@example.com")
    assert "password" not in mailbag.newest(services, tenant, "alice@example.com").text


def signed_in(http: "Http", services: Services, tenant: TenantContext, *methods: str) -> Person:
    """Somebody with a password, at their account."""
    new_person(services, tenant)
    allow(services, tenant, *methods)
    person = Person(http)
    page = http.get("/sign-in")
    person.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    person.sign_in(page)
    return person


def remove(http: "Http") -> "TestResponse":
    form = {"csrf_token": token_of(http.get("/account/password")), "step": "remove"}
    return http.post("/account/password", form=form)


def test_a_password_is_given_up_for_a_passkey(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """On record, told by mail, and other browsers are signed out; it can be set again."""
    person = signed_in(http, services, tenant, "password", "passkey")
    other = Person(Browser(http.app, tenant))
    page = other.http.get("/sign-in")
    other.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    other.sign_in(page)
    assert is_signed_in(other.http)
    assert 'id="remove"' not in http.get("/account/password").text
    assert remove(http).status_code == 409
    add_passkey(person, synced=True, verifies=False)
    assert remove(http).status_code == 409
    add_passkey(person, synced=True, verifies=True)
    assert 'id="remove"' in http.get("/account/password").text
    assert remove(http).status_code == 303
    user = find(services, tenant, "alice")
    assert user is not None
    assert user.password_hash is None
    assert is_signed_in(http)
    assert not is_signed_in(other.http)
    assert len(events(services, tenant, "password.removed")) == 1
    letter = mailbag.newest(services, tenant, "alice@example.com")
    assert ("A way to sign in was removed" in letter.subject, "Password" in letter.text) == (True, True)
    page = other.http.get("/sign-in")
    other.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    assert "Wrong username or password" in other.sign_in(page).text
    page = http.get("/account/password")
    assert 'name="current"' not in page.text
    form = {"csrf_token": token_of(page), "password": PASSWORD}
    assert http.post("/account/password", form=form).status_code == 303
    assert remove(http).status_code == 303


def test_a_password_is_given_up_for_mail(http: "Http", services: Services, tenant: TenantContext) -> None:
    """To an address that is confirmed."""
    signed_in(http, services, tenant, "password", "email")
    assert remove(http).status_code == 409
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        user.email_verified = True
    assert remove(http).status_code == 303


def test_a_password_is_given_up_by_a_recent_sign_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    person = signed_in(http, services, tenant, "password", "passkey")
    add_passkey(person, synced=True, verifies=True)
    token = token_of(http.get("/account/password"))
    with time_machine.travel(clock.after(600)):
        answer = http.post("/account/password", form={"csrf_token": token, "step": "remove"})
        assert answer.headers["Location"].endswith("/account/password")
        assert "data-passkey" in person.follow(http.get("/account/password")).text
    user = find(services, tenant, "alice")
    assert user is not None
    assert user.password_hash is not None


def test_a_password_and_the_passkey_beside_it_do_not_go_at_once(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Of two who take one of them away each, one is told that it has to stay."""
    person = signed_in(http, services, tenant, "password", "passkey")
    add_passkey(person, synced=True, verifies=True)
    (row,) = passkeys(services, tenant)
    password, passkey = (token_of(http.get(f"/account/{page}")) for page in ("password", "passkeys"))
    cookies = "; ".join(f"{c.key}={c.value}" for c in (http.client._cookies or {}).values())
    forms = {
        "/account/password": {"csrf_token": password, "step": "remove"},
        "/account/passkeys": {"csrf_token": passkey, "step": "remove", "target": row.id},
    }

    def send(path: str) -> int:
        alone = Browser(http.app, tenant)
        alone.client = Client(http.app.wsgi_app, use_cookies=False)
        return alone.post(path, form=forms[path], headers={"Cookie": cookies}).status_code

    with services.tenancy.session(tenant.id, write=True) as session:
        session.execute(update(User).values(email=None, email_key=None))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(send, forms))
    user = find(services, tenant, "alice")
    assert user is not None
    assert user.password_hash is not None or passkeys(services, tenant)


@pytest.mark.parametrize("methods", [["passkey"], ["email"]])
def test_the_account_has_no_page_for_passwords_where_there_are_none(
    http: "Http", services: Services, tenant: TenantContext, methods: list[str]
) -> None:
    signed_in(http, services, tenant, "password", "passkey")
    allow(services, tenant, *methods)
    assert http.get("/account/password").status_code == 404
    assert http.post("/account/password", form={"step": "remove"}).status_code == 404
    assert "/account/password" not in http.get("/account/security").text


def test_the_first_administrator_of_a_place_of_passkeys(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Who has to show a second factor by default: the passkey is one."""
    decide(services, tenant, authentication={"methods": ["passkey"]})
    with services.tenancy.session(tenant.id, write=True) as session:
        token = admin_links.create(session)
    path = f"/first-admin/{token}"
    page = http.get(path)
    assert 'name="password"' not in page.text
    person = Person(http)
    page = person.follow(http.post(path, form={"username": "root", "csrf_token": token_of(page)}))
    assert not is_signed_in(http)
    add(person, page)
    assert is_signed_in(http)
    user = find(services, tenant, "root")
    assert user is not None
    assert user.password_hash is None


def test_who_left_before_there_was_a_passkey_asks_for_an_account_again(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Where there are no passwords the mail leads on to the passkey, once, and only while there is no way in."""
    allow(services, tenant, "passkey")
    make(http, link_for(services, tenant, http))
    browser = Browser(http.app, tenant)
    path = link_for(services, tenant, browser)
    assert "Finish creating your account" in browser.get(path).text
    later = link_for(services, tenant, Browser(http.app, tenant))
    assert browser.get(path).status_code == 404
    person = Person(browser)
    page = person.follow(browser.post(later, form={"csrf_token": token_of(browser.get(later))}))
    assert not is_signed_in(browser)
    add(person, page)
    assert is_signed_in(browser)
    assert browser.get(later).status_code == 404


def test_a_link_to_finish_an_account_is_for_one_without_a_way_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """Whoever reads the mail adds no passkey to an account that got one meanwhile, or another address."""
    allow(services, tenant, "passkey")
    person, page = make(http, link_for(services, tenant, http))
    browser = Browser(http.app, tenant)
    path = link_for(services, tenant, browser)
    add(person, page)
    form = {"csrf_token": token_of(browser.get(path))}
    assert browser.post(path, form=form).status_code == 404
    assert is_signed_in(http)
    assert len(passkeys(services, tenant)) == 1
