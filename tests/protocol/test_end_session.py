"""OpenID Connect RP-Initiated Logout 1.0, and signing out by oneself."""

from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

AFTER = "https://app.example/after?kept=1"
STATE = "s" * 128


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant, post_logout_redirect_uris=[AFTER])
    return Person(http)


def signed_in(person: Person) -> bool:
    found = answer_of(person.authorize(prompt="none")).parameters
    assert ("code" in found) != (found.get("error") == "login_required")
    return "code" in found


def logout(person: Person, method: str = "GET", **parameters: str) -> "TestResponse":
    if method == "POST":
        return person.follow(person.http.post("/logout", form=parameters))
    return person.follow(person.http.get("/logout", query=parameters))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_valid_hint_signs_out_and_redirects_with_the_state(person: Person, method: str) -> None:
    """Section 3: exactly the registered URI, `state` unchanged; nobody is asked who proved to know the sign-in."""
    hint = person.tokens()["id_token"]
    response = logout(person, method, id_token_hint=hint, post_logout_redirect_uri=AFTER, state=STATE)
    assert response.status_code == 303
    assert response.headers["Location"] == f"{AFTER}&state={STATE}"
    assert not signed_in(person)


def test_without_state_there_is_none(person: Person) -> None:
    hint = person.tokens()["id_token"]
    response = logout(person, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert response.headers["Location"] == AFTER
    assert not signed_in(person)


def test_expired_hint_is_good(person: Person) -> None:
    """Section 2: the OP SHOULD accept ID tokens whose exp has passed, while the session is there."""
    hint = person.tokens()["id_token"]
    with time_machine.travel(clock.after(3500), tick=True):
        person.http.get("/account")
    with time_machine.travel(clock.after(6000), tick=True):
        response = logout(person, id_token_hint=hint, post_logout_redirect_uri=AFTER)
        assert response.headers["Location"] == AFTER
        assert not signed_in(person)


@pytest.mark.parametrize(
    "change",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"post_logout_redirect_uri": AFTER + "&foo=bar"},
        {"post_logout_redirect_uri": "https://app.example/cb"},
        {"id_token_hint": "unsigned"},
        {"id_token_hint": "foreign"},
        {"id_token_hint": "access"},
        {"client_id": "other"},
        {"client_id": "nobody"},
    ],
)
def test_what_does_not_fit_redirects_nowhere(
    person: Person, services: Services, tenant: TenantContext, change: dict[str, str]
) -> None:
    """Sections 2 and 3: on any error no redirect; nothing is ended behind the person's back."""
    new_public_client(services, tenant, "other")
    tokens = person.tokens()
    header, payload, signature = tokens["id_token"].split(".")
    hints = {
        "unsigned": f"eyJhbGciOiJub25lIn0.{payload}.",
        "foreign": f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        "access": tokens["access_token"],
    }
    parameters = {
        "id_token_hint": tokens["id_token"],
        "post_logout_redirect_uri": AFTER,
        "state": STATE,
        **change,
    }
    parameters["id_token_hint"] = hints.get(parameters["id_token_hint"], parameters["id_token_hint"])
    response = logout(person, **parameters)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "evil" not in response.text
    assert signed_in(person)


def test_a_wrong_request_is_told_to_people_and_to_developers(person: Person) -> None:
    person.through()
    page = logout(person, post_logout_redirect_uri=AFTER)
    shown, _, closed = page.text.partition("<details")
    assert "wrong return address" in shown
    assert "id_token_hint" not in shown
    assert "A post_logout_redirect_uri needs an id_token_hint or a client_id." in closed
    assert "logout.redirect_uri_without_client" in closed
    assert 'href="' + person.http.tenant.path + '/sign-out"' in closed


def test_uri_without_a_hint_asks_first(person: Person) -> None:
    """Section 2: with `client_id` the person confirms, then goes on to the registered URI."""
    person.through()
    assert logout(person, post_logout_redirect_uri=AFTER).status_code == 400
    page = logout(person, client_id="app", post_logout_redirect_uri=AFTER, state=STATE)
    assert 'id="confirm-logout"' in page.text
    assert "Example App" in page.text
    assert signed_in(person)
    page = logout(person, client_id="app", post_logout_redirect_uri=AFTER, state=STATE)
    assert answer_of(confirm(person, page)).target == f"{AFTER}&state={STATE}"
    assert not signed_in(person)


@pytest.mark.parametrize("parameters", [{}, {"state": STATE}, {"ui_locales": "se"}])
def test_nothing_to_go_back_to(person: Person, parameters: dict[str, str]) -> None:
    """Section 2: after confirming, "You are signed out" and nothing else."""
    person.through()
    response = confirm(person, logout(person, **parameters))
    assert response.status_code == 200
    assert "You are signed out" in response.text
    assert "http-equiv" not in response.text
    assert not signed_in(person)


