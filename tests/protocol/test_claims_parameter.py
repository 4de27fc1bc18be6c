"""The `claims` parameter and `acr_values` (OpenID Connect Core sections 5.5 and 3.1.2.1)."""

import json
from typing import TYPE_CHECKING

import pytest

from app.domain.assurance import ONE_FACTOR
from app.domain.tenants import TenantContext
from app.infra import jose
from app.web.services import Services
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client

if TYPE_CHECKING:
    from tests.conftest import Http


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def test_essential_claim_is_released_at_userinfo(person: Person) -> None:
    """Section 5.5: a claim asked for by name, without its scope."""
    claims = json.dumps({"userinfo": {"name": {"essential": True}}})
    tokens = person.tokens(scope="openid", claims=claims)
    response = person.http.get("/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert response.json["name"] == "Alice"


@pytest.mark.parametrize(
    "claims",
    [
        "{",
        "[]",
        '"text"',
        '{"userinfo": []}',
        '{"userinfo": {"name": "yes"}}',
        '{"userinfo": {"name": {"essential": "yes"}}}',
        '{"id_token": {"acr": {"values": "one"}}}',
        '{"userinfo": {}, "userinfo": {}}',
        '{"userinfo": {"name": {"value": NaN}}}',
        "[" * 5000,
        r'{"userinfo": {"name": {"value": "\u0000"}}}',
        r'{"userinfo": {"name": {"value": "\ud800"}}}',
        '{"userinfo": {"name": {"value": 1e999}}}',
        json.dumps({"userinfo": {f"c{n}": None for n in range(500)}}),
        json.dumps({"userinfo": {"name": {"value": "x" * 9000}}}),
    ],
)
def test_what_is_no_claims_request(person: Person, claims: str) -> None:
    """Strict JSON of the specified shape, of a bounded size."""
    assert answer_of(person.authorize(claims=claims)).parameters["error"] == "invalid_request"


def test_unknown_members_are_ignored(person: Person) -> None:
    """Section 5.5: other members MAY be defined; those not understood MUST be ignored."""
    claims = json.dumps({"userinfo": {"unheard_of": None}, "verified": {"x": 1}})
    assert "code" in person.through(claims=claims).parameters


def test_sub_names_who_is_meant(person: Person) -> None:
    """Section 5.5.1: a `sub` that is not whoever is signed in is answered with an error."""
    person.through()
    claims = json.dumps({"id_token": {"sub": {"value": "somebody-else"}}})
    found = answer_of(person.authorize(claims=claims, prompt="none")).parameters
    assert found["error"] == "login_required"


def test_acr_values_are_a_wish(person: Person, services: Services, tenant: TenantContext) -> None:
    """Section 3.1.2.1: acr_values never make a request fail; what was done is in `acr`."""
    token = person.tokens(acr_values=f"urn:unheard-of {ONE_FACTOR}")["id_token"]
    claims = jose.verify(token, services.keyring.verification_keys(tenant.id), algorithms=("RS256",)).claims
    assert claims["acr"] == ONE_FACTOR
    assert "code" in person.through(acr_values="urn:unheard-of").parameters


def test_essential_acr_is_a_demand(person: Person) -> None:
    """Section 5.5.1.1: an essential acr that cannot be met is a failed authentication."""
    claims = json.dumps({"id_token": {"acr": {"essential": True, "values": ["urn:unheard-of"]}}})
    found = answer_of(person.authorize(claims=claims)).parameters
    assert found["error"] == "unmet_authentication_requirements"
    claims = json.dumps({"id_token": {"acr": {"essential": True, "values": [ONE_FACTOR]}}})
    assert "code" in person.through(claims=claims).parameters
