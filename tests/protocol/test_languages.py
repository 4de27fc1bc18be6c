"""In which language pages speak (OpenID Connect Core section 3.1.2.1, `ui_locales`)."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import tenants
from app.domain.models import Resource, ResourceScope
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel.errors import Problem
from app.web.services import Services
from tests.protocol.browserless import Person, new_person, new_public_client, token_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

GERMAN, ARABIC, ENGLISH = 'lang="de" dir="ltr"', 'lang="ar" dir="rtl"', 'lang="en" dir="ltr"'
BROWSER = {"Accept-Language": "fr;q=0.9, ar-EG;q=0.8, de;q=0.5"}


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant, **{"client_name#de": "Beispiel", "client_name#ar": "مثال"})
    return Person(http)


def decide(services: Services, tenant: TenantContext, **settings: Any) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        tenants.update_settings(row, settings)
    services.versions.touch()


def choose(http: "Http", page: "TestResponse", language: str, return_to: str) -> "TestResponse":
    form = {"csrf_token": token_of(page), "language": language, "return_to": return_to}
    form["csrf_token"] = re.findall(r'class="languages".*?csrf_token" value="([^"]+)"', page.text, re.DOTALL)[
        0
    ]
    return http.post("/language", form=form)


def test_the_browser_decides_where_nobody_else_does(http: "Http") -> None:
    page = http.get("/sign-in", headers=BROWSER)
    assert ARABIC in page.text
    assert "تسجيل الدخول" in page.text
    assert page.headers["Content-Language"] == "ar"
    assert {"Accept-Language", "Cookie"} <= set(page.headers["Vary"].split(", "))
    assert ENGLISH in http.get("/sign-in", headers={"Accept-Language": "fr"}).text
    assert "Anmelden" in http.get("/sign-in", headers={"Accept-Language": "de-AT"}).text


def test_ui_locales_before_the_browser(person: Person) -> None:
    page = person.follow(
        person.http.get("/authorize", query={**_request(), "ui_locales": "fr-CA de"}, headers=BROWSER)
    )
    assert GERMAN in page.text
    assert "Bei <bdi>Beispiel</bdi> anmelden" in page.text, "client_name#de (RFC 7591 section 2.2)"
    wrong = person.sign_in(page, password="not it")
    assert "Benutzername oder Passwort ist falsch" in wrong.text


def test_the_persons_own_language(person: Person, services: Services, tenant: TenantContext) -> None:
    """The `locale` of the profile, once it is known who is there."""
    from app.domain import users

    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        user.claims = {**user.claims, "locale": "ar"}
    page = person.authorize()
    assert ENGLISH in page.text
    assert ARABIC in person.sign_in(page).text
    assert ARABIC in person.http.get("/account").text
    assert "لدى" in person.http.get("/account").text or "حسابك" in person.http.get("/account").text


def test_the_switch_counts_for_this_browser(person: Person, http: "Http") -> None:
    """It outranks `ui_locales`, or it would do nothing where the application names languages."""
    page = person.authorize(ui_locales="de")
    assert 'aria-current="true">Deutsch' in page.text
    answer = choose(http, page, "ar", person.at)
    assert (answer.status_code, answer.headers["Location"]) == (303, person.at)
    assert ARABIC in http.get(person.at, raw=True).text
    assert ARABIC in http.get("/nowhere", headers={"Accept-Language": "de"}).text


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "/t/other/"]
)
def test_the_switch_leads_nowhere_else(http: "Http", tenant: TenantContext, target: str) -> None:
    answer = choose(http, http.get("/sign-in"), "de", target)
    assert answer.headers["Location"] == f"{tenant.path}/"


def test_the_switch_is_no_other_sites(http: "Http") -> None:
    assert http.post("/language", form={"language": "de", "csrf_token": "x.y"}).status_code == 403
    page = http.get("/sign-in")
    form = {"csrf_token": token_of(page), "language": "de"}
    assert http.post("/language", form=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_an_unknown_language_changes_nothing(http: "Http", tenant: TenantContext) -> None:
    answer = choose(http, http.get("/sign-in"), "xx", f"{tenant.path}/sign-in")
    assert "Set-Cookie" not in answer.headers
    assert ENGLISH in http.get("/sign-in", query={"ui_locales": "\x00 ☃ " + "x" * 500}).text


def test_what_the_tenant_offers(services: Services, tenant: TenantContext, http: "Http") -> None:
    """And what discovery says of it (OpenID Connect Discovery section 3)."""
    assert http.get("/.well-known/openid-configuration").json["ui_locales_supported"] == ["en", "ar", "de"]
    decide(services, tenant, languages={"default": "de", "offered": ["en"]})
    assert http.get("/.well-known/openid-configuration").json["ui_locales_supported"] == ["en", "de"]
    page = http.get("/sign-in", headers={"Accept-Language": "ar"})
    assert GERMAN in page.text
    assert "العربية" not in page.text
    with pytest.raises(Problem, match="no translations into tlh"):
        decide(services, tenant, languages={"default": "tlh"})


def test_one_language_has_no_switch(services: Services, tenant: TenantContext, http: "Http") -> None:
    decide(services, tenant, languages={"default": "de", "offered": ["de"]})
    page = http.get("/sign-in")
    assert GERMAN in page.text
    assert 'class="languages"' not in page.text


def test_scopes_in_the_readers_language(
    person: Person, services: Services, tenant: TenantContext, http: "Http"
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        resource = Resource(identifier="https://api.example.com", name="API")
        session.add(resource)
        session.flush()
        words = {"description": "Read your documents", "descriptions": {"de": "Ihre Dokumente lesen"}}
        session.add(ResourceScope(resource_id=resource.id, name="read", **words))
    services.versions.touch()
    page = person.sign_in(person.authorize(scope="openid read", ui_locales="de"))
    assert "Ihre Dokumente lesen" in page.text
    assert "Wissen, welches Konto Ihres ist" in page.text
    english = Person(type(http)(http.app, tenant))
    assert "Read your documents" in english.sign_in(english.authorize(scope="openid read")).text


def test_what_an_application_asked_for_is_not_written_into_pages(http: "Http") -> None:
    """Where the switch would have to carry it, there is none."""
    page = http.get("/authorize", query={"client_id": "nobody-we-know"})
    assert page.status_code == 400
    assert "nobody-we-know" not in page.text


def _request() -> dict[str, Any]:
    from tests.protocol.browserless import request

    return request()