def test_hint_of_somebody_else_asks_first(person: Person, services: Services, tenant: TenantContext) -> None:
    """Section 2: when the hint is not about who is signed in, the OP asks."""
    hint = person.tokens()["id_token"]
    new_person(services, tenant, "bob")
    bob = Person(Browser(person.http.app, tenant), "bob")
    bob.through()
    page = logout(bob, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert 'id="confirm-logout"' in page.text
    assert signed_in(bob)


def test_hint_that_names_no_session_asks_first(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """It is about the person alone, and good for ever: whoever got one may not end what is begun years later."""
    claims = dict(jose.unverified(person.tokens()["id_token"]).claims)
    del claims["sid"]
    hint = jose.sign(claims, services.keyring.current(tenant.id, "RS256"), typ="JWT")
    page = logout(person, id_token_hint=hint, post_logout_redirect_uri=AFTER, state=STATE)
    assert 'id="confirm-logout"' in page.text
    assert signed_in(person)
    page = logout(person, id_token_hint=hint, post_logout_redirect_uri=AFTER, state=STATE)
    assert answer_of(confirm(person, page)).target == f"{AFTER}&state={STATE}"
    assert not signed_in(person)


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_signed_userinfo_answer_is_no_hint(
    person: Person, services: Services, tenant: TenantContext, alg: str
) -> None:
    """OIDC Core section 5.3.2: signed by us for a client, as an ID token is, and none; whoever kept one of another
    sign-in ends nothing by it, and says nobody's name with it."""
    new_public_client(services, tenant, "kept", userinfo_signed_response_alg=alg)
    elsewhere = Person(Browser(person.http.app, tenant))
    header = {"Authorization": f"Bearer {elsewhere.tokens('kept')['access_token']}"}
    answer = elsewhere.http.get("/userinfo", headers=header)
    assert answer.headers["Content-Type"] == "application/jwt"
    person.through()
    assert logout(person, id_token_hint=answer.text).status_code == 400
    assert signed_in(person)
    told = answer_of(elsewhere.authorize("kept", prompt="none", id_token_hint=answer.text))
    assert told.parameters["error"] == "invalid_request"


def test_hint_ends_the_account_it_names_of_several(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Section 2: the one the hint is about, though another one is at work; that one stays."""
    hint = person.tokens()["id_token"]
    new_person(services, tenant, "bob")
    Person(person.http, "bob").through(prompt="login")
    response = logout(person, id_token_hint=hint, post_logout_redirect_uri=AFTER)
    assert response.status_code == 303
    assert "Bob" in person.http.get("/").text
    assert "Choose an account" not in person.authorize(prompt="none").text
    assert "Alice" not in person.authorize(prompt="select_account").text


def test_link_alone_redirects_nobody_who_is_signed_out(person: Person) -> None:
    """An open redirector in disguise: without a hint of ours nobody is sent on."""
    response = logout(person, client_id="app", post_logout_redirect_uri=AFTER)
    assert response.status_code == 200
    assert "You are signed out" in response.text


def test_sign_out_needs_the_form_token(person: Person, services: Services, tenant: TenantContext) -> None:
    """A foreign page cannot sign anybody out: neither without a token nor with one of another session."""
    person.through()
    other = Person(type(person.http)(person.http.app, tenant))
    new_person(services, tenant, "bob")
    other.username = "bob"
    other.through()
    foreign = token_of(other.http.get("/sign-out"))
    for token in ("", "x.y", foreign):
        response = person.http.post("/logout", form={"csrf_token": token, "confirmed": ""})
        assert response.status_code == 403
        assert signed_in(person)


def test_tokens_of_the_session_end_with_it(person: Person) -> None:
    """Access tokens and refresh tokens without offline_access end; those with it stay (OIDC Core section 11)."""
    online, offline = person.tokens(), person.tokens(scope="openid offline_access")
    confirm(person, logout(person))
    header = {"Authorization": f"Bearer {online['access_token']}"}
    assert person.http.get("/userinfo", headers=header).status_code == 401
    assert refresh(person, online) == "invalid_grant"
    assert refresh(person, offline) is None


def test_sign_out_is_on_record(person: Person, services: Services, tenant: TenantContext) -> None:

    person.through()
    confirm(person, logout(person))
    with services.tenancy.session(tenant.id) as session:
        (found,) = outbox_rows.events(session, "auth.logout")
    assert (found["email"], found["mfa_used"], found["ip"]) == ("alice@example.com", False, "127.0.0.1")
    assert found["user"]
    assert found["session"]


def confirm(person: Person, page: "TestResponse") -> "TestResponse":
    from re import search

    kept = search(r'name="confirmed" value="([^"]*)"', page.text)
    assert kept, page.text
    form = {"csrf_token": token_of(page), "confirmed": kept[1]}
    return person.follow(person.http.post("/logout", form=form))


def refresh(person: Person, tokens: dict[str, Any]) -> str | None:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    error: str | None = person.http.post("/token", form=form).json.get("error")
    return error
