"""How old a sign-in may be: `max_age`, `default_max_age`, sensitive scopes (OpenID Connect Core section 3.1.2.1)."""

from typing import TYPE_CHECKING

import pytest
import time_machine

from app.domain.client_metadata import TOKEN_EXCHANGE
from app.domain.models import Resource, ResourceScope
from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.protocols.oauth.presented import ACCESS_TOKEN
from app.web.services import Services
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, token_of
from tests.protocol.test_factors import Settle, settle
from tests.protocol.token_side import TokenSide, refused

if TYPE_CHECKING:
    from tests.conftest import Http

__all__ = ["settle"]


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def auth_time(token: str, services: Services, tenant: TenantContext) -> int:
    found = jose.verify(token, services.keyring.verification_keys(tenant.id), algorithms=("RS256",)).claims
    value: int = found["auth_time"]
    return value


def test_older_than_max_age_asks_again(person: Person, services: Services, tenant: TenantContext) -> None:
    """The OP MUST attempt to actively re-authenticate; auth_time is there and later."""
    first = auth_time(person.tokens()["id_token"], services, tenant)
    with time_machine.travel(clock.after(3), tick=True):
        assert 'id="sign-in"' in person.authorize(max_age="1").text
        assert answer_of(person.authorize(max_age="1", prompt="none")).parameters["error"] == "login_required"
        assert auth_time(person.tokens(max_age="1")["id_token"], services, tenant) > first


def test_younger_than_max_age_does_not(person: Person, services: Services, tenant: TenantContext) -> None:
    first = auth_time(person.tokens(max_age="15000")["id_token"], services, tenant)
    with time_machine.travel(clock.after(60), tick=True):
        assert auth_time(person.tokens(max_age="10000", prompt="none")["id_token"], services, tenant) == first


def test_a_request_kept_open_does_not_keep_its_sign_in_young(person: Person, settle: Settle) -> None:
    """It counts for the request it was for, for as long as what is shown on the way counts."""
    settle(authentication={"methods": ["password", "email"]})
    page = person.sign_in(person.authorize(max_age="60", prompt="login"))
    assert 'id="allow"' in page.text
    at = person.at.partition("?")[0]
    with time_machine.travel(clock.after(0), tick=True) as traveller:
        for _ in range(2):
            traveller.shift(550)
            # Something changes in the interaction, which makes it last.
            form = {"csrf_token": token_of(page), "step": "sign-in", "way": "email", "username": "nobody"}
            assert person.http.post(at, raw=True, form=form).status_code == 303
        assert 'id="sign-in"' in person.http.get(at, raw=True).text


def test_zero_asks_again_each_time(person: Person) -> None:
    """max_age=0 is prompt=login in other words."""
    person.through()
    with time_machine.travel(clock.after(1), tick=True):
        page = person.authorize(max_age="0")
        assert 'id="sign-in"' in page.text
        assert "code" in answer_of(person.sign_in(page)).parameters


def test_default_max_age_of_the_client(person: Person, services: Services, tenant: TenantContext) -> None:
    """OIDC Dynamic Client Registration section 2: default_max_age, which max_age overrides."""
    new_public_client(services, tenant, "careful", default_max_age=5)
    person.through("careful")
    with time_machine.travel(clock.after(10), tick=True):
        assert 'id="sign-in"' in person.authorize("careful").text
        assert "code" in answer_of(person.authorize("careful", max_age="1000")).parameters


def with_payments(services: Services, tenant: TenantContext, *, max_age_seconds: int = 600) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        resource = Resource(identifier="https://pay.example.com", name="Payments")
        session.add(resource)
        session.flush()
        session.add(
            ResourceScope(
                resource_id=resource.id,
                name="pay",
                description="Pay",
                sensitive=True,
                max_age_seconds=max_age_seconds,
            )
        )
    services.versions.touch()


def test_sensitive_scope_wants_a_recent_sign_in(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """A scope with max_age_seconds: only a sign-in as recent as that is good enough."""
    with_payments(services, tenant)
    assert "code" in person.through(scope="openid pay").parameters
    with time_machine.travel(clock.after(700), tick=True):
        assert "code" in answer_of(person.authorize(scope="openid")).parameters
        page = person.authorize(scope="openid pay")
        assert 'id="sign-in"' in page.text
        assert (
            answer_of(person.authorize(scope="openid pay", prompt="none")).parameters["error"]
            == "login_required"
        )
        assert "code" in answer_of(person.sign_in(page)).parameters


PAYMENTS = "https://pay.example.com"


def test_refreshing_leaves_out_what_needs_a_more_recent_sign_in(
    services: Services, tenant: TenantContext, http: "Http"
) -> None:
    """RFC 6749 section 6: the scope may be narrower, and the answer says so (section 5.1)."""
    with_payments(services, tenant)
    side = TokenSide(services, tenant, http)
    client, user = side.client(scope="openid pay offline_access"), side.user()
    wide = side.tokens(client, user, "openid pay offline_access", resources=(PAYMENTS, tenant.issuer))
    alone = side.tokens(client, user, "pay", resources=(PAYMENTS,))
    young = side.refresh(client, wide["refresh_token"]).json
    assert "pay" in young["scope"].split()
    with time_machine.travel(clock.after(700), tick=True):
        old = side.refresh(client, young["refresh_token"])
        assert set(old.json["scope"].split()) == {"openid", "offline_access"}
        assert "pay" not in side.read(old.json["access_token"]).claims["scope"].split()
        asked = side.refresh(client, old.json["refresh_token"], scope="openid pay")
        assert asked.json["scope"] == "openid"
        refused(side.refresh(client, alone["refresh_token"]), "invalid_scope")


def test_exchanging_leaves_it_out_as_well(services: Services, tenant: TenantContext, http: "Http") -> None:
    """What was asked for by name is refused, as ever at an exchange (RFC 8693 section 2.2.2)."""
    with_payments(services, tenant, max_age_seconds=60)
    side = TokenSide(services, tenant, http)
    client = side.client(
        scope="openid profile pay", grant_types=["authorization_code", "refresh_token", TOKEN_EXCHANGE]
    )
    token = side.tokens(client, side.user(), "openid profile pay", resources=(PAYMENTS, tenant.issuer))
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token["access_token"],
        "subject_token_type": ACCESS_TOKEN,
    }
    assert "pay" in side.post("/token", form, client).json["scope"].split()
    with time_machine.travel(clock.after(90), tick=True):
        assert set(side.post("/token", form, client).json["scope"].split()) == {"openid", "profile"}
        refused(side.post("/token", {**form, "scope": "pay", "resource": PAYMENTS}, client), "invalid_scope")
