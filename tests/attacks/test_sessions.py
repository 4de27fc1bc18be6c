"""Attacks on sessions: fixed, stolen, of another tenant or account, and refresh tokens where nobody may work."""

import dataclasses
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app.domain.models import Consent
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol.browserless import (
    Person,
    answer_of,
    consent_form,
    new_person,
    new_public_client,
    token_of,
)
from tests.protocol.test_accounts import at_work, beside, switch
from tests.protocol.test_tenant_settings import decide


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.05)


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_public_client(services, tenant)
    for name in ("alice", "bob"):
        new_person(services, tenant, name)
    person = Person(http)
    person.through()
    return person


def jar(http: Http) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in http.client._cookies.values()}  # type: ignore[attr-defined]


def browser_with(http: Http, tenant: TenantContext, cookies: dict[str, str]) -> Http:
    found = Http(http.app, tenant)
    for name, value in cookies.items():
        found.client.set_cookie(name, value, domain="localhost")
    return found


def test_a_session_planted_before_signing_in_is_not_the_persons(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Fixation: the attacker's own session in the victim's browser stays the attacker's, and the victim's is new."""
    planted = jar(alice.http)
    victim = Person(browser_with(alice.http, tenant, planted), "bob")
    victim.through(prompt="login")
    now = jar(victim.http)
    assert now[f"ww-{tenant.id}"] != planted[f"ww-{tenant.id}"]
    assert now[f"ww-{tenant.id}"].split(".")[0] != planted[f"ww-{tenant.id}"].split(".")[0]
    # Whoever planted it is still only themselves.
    assert at_work(alice) == "Alice"
    assert at_work(victim) == "Bob"


def test_switching_makes_the_cookie_that_was_known_worthless(alice: Person, tenant: TenantContext) -> None:
    """The cookie an account had beside is not the one it has at work."""
    stolen = jar(alice.http)[f"ww-{tenant.id}"]
    beside(alice)
    switch(alice, "Alice")
    thief = browser_with(alice.http, tenant, {f"ww-{tenant.id}": stolen})
    assert 'id="sign-in"' in thief.get("/account").text
    assert at_work(alice) == "Alice"


def test_the_accounts_of_one_tenant_are_nobody_at_another(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """The sealed cookie under the other tenant's name, and under its own; changed and cut short as well."""
    beside(alice)
    other = new_tenant(services)
    new_public_client(services, other)
    sealed = jar(alice.http)[f"ww-{tenant.id}-others"]
    for value in (sealed, sealed[:-2] + "AA", sealed[:40], "x" * 3900, "e30", "=", ""):
        for name in (f"ww-{other.id}-others", f"ww-{tenant.id}-others", f"ww-{other.id}"):
            thief = Person(browser_with(alice.http, other, {name: value}))
            page = thief.authorize(prompt="select_account")
            assert page.status_code == 200
            assert "Alice" not in page.text
            assert 'id="sign-in"' in page.text
    # A session's own cookie is no list of accounts.
    plain = jar(alice.http)[f"ww-{tenant.id}"]
    page = Person(browser_with(alice.http, tenant, {f"ww-{tenant.id}-others": plain})).authorize()
    assert 'id="sign-in"' in page.text


def test_a_form_made_for_one_account_does_nothing_for_another(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Switcher confusion: a page of Alice's, sent when Bob came to work in another tab."""
    page = alice.http.get("/account/applications")
    consent = re.search(r'name="consent" value="([^"]+)"', page.text)
    assert consent
    forms: list[tuple[str, dict[str, str]]] = [
        ("/account/applications", {"consent": consent[1], "step": "withdraw"}),
        ("/account/sessions", {"step": "end-others"}),
        ("/account/data", {"step": "download"}),
        ("/account/switch", {"step": "another"}),
        ("/logout", {"confirmed": ""}),
    ]
    token = token_of(page)
    beside(alice)
    for path, form in forms:
        answer = alice.http.post(path, form={**form, "csrf_token": token})
        assert answer.status_code == 403, path
    assert at_work(alice) == "Bob"
    with services.tenancy.session(tenant.id) as session:
        kept = session.get(Consent, (tenant.id, consent[1]))
        assert kept is not None
        assert kept.withdrawn_at is None


def test_consent_shown_to_one_account_is_not_given_by_another(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Switcher confusion at an application: the page named Alice, and Bob is at work when it is sent."""
    new_public_client(services, tenant, "asking")
    page = alice.authorize("asking")
    form, here = consent_form(page), alice.at
    bob = beside(alice)
    answer = bob.follow(bob.http.post(here, raw=True, form=form))
    assert 'id="allow"' in answer.text
    assert re.search(r'class="name"[^>]*><bdi>Bob<', answer.text)


def test_an_account_chosen_and_then_left_is_chosen_anew(alice: Person) -> None:
    """Switcher confusion while choosing: what was chosen in one tab does not stand for who came to work in another."""
    beside(alice)
    page = alice.authorize(prompt="select_account login")
    value = re.search(r'name="account" value="([^"]+)">(?:(?!</button>).)*Alice', page.text, re.S)
    assert value
    page = alice.step(page, step="choose", account=value[1])
    assert 'id="sign-in"' in page.text
    here = alice.at
    switch(alice, "Bob")
    assert "Choose an account" in alice.http.get(here, raw=True).text


def test_nobody_comes_to_work_whose_session_is_not_in_this_browser(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """A session's public id is in tokens: it opens nothing."""
    elsewhere = Person(Http(alice.http.app, tenant), "bob")
    elsewhere.through()
    session_id = jar(elsewhere.http)[f"ww-{tenant.id}"].split(".")[0]
    page = alice.http.get("/")
    form = {"csrf_token": token_of(page), "step": "switch", "session": session_id}
    alice.http.post("/account/switch", form=form)
    assert at_work(alice) == "Alice"
    page = alice.authorize(prompt="select_account")
    assert "Choose an account" in alice.step(page, step="choose", account=session_id).text


def test_a_cookie_is_worth_nothing_in_another_network(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """With `sessions.bind_ip`; the owner notices nothing of the theft."""
    decide(services, tenant, sessions={"bind_ip": True})
    beside(alice)
    thief = Person(browser_with(alice.http, tenant, jar(alice.http)))
    where = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}
    assert 'id="sign-in"' in thief.http.get("/account", **where).text
    assert "Hello, " not in thief.http.get("/", **where).text
    assert at_work(alice) == "Bob"


def test_a_refresh_token_of_thirty_days_outside_allowed_hours_and_networks(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Whoever has it gets nothing where or when nobody may work, however often they try, and the owner keeps it."""
    now = clock.now()
    hours = {"timezone": "UTC", "days": [1, 2, 3, 4, 5, 6, 7], "start": now.hour, "end": now.hour + 1}
    decide(services, tenant, network={"allow": ["127.0.0.0/8"]}, hours=hours)
    token = alice.tokens(scope="openid offline_access")["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"}

    def tried(address: str, **after: Any) -> Any:
        with time_machine.travel(now + timedelta(**after), tick=True):
            return alice.http.post("/token", form=form, environ_base={"REMOTE_ADDR": address})

    for address, after in (
        ("203.0.113.9", {"days": 0}),
        ("203.0.113.9", {"days": 20}),
        ("127.0.0.1", {"hours": 3}),
        ("127.0.0.1", {"days": 29, "hours": 12}),
        ("10.0.0.1", {"days": 29, "hours": 12}),
    ):
        answer = tried(address, **after)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
        assert "access_token" not in answer.text
    assert tried("127.0.0.1", days=29).status_code == 200


def test_revoking_a_session_ends_its_tokens_at_once_but_not_offline_access(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """What the thief's browser had is over within the second, what was granted to outlive it is not."""
    bound = alice.tokens()
    offline = alice.tokens(scope="openid offline_access")
    owner = Person(Http(alice.http.app, tenant))
    owner.through()
    page = owner.http.get("/account/sessions")
    answer = owner.http.post("/account/sessions", form={"csrf_token": token_of(page), "step": "end-others"})
    assert answer.status_code == 303
    bearer = {"Authorization": f"Bearer {bound['access_token']}"}
    assert owner.http.get("/userinfo", headers=bearer).status_code == 401
    refreshed = [
        owner.http.post(
            "/token",
            form={"grant_type": "refresh_token", "refresh_token": t["refresh_token"], "client_id": "app"},
        ).status_code
        for t in (bound, offline)
    ]
    assert refreshed == [400, 200]
    assert answer_of(alice.authorize(prompt="none")).parameters["error"] == "login_required"
    assert at_work(owner) == "Alice"
