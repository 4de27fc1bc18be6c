"""Consent: what is shown, remembered, asked again and taken back (contracts 2)."""

import re
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from app.domain.models import Consent, Grant, Resource, ResourceScope, User
from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol.browserless import (
    Person,
    answer_of,
    consent_form,
    new_person,
    new_public_client,
    token_of,
)

if TYPE_CHECKING:
    from tests.conftest import Http

DOCUMENTS, PAYMENTS = "https://api.example.com", "https://pay.example.com"


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        for identifier, name, scope, words, sensitive in (
            (DOCUMENTS, "Documents", "read", "Read your documents", False),
            (PAYMENTS, "Payments", "pay", "Pay <b>from</b> your account", True),
        ):
            resource = Resource(identifier=identifier, name=name)
            session.add(resource)
            session.flush()
            session.add(
                ResourceScope(resource_id=resource.id, name=scope, description=words, sensitive=sensitive)
            )
    services.versions.touch()
    return Person(http)


def test_page_shows_who_what_where(person: Person, tenant: TenantContext) -> None:
    page = person.sign_in(person.authorize(scope="openid read pay", resource=[DOCUMENTS, PAYMENTS]))
    for words in ("Example App", "Alice", "Read your documents", "Documents", DOCUMENTS, "app.example"):
        assert words in page.text
    assert "Pay &lt;b&gt;from&lt;/b&gt; your account" in page.text
    sensitive = page.text[page.text.index("sensitive") :]
    assert "Pay &lt;b&gt;" in sensitive
    assert "Read your documents" not in sensitive
    assert "runs on your own computer" not in page.text


