"""Network and hour rules hold at sign-in and at refresh (contracts, "Tenant settings")."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app.domain.client_metadata import DEVICE_CODE
from app.domain.models import Grant
from app.domain.tenants import TenantContext
from app.infra import audit
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_device import wait_over
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import TokenSide

OFFICE = {"allow": ["10.0.0.0/8"]}
INSIDE = {"REMOTE_ADDR": "10.1.2.3"}
OUTSIDE = {"REMOTE_ADDR": "203.0.113.9"}


class From(Http):
    """A browser at an address."""

    address: dict[str, str] = INSIDE

    def request(self, method: str, path: str, **options: Any) -> Any:
        options.setdefault("environ_base", self.address)
        return super().request(method, path, **options)


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.05)


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(From(http.app, tenant))


def closed() -> dict[str, Any]:
    """Hours that are over, or have not begun, whenever this runs."""
    now = clock.now()
    begin = (now.hour + 2) % 24
    return {"timezone": "UTC", "days": [1, 2, 3, 4, 5, 6, 7], "start": begin, "end": (begin + 1) % 24 or 24}


def refresh(person: Person, token: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"}
    return person.http.post("/token", form=form)


def reasons(services: Services, tenant: TenantContext, event: str) -> list[str]:
    """Of the events of a name that went to the stream."""
    streamed = services.state.read_stream([tenant.id], audit.STREAM, "test", count=500)
    records = [json.loads(entry.entry) for found in streamed.values() for entry in found]
    return [record["reason"] for record in records if record["event"] == event]


@pytest.mark.parametrize(
    ("rule", "reason", "words"),
    [
        ({"network": OFFICE}, "network.not_allowed", "You cannot sign in from here"),
        ({"hours": None}, "hours.closed", "You cannot sign in now"),
    ],
)
def test_signing_in_is_refused_after_the_password_with_a_page_that_says_why(
    person: Person, services: Services, tenant: TenantContext, rule: dict[str, Any], reason: str, words: str
) -> None:
    """Nobody learns of the rules but who showed who they are; and there is no session."""
    decide(services, tenant, **({"hours": closed()} if "hours" in rule else rule))
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    page = person.authorize()
    assert 'id="sign-in"' in page.text
    assert "Wrong username or password" in person.sign_in(page, password="wrong").text
    answer = person.sign_in(page)
    assert answer.status_code == 403
    assert words in answer.text
    assert not any(cookie.key == f"ww-{tenant.id}" for cookie in person.http.client._cookies.values())  # type: ignore[attr-defined]
    assert reason in reasons(services, tenant, "auth.login.fail")
    # The client hears of it when the person goes back.
    ended = answer_of(person.step(answer, step="cancel"))
    assert ended.parameters["error"] == "access_denied"


def test_the_account_console_is_no_way_around(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    decide(services, tenant, network=OFFICE)
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    page = person.follow(person.http.get("/account"))
    action = page.text.split('action="')[1].split('"')[0]
    person.at = action
    assert "You cannot sign in from here" in person.sign_in(page).text


def test_within_the_rules_everything_is_as_ever(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    decide(services, tenant, network=OFFICE)
    tokens = person.tokens(scope="openid offline_access")
    assert refresh(person, tokens["refresh_token"]).status_code == 200


def test_a_session_opens_nothing_from_elsewhere(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """A new client is signed in to with an old session: that is signing in, too."""
    decide(services, tenant, network=OFFICE)
    person.through()
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    assert answer_of(person.authorize(prompt="none")).parameters["error"] == "access_denied"
    assert person.authorize().status_code == 403
    person.http.address = INSIDE  # type: ignore[attr-defined]
    assert "code" in answer_of(person.authorize()).parameters


@pytest.mark.parametrize("rule", ["network", "hours"])
@pytest.mark.parametrize(
    "path", ["/", "/account", "/account/password", "/account/email", "/account/sessions"]
)
def test_a_running_session_is_no_way_around_the_rules_in_the_console(
    person: Person, services: Services, tenant: TenantContext, rule: str, path: str
) -> None:
    """A session that was taken along, or stolen, shows and changes nothing from outside; it goes on once its person is
    back."""
    person.through()
    assert person.follow(person.http.get(path)).status_code == 200
    token = token_of(person.http.get("/account/sessions"))
    decide(services, tenant, **({"network": OFFICE} if rule == "network" else {"hours": closed()}))
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    page = person.follow(person.http.get(path))
    assert page.status_code == 403
    assert "You cannot sign in" in page.text
    form = {"csrf_token": token, "email": "thief@example.com", "step": "end-others", "username": "alice"}
    for target in ("/account/email", "/account/sessions", "/account/delete", "/account/data"):
        refused = person.http.post(target, form=form)
        assert refused.status_code == 303
        assert refused.headers["Location"].endswith(target)
    expected = "network.not_allowed" if rule == "network" else "hours.closed"
    assert expected in reasons(services, tenant, "auth.login.fail")
    decide(services, tenant, network=None, hours=None)
    assert person.follow(person.http.get(path)).status_code == 200


@pytest.mark.parametrize("amr", [("pwd",), ("fed",)])
def test_the_api_asks_for_the_rules(
    services: Services, tenant: TenantContext, http: Http, amr: tuple[str, ...]
) -> None:
    """Who came by another organization's sign-in may be excepted here, too."""
    new_person(services, tenant)
    new_public_client(services, tenant, scope="openid watchword:account:read")
    person = Person(From(http.app, tenant))
    token = person.tokens(scope="openid watchword:account:read", resource=tenant.issuer)["access_token"]
    with services.tenancy.session(tenant.id, write=True) as session:
        session.query(Grant).one().amr = list(amr)
    bearer = {"Authorization": f"Bearer {token}"}

    def ask() -> Any:
        return person.http.get("/api/v1/me/sessions", headers=bearer)

    assert ask().status_code == 200
    decide(services, tenant, network={**OFFICE, "bypass_for_sso": True})
    assert ask().status_code == 200
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    answer = ask()
    if "fed" in amr:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json["code"]) == (403, "network.not_allowed")
    decide(services, tenant, network=None, hours=closed())
    answer = ask()
    assert (answer.status_code, answer.json["code"]) == (403, "hours.closed")


