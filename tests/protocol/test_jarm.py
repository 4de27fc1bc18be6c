"""Signed authorization responses (JWT Secured Authorization Response Mode for OAuth 2.0)."""

import re

import pytest

from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.protocols.login.interactions import Interactions
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import REDIRECT_URI, Bank
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    return Person(http)


@pytest.fixture
def bank(services: Services, tenant: TenantContext, http: Http) -> Bank:
    return Bank.open(services, tenant, http, authorization_signed_response_alg="ES256")


@pytest.mark.parametrize(
    ("mode", "place"),
    [("jwt", "query"), ("query.jwt", "query"), ("fragment.jwt", "fragment"), ("form_post.jwt", "form_post")],
)
def test_success(person: Person, bank: Bank, mode: str, place: str) -> None:
    """Sections 2.1 and 2.3: iss, aud, exp and the parameters, in one parameter, in the place the mode says."""
    answer = person.through(bank.client_id, response_mode=mode)
    assert answer.mode == place
    assert answer.target.startswith(REDIRECT_URI)
    token = bank.read(answer.parameters["response"])
    assert token.header["alg"] == "ES256"
    assert token.header["kid"]
    found = bank.jarm(answer)
    assert set(found) == {"iss", "aud", "exp", "code", "state"}
    assert found["iss"] == bank.tenant.issuer
    assert found["aud"] == bank.client_id
    assert 0 < found["exp"] - clock.timestamp(clock.now()) <= 600
    assert found["state"] == "state-1"
    assert bank.redeem(found["code"], proof=False).status_code == 200


@pytest.mark.parametrize("mode", ["jwt", "query.jwt", "fragment.jwt", "form_post.jwt"])
def test_errors_too(person: Person, bank: Bank, mode: str) -> None:
    """Section 2.3: found at once, by silence, and by what the person answers."""
    wrong = bank.http.get("/authorize", query=bank.asked(response_mode=mode, scope="unheard-of"))
    assert bank.jarm(answer_of(wrong))["error"] == "invalid_scope"
    silent = bank.http.get("/authorize", query=bank.asked(response_mode=mode, prompt="none"))
    found = bank.jarm(answer_of(silent))
    assert set(found) == {"iss", "aud", "exp", "error", "error_description", "state"}
    page = person.sign_in(person.authorize(bank.client_id, response_mode=mode, prompt="consent"))
    denied = person.step(page, step="consent", answer="deny")
    assert bank.jarm(answer_of(denied))["error"] == "access_denied"


def test_too_late(person: Person, bank: Bank) -> None:
    """The way back from an interaction that expired (contracts 18) is signed as well."""
    person.authorize(bank.client_id, response_mode="jwt")
    interactions = Interactions(bank.services.state)
    found = interactions.find(bank.tenant.id, person.at.rpartition("/")[2])
    assert found is not None
    interactions.drop(bank.tenant.id, found)
    page = person.http.get(person.at, raw=True)
    assert page.status_code == 400
    answer = answer_of(person.step(page, step="return"))
    assert bank.jarm(answer)["error"] == "login_required"


@pytest.mark.parametrize("alg", jose.SIGNING_ALGORITHMS)
def test_algorithm_is_the_registered_one(
    services: Services, tenant: TenantContext, http: Http, alg: str
) -> None:
    """Section 3: RS256 unless the client says otherwise."""
    members = {} if alg == "RS256" else {"authorization_signed_response_alg": alg}
    bank = Bank.open(services, tenant, http, **members)
    answer = answer_of(http.get("/authorize", query=bank.asked(response_mode="jwt", prompt="none")))
    assert bank.read(answer.parameters["response"]).header["alg"] == alg


def test_response_is_no_other_token(person: Person, bank: Bank) -> None:
    """What the browser carries opens nothing of ours."""
    response = person.through(bank.client_id, response_mode="jwt").parameters["response"]
    assert bank.http.get("/userinfo", headers={"Authorization": f"Bearer {response}"}).status_code == 401
    hinted = answer_of(bank.http.get("/authorize", query=bank.asked(id_token_hint=response)))
    assert hinted.parameters["error"] == "invalid_request"


def test_to_an_app_scheme_by_form_it_is_refused(
    services: Services, tenant: TenantContext, http: Http
) -> None:
    uri = "com.example.app:/cb"
    new_public_client(services, tenant, "native", redirect_uris=[uri], application_type="native")
    query = Bank.open(services, tenant, http).asked(response_mode="form_post.jwt") | {
        "client_id": "native",
        "redirect_uri": uri,
    }
    assert re.search("error=invalid_request", http.get("/authorize", query=query).headers["Location"])


def test_advertised(http: Http) -> None:
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        found = http.get(path).json
        assert {"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"} <= set(found["response_modes_supported"])
        assert found["authorization_signing_alg_values_supported"] == list(jose.SIGNING_ALGORITHMS)
