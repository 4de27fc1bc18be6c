"""Several accounts in one browser: choosing, switching, hints, signing out (OpenID Connect Core section 3.1.2.1)."""

import re
from typing import TYPE_CHECKING

import pytest

from app.domain.tenants import TenantContext
from app.web.browser import MAX_ACCOUNTS
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_public_client(services, tenant, first_party=True)
    for name in ("alice", "bob"):
        new_person(services, tenant, name)
    person = Person(http)
    person.through()
    return person


def beside(person: Person, name: str = "bob") -> Person:
    """Somebody else who signs in in the same browser."""
    other = Person(person.http, name)
    other.through(prompt="login")
    return other


def at_work(person: Person) -> str:
    found = re.search(r"Hello, (?:<bdi>)?(\w+)", person.http.get("/").text)
    return found[1] if found else ""


def choose(person: Person, page: "TestResponse", name: str) -> "TestResponse":
    """Press the button of an account, or `another`."""
    value = name
    if name != "another":
        buttons = re.findall(r'name="account" value="([^"]+)">(.*?)</button>', page.text, re.S)
        (value,) = (value for value, inside in buttons if name in inside)
    return person.step(page, step="choose", account=value)


def switch(person: Person, name: str) -> "TestResponse":
    """Use the menu of the account console."""
    page = person.http.get("/")
    buttons = re.findall(r'name="session" value="([^"]+)">(.*?)</button>', page.text, re.S)
    (value,) = (value for value, inside in buttons if name in inside)
    form = {"csrf_token": token_of(page), "step": "switch", "session": value}
    return person.http.post("/account/switch", form=form)


def test_select_account_shows_who_is_signed_in(alice: Person) -> None:
    """The OP SHOULD prompt the End-User to select a user account."""
    beside(alice)
    page = alice.authorize(prompt="select_account")
    assert "Choose an account" in page.text
    assert "Alice" in page.text
    assert "Bob" in page.text
    # Reloading does not choose.
    assert "Choose an account" in alice.http.get(alice.at, raw=True).text
    assert "code" in answer_of(choose(alice, page, "Alice")).parameters
    assert at_work(alice) == "Alice"


def test_another_account_leads_to_the_sign_in_page(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    page = choose(alice, alice.authorize(prompt="select_account"), "another")
    assert 'id="sign-in"' in page.text
    assert "code" in answer_of(alice.sign_in(page, username="bob")).parameters
    assert at_work(alice) == "Bob"
    switch(alice, "Alice")
    assert at_work(alice) == "Alice"


def test_login_after_choosing_asks_the_one_who_was_chosen(alice: Person) -> None:
    beside(alice)
    page = choose(alice, alice.authorize(prompt="select_account login"), "Alice")
    assert 'id="sign-in"' in page.text
    assert "code" in answer_of(alice.sign_in(page)).parameters


@pytest.mark.parametrize("silent", [True, False])
def test_a_hint_finds_the_account_it_is_about(
    alice: Person, services: Services, tenant: TenantContext, silent: bool
) -> None:
    """`id_token_hint` and `login_hint`; a silent request changes nobody's account at work."""
    hint = alice.tokens()["id_token"]
    beside(alice)
    more = {"prompt": "none"} if silent else {}
    sub = parties_sub(services, tenant, alice.tokens(id_token_hint=hint, **more)["id_token"])
    assert sub == parties_sub(services, tenant, hint)
    assert parties_sub(services, tenant, alice.tokens(login_hint="alice", **more)["id_token"]) == sub
    assert parties_sub(services, tenant, alice.tokens(login_hint="ALICE@example.com")["id_token"]) == sub
    assert parties_sub(services, tenant, alice.tokens(login_hint="nobody")["id_token"]) != sub
    assert at_work(alice) == "Bob"


def parties_sub(services: Services, tenant: TenantContext, token: str) -> str:
    from tests.protocol.parties import read_token

    found: str = read_token(services, tenant, token).claims["sub"]
    return found


def test_pages_for_a_hint_are_the_hinted_accounts(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Consent is asked of the account the client means, which is at work from then on."""
    hint = alice.tokens()["id_token"]
    new_public_client(services, tenant, "asking")
    beside(alice)
    page = alice.authorize("asking", login_hint="alice")
    assert 'id="allow"' in page.text
    assert re.search(r'class="name"[^>]*><bdi>Alice<', page.text)
    assert at_work(alice) == "Alice"
    assert hint


def test_signing_out_one_leaves_the_others_to_be_chosen(alice: Person) -> None:
    """Nobody comes to work by somebody else's signing out; a silent request is told that a choice is due."""
    beside(alice)
    page = alice.http.get("/sign-out")
    assert 'id="sign-out-all"' in page.text
    answer = alice.http.post("/logout", form={"csrf_token": token_of(page)})
    assert "You are signed out" in answer.text
    assert "Alice" in answer.text
    assert answer_of(alice.authorize(prompt="none")).parameters["error"] == "account_selection_required"
    page = alice.follow(alice.http.get("/"))
    assert "Choose an account" in page.text
    assert "Bob" not in page.text


def test_signing_out_of_all(alice: Person) -> None:
    """From the page shown after the first, too, where no account is at work any more."""
    beside(alice)
    page = alice.http.get("/")
    answer = alice.http.post("/logout", form={"csrf_token": token_of(page)})
    assert 'id="sign-out-all"' in answer.text
    answer = alice.http.post("/logout", form={"csrf_token": token_of(answer), "step": "all"})
    assert "You are signed out" in answer.text
    assert "Alice" not in answer.text
    assert 'id="sign-in"' in alice.http.get("/").text
    assert answer_of(alice.authorize(prompt="none")).parameters["error"] == "login_required"


def test_a_browser_keeps_so_many_accounts(alice: Person, services: Services, tenant: TenantContext) -> None:
    """The one that was longest not at work goes, and its session with it."""
    tokens = alice.tokens()
    for number in range(MAX_ACCOUNTS):
        new_person(services, tenant, f"person{number}")
        beside(alice, f"person{number}")
    page = alice.authorize(prompt="select_account")
    assert page.text.count('name="account"') == MAX_ACCOUNTS + 1
    assert "Alice" not in page.text
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    assert alice.http.post("/token", form=form).json["error"] == "invalid_grant"


def test_signing_in_again_as_one_who_is_beside_keeps_their_session(alice: Person) -> None:
    tokens = alice.tokens()
    beside(alice)
    page = choose(alice, alice.authorize(prompt="select_account"), "another")
    assert "code" in answer_of(alice.sign_in(page)).parameters
    assert at_work(alice) == "Alice"
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    assert alice.http.post("/token", form=form).status_code == 200
    assert alice.authorize(prompt="select_account").text.count('name="account"') == 3


def test_the_menu_adds_an_account(alice: Person) -> None:
    page = alice.http.get("/")
    form = {"csrf_token": token_of(page), "step": "another"}
    page = alice.follow(alice.http.post("/account/switch", form=form))
    assert 'id="sign-in"' in page.text
    assert "Hello, " in alice.sign_in(page, username="bob").text
    assert at_work(alice) == "Bob"