@pytest.mark.parametrize("rule", ["network", "hours"])
def test_a_device_collects_no_tokens_outside_the_rules(
    person: Person, services: Services, tenant: TenantContext, rule: str
) -> None:
    """It may ask again from where, or when, it may."""
    grants = [DEVICE_CODE, "refresh_token"]
    new_public_client(services, tenant, "tv", grant_types=grants, redirect_uris=[], scope="openid")
    begun = person.http.post("/device_authorization", form={"client_id": "tv", "scope": "openid"}).json
    page = person.follow(person.http.get("/device", query={"user_code": begun["user_code"]}))
    page = person.sign_in(person.step(page, step="device", answer="continue"))
    person.allow(page)
    decide(services, tenant, **({"network": OFFICE} if rule == "network" else {"hours": closed()}))
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    form = {"grant_type": DEVICE_CODE, "device_code": begun["device_code"], "client_id": "tv"}
    refused = person.http.post("/token", form=form)
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_grant")
    expected = "network.not_allowed" if rule == "network" else "hours.closed"
    assert expected in reasons(services, tenant, "token.refused")
    decide(services, tenant, network=None, hours=None)
    wait_over(TokenSide(services, tenant, person.http), begun["device_code"])
    assert person.http.post("/token", form=form).status_code == 200


@pytest.mark.parametrize("rule", ["network", "hours"])
def test_refresh_is_refused_without_burning_the_token(
    person: Person, services: Services, tenant: TenantContext, rule: str
) -> None:
    first = person.tokens(scope="openid offline_access")["refresh_token"]
    decide(services, tenant, **({"network": OFFICE} if rule == "network" else {"hours": closed()}))
    person.http.address = OUTSIDE  # type: ignore[attr-defined]
    for _ in range(3):
        answer = refresh(person, first)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")
    expected = "network.not_allowed" if rule == "network" else "hours.closed"
    assert expected in reasons(services, tenant, "token.refused")
    if rule == "network":
        person.http.address = INSIDE  # type: ignore[attr-defined]
        assert refresh(person, first).status_code == 200
    else:
        with time_machine.travel(clock.now() + timedelta(hours=2), tick=True):
            assert refresh(person, first).status_code == 200
