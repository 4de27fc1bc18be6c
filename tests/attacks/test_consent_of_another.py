"""Yes is said by the person the page named, to what the page said."""

from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import (
    Person,
    consent_form,
    new_person,
    new_public_client,
)


def _two_tabs(http: Http, services: Services, tenant: TenantContext) -> tuple[Person, Person]:
    new_person(services, tenant, "alice")
    new_person(services, tenant, "mallory")
    new_public_client(services, tenant)
    return Person(http, "alice"), Person(http, "mallory")


def test_allowing_as_one_person_does_not_bind_another_who_signed_in_since(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """One browser, two tabs: the page in the first still names Alice when the session is Mallory's."""
    first, second = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize())
    assert "Alice" in page.text
    second.sign_in(second.authorize(prompt="login"))
    answer = first.allow(page)
    assert "code=" not in answer.text
    assert 'id="allow"' in answer.text
    assert "Mallory" in answer.text
    assert "code=" in first.allow(answer).text


def test_a_page_of_an_earlier_session_counts_no_more(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    first, _ = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize())
    answer = first.step(page, **{**consent_form(page), "session": "0" * 36})
    assert 'id="allow"' in answer.text
    assert "code=" not in answer.text


def test_what_was_asked_cannot_be_changed_by_the_form(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """Scopes, client and redirect URI come from what was checked, never from the page."""
    first, _ = _two_tabs(http, services, tenant)
    page = first.sign_in(first.authorize(scope="openid"))
    wider = {
        "scope": "openid email offline_access",
        "redirect_uri": "https://evil.example/",
        "client_id": "x",
    }
    answer = first.step(page, **consent_form(page), **wider)
    assert "evil.example" not in answer.text
    assert "https://app.example/cb?code=" in answer.text
    with services.tenancy.session(tenant.id) as session:
        from sqlalchemy import select

        from app.domain.models import Grant

        assert list(session.scalars(select(Grant)).one().scopes) == ["openid"]
