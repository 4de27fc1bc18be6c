"""What a tenant sets is what its people and clients meet (contracts, "Tenant settings")."""

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app.domain import tenants
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web.services import Services
from tests.protocol.browserless import REDIRECT_URI, VERIFIER, Person, new_person, new_public_client

if TYPE_CHECKING:
    from tests.conftest import Http

SCOPE = "openid offline_access"


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.1)


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def decide(services: Services, tenant: TenantContext, **settings: Any) -> None:
    """As `watchword apply` does, while the server runs."""
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        tenants.update_settings(row, settings)
    services.versions.touch()


def redeem(person: Person, code: str) -> int:
    form = {"grant_type": "authorization_code", "code": code, "client_id": "app"}
    more = {"redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return person.http.post("/token", form=form | more).status_code


def refresh(person: Person, token: str) -> int:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"}
    return person.http.post("/token", form=form).status_code


def later(seconds: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(seconds=seconds), tick=True)


def test_access_seconds(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, tokens={"access_seconds": "2m"})
    assert person.tokens()["expires_in"] == 120


def test_code_seconds(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, tokens={"code_seconds": 20})
    codes = [person.through().parameters["code"] for _ in range(2)]
    with later(15):
        assert redeem(person, codes[0]) == 200
    with later(21):
        assert redeem(person, codes[1]) == 400


def test_refresh_seconds(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, tokens={"refresh_seconds": "2h"})
    token = person.tokens(scope=SCOPE)["refresh_token"]
    with later(2 * 3600 + 1):
        assert refresh(person, token) == 400


def test_refresh_grace_seconds(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, tokens={"refresh_grace_seconds": 50})
    token = person.tokens(scope=SCOPE)["refresh_token"]
    assert refresh(person, token) == 200
    with later(45):
        assert refresh(person, token) == 200
    with later(51):
        assert refresh(person, token) == 400


def test_sessions_end_as_the_tenant_says(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, sessions={"absolute_seconds": "2h", "idle_seconds": "30m"})
    person.through()
    with later(29 * 60):
        assert "code" in person.through(prompt="none").parameters
    with later(58 * 60):
        assert "code" in person.through(prompt="none").parameters
    with later(58 * 60 + 31 * 60):
        assert person.through(prompt="none").parameters["error"] == "login_required"
    decide(services, tenant, sessions={"idle_seconds": "24h"})
    person.through()
    with later(2 * 3600 + 1):
        assert person.through(prompt="none").parameters["error"] == "login_required"


def test_lockout(person: Person, services: Services, tenant: TenantContext) -> None:
    decide(services, tenant, authentication={"lockout": {"failures": 3, "window_seconds": 60}})
    page = person.authorize()
    assert [person.sign_in(page, password="wrong").status_code for _ in range(3)] == [401, 401, 401]
    refused = person.sign_in(page)
    assert refused.status_code == 429
    # Redis counts by its own clock, which no test moves.
    assert 0 < int(refused.headers["Retry-After"]) <= 60


def test_password_preset(services: Services, tenant: TenantContext, http: "Http") -> None:
    from tests.protocol.test_first_admin import fill_in, link

    decide(services, tenant, authentication={"password": {"preset": "classic-8"}})
    path = link(services, tenant)
    refused = fill_in(http, path, http.get(path), password="a long sentence nobody says")
    assert refused.status_code == 400
    assert "A digit." in refused.text
    assert fill_in(http, path, http.get(path), password="Sh0rt-er!").status_code == 303
