"""`prompt`, `id_token_hint` and who is signed in (OpenID Connect Core section 3.1.2.1)."""

import re

import pytest
import time_machine

from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def claims_of(token: str, services: Services, tenant: TenantContext) -> dict[str, object]:
    return jose.verify(token, services.keyring.verification_keys(tenant.id), algorithms=("RS256",)).claims


def test_prompt_none_without_a_session(person: Person) -> None:
    """login_required, and the state unchanged."""
    state = "s" * 128
    found = answer_of(person.authorize(prompt="none", state=state)).parameters
    assert (found["error"], found["state"]) == ("login_required", state)


def test_prompt_none_with_a_session(person: Person, services: Services, tenant: TenantContext) -> None:
    """Silent success: the same person, the same auth_time."""
    first = claims_of(person.tokens()["id_token"], services, tenant)
    answer = answer_of(person.authorize(prompt="none"))
    assert "code" in answer.parameters
    second = claims_of(person.tokens(prompt="none")["id_token"], services, tenant)
    assert (first["sub"], first["auth_time"]) == (second["sub"], second["auth_time"])


def test_prompt_none_for_more_than_was_allowed(person: Person) -> None:
    """consent_required."""
    person.through(scope="openid")
    assert (
        answer_of(person.authorize(scope="openid email", prompt="none")).parameters["error"]
        == "consent_required"
    )


def test_prompt_none_for_somebody_else(person: Person, services: Services, tenant: TenantContext) -> None:
    """An id_token_hint that names another person than the one signed in: login_required."""
    hint = person.tokens()["id_token"]
    new_person(services, tenant, "bob")
    bob = Person(Http(person.http.app, tenant), "bob")
    page = bob.authorize(prompt="login")
    assert 'id="allow"' in bob.sign_in(page).text
    found = answer_of(bob.authorize(prompt="none", id_token_hint=hint)).parameters
    assert found["error"] == "login_required"


def test_hint_for_the_same_person_may_be_old(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Section 3.1.2.1: the OP accepts ID tokens it issued, expired or not."""
    hint = person.tokens()["id_token"]
    with time_machine.travel(clock.after(7200), tick=True):
        page = person.authorize(id_token_hint=hint)
        assert 'id="sign-in"' in page.text
        assert "code" in answer_of(person.sign_in(page)).parameters
        assert "code" in answer_of(person.authorize(id_token_hint=hint, prompt="none")).parameters


def test_hint_and_then_another_person_signs_in(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Whoever signs in instead is not who was asked for: login_required, no code."""
    hint = person.tokens()["id_token"]
    new_person(services, tenant, "bob")
    bob = Person(person.http, "bob")
    page = bob.authorize(id_token_hint=hint, prompt="login")
    assert answer_of(bob.sign_in(page)).parameters["error"] == "login_required"


@pytest.mark.parametrize("kind", ["unsigned", "foreign", "access token", "other client"])
def test_hints_that_are_none(person: Person, services: Services, tenant: TenantContext, kind: str) -> None:
    """Only an ID token of ours, for this client, says who is meant."""
    tokens = person.tokens()
    header, payload, signature = tokens["id_token"].split(".")
    hint = {
        "unsigned": f"eyJhbGciOiJub25lIn0.{payload}.",
        "foreign": f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        "access token": tokens["access_token"],
        "other client": tokens["id_token"],
    }[kind]
    new_public_client(services, tenant, "other")
    client_id = "other" if kind == "other client" else "app"
    found = answer_of(person.authorize(client_id, id_token_hint=hint)).parameters
    assert found["error"] == "invalid_request"


def test_prompt_login_asks_again(person: Person, services: Services, tenant: TenantContext) -> None:
    """Section 3.1.2.1: the OP SHOULD prompt for reauthentication; auth_time is later afterwards."""
    first = claims_of(person.tokens()["id_token"], services, tenant)
    with time_machine.travel(clock.after(5), tick=True):
        page = person.authorize(prompt="login")
        assert 'id="sign-in"' in page.text
        # Reloading does not get around it.
        assert 'id="sign-in"' in person.http.get(person.at, raw=True).text
        second = claims_of(person.tokens(prompt="login")["id_token"], services, tenant)
    assert second["auth_time"] > first["auth_time"]
    assert second["sub"] == first["sub"]


def test_prompt_consent_asks_again(person: Person) -> None:
    """Section 3.1.2.1, even where consent was given."""
    person.through()
    assert 'id="allow"' in person.authorize(prompt="consent").text


def test_signing_in_again_keeps_the_session_and_changes_its_cookie(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """The secret changes with every sign-in (session fixation); what was started under the session goes on."""
    tokens = person.tokens()
    cookies = {c.key: c.value for c in person.http.client._cookies.values()}
    person.tokens(prompt="login")
    name = f"ww-{tenant.id}"
    now = {c.key: c.value for c in person.http.client._cookies.values()}
    assert now[name] != cookies[name]
    response = person.http.post(
        "/token",
        form={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"},
    )
    assert response.status_code == 200, response.text
    person.http.client.set_cookie(name, cookies[name], domain="localhost")
    assert answer_of(person.authorize(prompt="none")).parameters["error"] == "login_required"


def test_another_account_has_a_session_of_its_own(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Two people never share a session; the first one's goes on beside the second one's."""
    tokens = person.tokens()
    new_person(services, tenant, "bob")
    bob = Person(person.http, "bob")
    claims = claims_of(bob.tokens(prompt="login")["id_token"], services, tenant)
    assert claims["sub"] != claims_of(tokens["id_token"], services, tenant)["sub"]
    response = person.http.post(
        "/token",
        form={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"},
    )
    assert claims_of(response.json["id_token"], services, tenant)["sub"] != claims["sub"]


def test_closed_account_is_signed_out(person: Person, services: Services, tenant: TenantContext) -> None:
    """A disabled person gets no code from a session that is still there."""
    from app.domain import users

    person.through()
    with services.tenancy.session(tenant.id, write=True) as session:
        alice = users.find_by_login(session, "alice")
        assert alice is not None
        alice.disabled_at = clock.now()
    assert answer_of(person.authorize(prompt="none")).parameters["error"] == "login_required"
    assert "Wrong username or password" in person.sign_in(person.authorize()).text


def test_not_you_leads_to_another_account(person: Person, services: Services, tenant: TenantContext) -> None:
    page = person.sign_in(person.authorize())
    assert 'id="switch"' in page.text
    page = person.step(page, step="switch")
    assert "Choose an account" in page.text
    page = person.step(page, step="choose", account="another")
    assert 'id="sign-in"' in page.text
    new_person(services, tenant, "bob")
    page = Person.sign_in(person, page, username="bob")
    assert re.search(r'class="name"[^>]*><bdi>Bob<', page.text)
