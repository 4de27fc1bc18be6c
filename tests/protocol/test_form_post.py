"""OAuth 2.0 Form Post Response Mode, and how answers travel after a form of ours (contracts 14)."""

import re
from typing import TYPE_CHECKING

import pytest

from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.protocol.browserless import REDIRECT_URI, Person, answer_of, new_person, new_public_client, request

if TYPE_CHECKING:
    from tests.conftest import Http


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def test_answer_is_a_form(person: Person, tenant: TenantContext) -> None:
    """Section 2: the parameters as fields of a form, nothing of them in the query, HTML-escaped."""
    state = "a\"b'c<d>&e ä"
    answer = person.through(response_mode="form_post", state=state)
    assert answer.mode == "form_post"
    assert answer.target == REDIRECT_URI
    assert set(answer.parameters) == {"code", "state", "iss"}
    assert answer.parameters["state"] == state


def test_errors_too(person: Person, tenant: TenantContext) -> None:
    """Section 2: errors take the same way."""
    for changes in ({"prompt": "none"}, {"scope": "unheard-of"}, {"response_type": None}):
        answer = answer_of(person.authorize(response_mode="form_post", **changes))
        assert answer.mode == "form_post"
        assert answer.parameters["iss"] == tenant.issuer
        assert "error" in answer.parameters


def test_the_page_has_a_policy_of_its_own(person: Person) -> None:
    """Contracts 14: only to the redirect URI's origin, with an external script and a button; never stored."""
    response = person.authorize(response_mode="form_post", prompt="none")
    policy = response.headers["Content-Security-Policy"]
    assert "form-action https://app.example;" in policy
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert re.search(r'<script src="[^"]+form_post\.js', response.text)
    assert "<button" in response.text
    assert "onload" not in response.text


def test_not_to_an_app_scheme(person: Person, services: Services, tenant: TenantContext) -> None:
    """An app is opened by an address; nothing can be posted to it."""
    uri = "com.example.app:/cb"
    new_public_client(services, tenant, "native", redirect_uris=[uri], application_type="native")
    answer = answer_of(person.authorize("native", redirect_uri=uri, response_mode="form_post"))
    assert answer.target.startswith(uri + "?error=invalid_request")


def test_after_a_form_of_ours_a_page_goes_on(person: Person) -> None:
    """Contracts 14: Chromium applies form-action to every redirect after a POST, so there is none."""
    page = person.sign_in(person.authorize())
    response = person.allow(page)
    assert response.status_code == 200
    assert 'http-equiv="refresh"' in response.text
    assert 'id="continue"' in response.text
    assert "form-action 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    # Without a form before it a redirect is enough.
    assert person.http.get("/authorize", query=request()).status_code == 303
