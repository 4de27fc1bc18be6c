"""A client with pairwise subjects tries to learn who somebody is elsewhere (OpenID Connect Core section 8)."""

import json

import pytest

from app.domain.tenants import TenantContext
from app.infra import jose
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import reasons
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("scope", ["openid", "openid profile watchword:read"])
def test_our_own_api_calls_people_as_the_client_does(side: TokenSide, scope: str) -> None:
    party, user_id = side.client(subject_type="pairwise", scope=scope), side.user()
    token = side.tokens(party, user_id, scope)["access_token"]
    answer = side.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.json["sub"] == side.read(token).claims["sub"] == side.userinfo(token).json["sub"]
    assert user_id not in answer.text


class Prober:
    """A client that asks silently whether somebody is who it guesses (OIDC Core section 5.5.1)."""

    def __init__(self, services: Services, tenant: TenantContext, http: Http, **metadata: str) -> None:
        new_public_client(services, tenant, "prober", **metadata)
        self.services, self.tenant, self.person = services, tenant, Person(http)
        self.sub = jose.unverified(self.person.tokens("prober")["id_token"]).claims["sub"]

    def ask(self, sub: str, place: str = "id_token") -> str:
        """The error, or nothing."""
        claims = json.dumps({place: {"sub": {"value": sub}}})
        answer = answer_of(self.person.authorize("prober", prompt="none", claims=claims)).parameters
        assert ("code" in answer) != ("error" in answer)
        return answer.get("error", "")


@pytest.mark.parametrize("place", ["id_token", "userinfo"])
def test_guessing_a_public_id_tells_nothing(
    services: Services, tenant: TenantContext, http: Http, place: str
) -> None:
    user_id = new_person(services, tenant)
    prober = Prober(services, tenant, http, subject_type="pairwise")
    assert prober.ask(prober.sub, place) == ""
    assert prober.ask(user_id, place) == prober.ask(NOBODY, place) == "invalid_request"
    assert set(reasons(services, tenant, "authorization.refused")) == {"request.id_token_hint"}


def test_nor_does_the_name_another_sector_knows(
    services: Services, tenant: TenantContext, http: Http
) -> None:
    user_id = new_person(services, tenant)
    prober = Prober(services, tenant, http, subject_type="pairwise")
    subjects = services.keyring.subjects
    elsewhere = subjects.of(tenant.id, "other.example", user_id)
    another = subjects.of(tenant.id, "other.example", NOBODY)
    assert prober.ask(elsewhere) == prober.ask(another) == prober.ask("x" * 64) == "invalid_request"
    own_of_another = subjects.of(tenant.id, "app.example", NOBODY)
    assert prober.ask(own_of_another) == "login_required", "a name of its own, of somebody who is not here"


@pytest.mark.parametrize("sub", ["", "x", "é", "-" * 64, "A" * 64, "x" * 500, "\u0000"])
def test_whatever_else_a_client_guesses(
    services: Services, tenant: TenantContext, http: Http, sub: str
) -> None:
    new_person(services, tenant)
    prober = Prober(services, tenant, http, subject_type="pairwise")
    assert prober.ask(sub) == "invalid_request"


def test_public_clients_name_people_as_before(services: Services, tenant: TenantContext, http: Http) -> None:
    user_id = new_person(services, tenant)
    prober = Prober(services, tenant, http)
    assert prober.ask(user_id) == ""
    assert prober.ask(NOBODY) == "login_required"
    pairwise = services.keyring.subjects.of(tenant.id, "app.example", user_id)
    assert prober.ask(pairwise) == "invalid_request"