def test_a_person_without_another_name_is_named_once(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        user = session.scalars(select(User)).one()
        user.email, user.claims = None, {}
    page = person.sign_in(person.authorize(scope="openid"))
    assert page.text.count("<bdi>alice</bdi>") == 1


def test_loopback_clients_are_warned_about(person: Person, services: Services, tenant: TenantContext) -> None:
    uri = "http://127.0.0.1/cb"
    new_public_client(services, tenant, "cli", redirect_uris=[uri], application_type="native")
    page = person.sign_in(person.authorize("cli", redirect_uri="http://127.0.0.1:7777/cb"))
    assert "runs on your own computer" in page.text
    assert "127.0.0.1:7777" in page.text


def test_allowed_once_is_not_asked_again(person: Person) -> None:
    person.through(scope="openid profile")
    assert "code" in answer_of(person.authorize(scope="openid profile")).parameters
    assert "code" in answer_of(person.authorize(scope="openid")).parameters


def test_native_public_clients_are_asked_about_each_time(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """RFC 8252 section 8.6: another program of the machine may be the one that asks."""
    uri = "http://127.0.0.1/cb"
    new_public_client(services, tenant, "cli", redirect_uris=[uri], application_type="native")
    asked = {"redirect_uri": "http://127.0.0.1:7777/cb", "scope": "openid"}
    page = person.sign_in(person.authorize("cli", **asked))
    assert "code" in answer_of(person.step(page, **consent_form(page))).parameters
    assert 'id="allow"' in person.authorize("cli", **asked).text
    assert (
        answer_of(person.authorize("cli", prompt="none", **asked)).parameters["error"] == "consent_required"
    )


def test_more_is_asked_for_and_widens(person: Person, services: Services, tenant: TenantContext) -> None:
    person.through(scope="openid")
    assert 'id="allow"' in person.authorize(scope="openid read").text
    person.through(scope="openid read")
    with services.tenancy.session(tenant.id) as session:
        found = {c.resource: c.scopes for c in session.scalars(select(Consent))}
    assert found == {"": ["openid"], DOCUMENTS: ["read"]}
    assert "code" in answer_of(person.authorize(scope="openid")).parameters


def test_denied(person: Person, services: Services, tenant: TenantContext) -> None:
    """RFC 6749 section 4.1.2.1: access_denied, nothing is written down."""
    page = person.sign_in(person.authorize())
    found = answer_of(person.step(page, step="consent", answer="deny")).parameters
    assert (found["error"], found["state"]) == ("access_denied", "state-1")
    with services.tenancy.session(tenant.id) as session:
        assert session.scalars(select(Grant)).all() == []
    assert 'id="allow"' in person.authorize().text


def test_cancelled_at_sign_in(person: Person) -> None:
    found = answer_of(person.step(person.authorize(), step="cancel")).parameters
    assert found["error"] == "access_denied"


def test_first_party_clients_ask_only_when_told_to(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    new_public_client(services, tenant, "own", first_party=True)
    assert "code" in answer_of(person.sign_in(person.authorize("own"))).parameters
    assert 'id="allow"' in person.authorize("own", prompt="consent").text


def test_allowed_groups(person: Person, services: Services, tenant: TenantContext) -> None:
    """A client for certain groups: others read why, and the client hears access_denied."""
    new_public_client(services, tenant, "board", allowed_groups=["engineering"])
    page = person.sign_in(person.authorize("board"))
    assert page.status_code == 403
    assert "You cannot use" in page.text
    assert "Reference" in page.text
    assert answer_of(person.step(page, step="cancel")).parameters["error"] == "access_denied"
    assert answer_of(person.authorize("board", prompt="none")).parameters["error"] == "access_denied"
    new_person(services, tenant, "eve", groups=("engineering",))
    page = person.authorize("board")
    page = person.step(page, step="switch")
    assert 'id="allow"' in person.sign_in(page, username="eve").text


def test_one_request_gives_one_code(person: Person) -> None:
    """Sixteen clicks on one button, at once: one code; the others are told that it is over."""
    page = person.sign_in(person.authorize())
    form, cookies = consent_form(page), dict(person.http.client._cookies)
    answers: list[str] = []

    def click() -> None:
        browser = Browser(person.http.app, person.http.tenant)
        browser.client._cookies = dict(cookies)
        answers.append(browser.post(person.at, raw=True, form=form).text)

    threads = [threading.Thread(target=click) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("code=" in text for text in answers) == 1
    assert sum("This request has expired" in text for text in answers) == 15


@pytest.mark.parametrize("token", ["missing", "foreign", "other interaction"])
def test_allowing_needs_the_form_token(
    person: Person, services: Services, tenant: TenantContext, token: str
) -> None:
    """Clickjacking apart, nobody but our own page can say yes."""
    page = person.sign_in(person.authorize())
    at = person.at
    tokens = {"missing": "", "foreign": token_of(page)[:-4] + "0000", "other interaction": ""}
    tokens["other interaction"] = token_of(person.authorize(state="another"))
    form = {**consent_form(page), "csrf_token": tokens[token]}
    assert person.http.post(at, raw=True, form=form).status_code == 403
    assert 'id="allow"' in person.authorize().text


def test_cross_site_posts_are_refused_by_what_the_browser_says(person: Person) -> None:
    """Fetch Metadata: even with a good token."""
    page = person.sign_in(person.authorize())
    form = consent_form(page)
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert person.http.post(person.at, raw=True, form=form, headers=headers).status_code == 403


def test_another_browser_cannot_go_on(person: Person, tenant: TenantContext) -> None:
    """The id in the address is not enough: the cookie of the browser it was made for is needed, too."""
    page = person.sign_in(person.authorize())
    stranger = Person(Browser(person.http.app, tenant))
    stranger.at = person.at
    response = stranger.http.get(person.at, raw=True)
    assert response.status_code == 400
    assert "This request has expired" in response.text
    assert stranger.allow(page).status_code == 400


def test_taking_it_back_revokes_what_stands_on_it(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Contracts 2: withdrawing consent revokes every grant under it."""
    tokens = person.tokens(scope="openid offline_access")
    page = person.http.get("/account/applications")
    consent = re.search(r'name="consent" value="([^"]+)"', page.text)
    assert consent
    response = person.http.post(
        "/account/applications", form={"csrf_token": "", "consent": consent[1], "step": "withdraw"}
    )
    assert response.status_code == 403
    form = {"csrf_token": token_of(page), "consent": consent[1], "step": "withdraw"}
    assert person.http.post("/account/applications", form=form).status_code == 303
    refreshed = person.http.post(
        "/token",
        form={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"},
    )
    assert refreshed.json["error"] == "invalid_grant"
    assert 'id="allow"' in person.authorize(scope="openid offline_access").text


def test_consent_of_somebody_else_is_not_there(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    person.through()
    with services.tenancy.session(tenant.id) as session:
        consent_id = session.scalars(select(Consent.id)).one()
    new_person(services, tenant, "bob")
    bob = Person(Browser(person.http.app, tenant), "bob")
    bob.through(scope="openid")
    form = {"csrf_token": token_of(bob.http.get("/account")), "consent": consent_id, "step": "withdraw"}
    assert bob.http.post("/account/applications", form=form).status_code == 404
    for nonsense in ("", "\x00", "x" * 36):
        assert bob.http.post("/account/applications", form={**form, "consent": nonsense}).status_code == 404


class TestExpired:
    """Contracts 18: an expired interaction is no dead end."""

    @pytest.fixture
    def at(self, person: Person, services: Services, tenant: TenantContext) -> str:
        person.authorize(state="kept & <safe>")
        return person.at

    def forget(self, services: Services, tenant: TenantContext, at: str) -> None:
        from app.infra.state import Delete, Key
        from app.kernel.secrets import lookup_hash

        services.state.execute(Delete(Key(tenant.id, "interaction", lookup_hash(at.rpartition("/")[2]))))

    def test_answers_the_client_on_a_click(
        self, person: Person, services: Services, tenant: TenantContext, at: str
    ) -> None:
        self.forget(services, tenant, at)
        page = person.http.get(at, raw=True)
        assert page.status_code == 400
        assert "This request has expired" in page.text
        found = answer_of(person.step(page, step="return")).parameters
        assert (found["error"], found["state"]) == ("login_required", "kept & <safe>")

    def test_offers_to_start_again_at_the_client(
        self, person: Person, services: Services, tenant: TenantContext
    ) -> None:
        new_public_client(services, tenant, "site", initiate_login_uri="https://app.example/login")
        person.authorize("site")
        self.forget(services, tenant, person.at)
        page = person.http.get(person.at, raw=True)
        assert 'href="https://app.example/login"' in page.text

    def test_signing_in_too_late(
        self, person: Person, services: Services, tenant: TenantContext, at: str
    ) -> None:
        page = person.authorize()
        self.forget(services, tenant, person.at)
        response = person.sign_in(page)
        assert response.status_code == 400
        assert "This request has expired" in response.text

    def test_answered_before(self, person: Person) -> None:
        """The back button after it was allowed."""
        page = person.sign_in(person.authorize())
        at = person.at
        person.allow(page)
        assert "This request has expired" in person.http.get(at, raw=True).text
