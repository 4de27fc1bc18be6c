"""Pushed authorization requests (RFC 9126)."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app.domain import tenants
from app.domain.models import Tenant
from app.domain.tenants import TenantContext
from app.infra.signing import SigningKeyHandle
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.protocols.oauth.pushed import LIFETIME_SECONDS, PREFIX
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import REDIRECT_URI, Bank, reasons
from tests.protocol.browserless import Person, answer_of, new_person, new_public_client, request
from tests.protocol.parties import new_client
from tests.protocol.token_side import refused


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    return Person(http)


@pytest.fixture
def bank(services: Services, tenant: TenantContext, http: Http) -> Bank:
    return Bank.open(services, tenant, http)


def settings(services: Services, tenant: TenantContext, **changes: Any) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = session.get_one(Tenant, tenant.id)
        tenants.update_settings(row, changes)
    services.versions.touch()


def test_pushed_request_is_answered(person: Person, bank: Bank) -> None:
    """Section 2.2: 201, a name of 256 bits, seconds; the answer is that of the pushed request."""
    answer = bank.push(state="pushed")
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"request_uri", "expires_in"}
    assert answer.json["expires_in"] == LIFETIME_SECONDS
    assert len(answer.json["request_uri"]) >= len(PREFIX) + 43
    found = bank.through(person, answer.json["request_uri"])
    assert found.parameters["state"] == "pushed"
    assert bank.redeem(found.parameters["code"], proof=False).status_code == 200


def test_what_stands_beside_it_counts_for_nothing(person: Person, bank: Bank) -> None:
    """Contracts 17; RFC 9126 section 4."""
    uri = bank.pushed(state="inner", nonce="inner")
    page = bank.go(
        person, uri, state="outer", nonce="outer", scope="email", redirect_uri="https://evil.example"
    )
    answer = answer_of(person.allow(person.sign_in(page)))
    assert answer.parameters["state"] == "inner"
    assert answer.target.startswith(REDIRECT_URI)
    tokens = bank.redeem(answer.parameters["code"], proof=False).json
    assert bank.read(tokens["id_token"]).claims["nonce"] == "inner"
    assert tokens["scope"] == "openid profile"


def test_page_may_be_loaded_again_until_it_is_answered(person: Person, bank: Bank) -> None:
    uri = bank.pushed()
    for _ in range(3):
        assert 'id="sign-in"' in bank.go(person, uri).text
    assert "code" in bank.through(person, uri).parameters
    page = bank.go(person, uri)
    assert page.status_code == 400
    assert "expired, was used" in page.text


def test_of_two_windows_one_is_answered(
    services: Services, tenant: TenantContext, bank: Bank, app: Any
) -> None:
    new_person(services, tenant)
    uri = bank.pushed()
    people = [Person(Http(app, tenant)) for _ in range(2)]
    pages = []
    for one in people:
        query = {"client_id": bank.client_id, "request_uri": uri}
        pages.append(one.sign_in(one.follow(one.http.get("/authorize", query=query))))
    first, second = (one.allow(page) for one, page in zip(people, pages, strict=True))
    assert "code" in answer_of(first).parameters
    assert second.status_code == 400
    assert "answered already" in second.text


def test_refusal_uses_it_up(person: Person, bank: Bank) -> None:
    uri = bank.pushed()
    page = person.sign_in(bank.go(person, uri))
    denied = answer_of(person.step(page, step="consent", answer="deny"))
    assert denied.parameters["error"] == "access_denied"
    assert bank.go(person, uri).status_code == 400


def test_expires(person: Person, bank: Bank) -> None:
    uri = bank.pushed()
    with time_machine.travel(clock.now() + timedelta(seconds=LIFETIME_SECONDS + 2), tick=True):
        assert bank.go(person, uri).status_code == 400


def test_other_clients_cannot_use_it(
    person: Person, bank: Bank, services: Services, tenant: TenantContext
) -> None:
    new_public_client(services, tenant)
    uri = bank.pushed()
    page = person.http.get("/authorize", query={"client_id": "app", "request_uri": uri})
    assert page.status_code == 400
    assert "code" in bank.through(person, uri).parameters
    assert reasons(services, tenant, "authorization.refused") == ["request_uri.unknown"]


def test_public_clients_may_push(person: Person, services: Services, tenant: TenantContext) -> None:
    new_public_client(services, tenant)
    answer = person.http.post("/par", form=request())
    assert answer.status_code == 201
    page = person.http.get(
        "/authorize", query={"client_id": "app", "request_uri": answer.json["request_uri"]}
    )
    assert page.status_code == 303


def test_resources_are_kept(person: Person, bank: Bank, services: Services, tenant: TenantContext) -> None:
    from tests.protocol.parties import API, OTHER_API, new_resource

    new_resource(services, tenant)
    new_resource(services, tenant, OTHER_API, "pay")
    uri = bank.pushed(scope="read", resource=[API, OTHER_API])
    tokens = bank.redeem(bank.through(person, uri).parameters["code"], proof=False).json
    assert set(bank.read(tokens["access_token"]).claims["aud"]) == {API, OTHER_API}


NOT_ACCEPTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "reference": ({"request_uri": "https://app.example/r"}, "invalid_request", "request_uri.pushed"),
    "another's": ({"request_uri": PREFIX + "x"}, "invalid_request", "request_uri.pushed"),
    "no PKCE": (
        {"code_challenge": None, "code_challenge_method": None},
        "invalid_request",
        "request.pkce_missing",
    ),
    "plain PKCE": ({"code_challenge_method": "plain"}, "invalid_request", "request.pkce_method"),
    "no redirect URI": ({"redirect_uri": None}, "invalid_request", "request.redirect_uri_missing"),
    "redirect URI": (
        {"redirect_uri": "https://evil.example/cb"},
        "invalid_request",
        "request.redirect_uri_unregistered",
    ),
    "response type": (
        {"response_type": "code id_token"},
        "unsupported_response_type",
        "request.response_type",
    ),
    "no response type": ({"response_type": None}, "invalid_request", "request.response_type_missing"),
    "response mode": ({"response_mode": "pigeon"}, "invalid_request", "request.response_mode"),
    "scope": ({"scope": "openid phone"}, "invalid_scope", "scope.not_allowed"),
    "resource": ({"resource": "https://nobody.example"}, "invalid_target", "resource.unknown"),
    "claims": ({"claims": "["}, "invalid_request", "request.claims"),
    "prompt": ({"prompt": "none login"}, "invalid_request", "request.prompt"),
    "registration": ({"registration": "{}"}, "registration_not_supported", "request.registration"),
    "details": ({"authorization_details": "[]"}, "invalid_authorization_details", "details.malformed"),
    "dpop_jkt": ({"dpop_jkt": "short"}, "invalid_request", "request.dpop_jkt"),
    "long": ({"state": "s" * 3000}, "invalid_request", "request.parameter_too_long"),
}


@pytest.mark.parametrize("name", NOT_ACCEPTED)
def test_what_is_not_accepted(bank: Bank, services: Services, tenant: TenantContext, name: str) -> None:
    """Section 2.3: errors as JSON, 400, and on record with their reason."""
    changes, error, reason = NOT_ACCEPTED[name]
    refused(bank.push(**changes), error)
    assert reasons(services, tenant, "authorization.refused") == [reason]


def test_client_has_to_authenticate(
    bank: Bank, http: Http, services: Services, tenant: TenantContext
) -> None:
    refused(http.post("/par", form=bank.asked()), "invalid_client", 401)
    forged = bank.assertion(SigningKeyHandle.generate("ES256"))
    refused(http.post("/par", form={**bank.asked(), **forged}), "invalid_client", 401)
    assert len(reasons(services, tenant, "client.authentication.fail")) == 2


def test_assertion_is_good_for_one_push(bank: Bank, http: Http) -> None:
    form = {**bank.asked(), **bank.assertion()}
    assert http.post("/par", form=form).status_code == 201
    refused(http.post("/par", form=form), "invalid_client", 401)


def test_methods_and_query(bank: Bank, http: Http) -> None:
    assert http.request("PUT", "/par").status_code == 405
    assert http.get("/par").status_code == 405
    refused(http.post("/par", query={"client_id": bank.client_id}, form=bank.asked()), "invalid_request")


def test_request_is_checked_again_when_it_is_used(
    person: Person, bank: Bank, services: Services, tenant: TenantContext
) -> None:
    """What was true then may not be any more: a redirect URI that was taken from the client gets nobody."""
    from sqlalchemy import select

    from app.domain.models import Client

    uri = bank.pushed()
    with services.tenancy.session(tenant.id, write=True) as session:
        row = session.scalars(select(Client).where(Client.client_id == bank.client_id)).one()
        row.metadata_ = {**row.metadata_, "redirect_uris": ["https://new.example/cb"]}
    services.versions.touch()
    page = bank.go(person, uri)
    assert page.status_code == 400
    assert "Location" not in page.headers


@pytest.mark.parametrize("who", ["client", "tenant"])
def test_pushing_may_be_demanded(person: Person, services: Services, tenant: TenantContext, who: str) -> None:
    """Sections 5 and 6."""
    if who == "tenant":
        settings(services, tenant, require_pushed_authorization_requests=True)
    new_client(services, tenant, client_id="strict", require_pushed_authorization_requests=who == "client")
    answer = answer_of(person.http.get("/authorize", query=request("strict")))
    assert answer.parameters["error"] == "invalid_request"
    metadata = person.http.get("/.well-known/openid-configuration").json
    assert metadata.get("require_pushed_authorization_requests", False) is (who == "tenant")


def test_code_is_bound_to_the_key_that_was_proven(person: Person, bank: Bank) -> None:
    """RFC 9449 section 10.1: the proof of the push, and `dpop_jkt`, which have to agree."""
    uri = bank.pushed(proof=True)
    code = bank.through(person, uri).parameters["code"]
    thief = SigningKeyHandle.generate("ES256")
    stolen = bank.http.post(
        "/token",
        form={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": "v" * 43,
            **bank.assertion(),
        },
        headers={"DPoP": bank.proof("/token", key=thief)},
    )
    assert stolen.status_code == 400
    assert bank.redeem(code).status_code == 200
    other = SigningKeyHandle.generate("ES256").kid
    refused(bank.push(proof=True, dpop_jkt=other), "invalid_request")
    assert bank.push(proof=True, dpop_jkt=bank.proof_key.kid).status_code == 201
