"""FAPI 2.0 Message Signing, final: signed requests (JAR) and signed responses (JARM), over the security profile."""

from collections.abc import Callable
from typing import Any

import pytest

from app.domain.tenants import TenantContext
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.protocols.oauth.profiles import FAPI_ALGORITHMS
from app.web.services import Services
from tests.conftest import Http
from tests.profiles.bank import Bank, Variant, only
from tests.profiles.front import Front
from tests.protocol.browserless import Person, answer_of
from tests.protocol.test_jar import unsecured

PROFILE = "fapi2-message-signing"
ERRORS = ("invalid_request_object", "invalid_request")


def pushed(bank: Bank, **members: Any) -> str:
    return bank.pushed({"request": bank.object(**members)})


def is_refused(bank: Bank, token: str) -> None:
    answer = bank.push({"request": token})
    assert answer.status_code == 400
    assert answer.json["error"] in ERRORS


def test_discovery_end_point_verification(http: Http) -> None:
    found = http.get("/.well-known/openid-configuration").json
    assert "jwt" in found["response_modes_supported"]
    assert isinstance(found["authorization_signing_alg_values_supported"], list)
    for name in ("request_object_signing_alg_values_supported", "authorization_signing_alg_values_supported"):
        assert not set(FAPI_ALGORITHMS).isdisjoint(found[name])
    assert found["request_parameter_supported"] is True


@pytest.mark.parametrize("typ", ["JWT", "oauth-authz-req+jwt"])
def test_happy_flow(person: Person, first: Bank, typ: str) -> None:
    """The answer is a JWT of an allowed algorithm, and nothing stands beside it; without response_mode as well."""
    for mode in ("jwt", None):
        answer = first.through(person, pushed(first, typ=typ, response_mode=mode))
        token = first.read(answer.parameters["response"])
        assert token.header["alg"] in FAPI_ALGORITHMS
        assert token.header["kid"]
        found = first.jarm(answer)
        assert found["iss"] == first.tenant.issuer
        assert found["aud"] == first.client_id
        assert found["exp"] - clock.timestamp(clock.now()) <= 600
        assert found["state"] == "state-1"
        tokens = first.redeem(found["code"]).json
        assert tokens["token_type"] == first.token_type
        assert first.read(tokens["access_token"]).claims["cnf"] == first.confirmation
        assert first.read(tokens["id_token"]).header["alg"] in FAPI_ALGORITHMS


def test_errors_are_signed_too(front: Front, person: Person, first: Bank) -> None:
    page = person.sign_in(first.go(person, pushed(first, response_mode="jwt", prompt="consent")))
    denied = answer_of(person.step(page, step="consent", answer="deny"))
    assert first.jarm(denied)["error"] == "access_denied"
    silent = Person(front.http(first.tenant))
    first.http = silent.http
    answer = answer_of(first.go(silent, pushed(first, response_mode="jwt", prompt="none")))
    assert first.jarm(answer)["error"] == "login_required"
    for mode in ("jwt", None):
        plain = answer_of(first.http.get("/authorize", query=first.asked(response_mode=mode)))
        assert first.jarm(plain)["error"] == "invalid_request"


def test_unsigned_response_is_refused(first: Bank) -> None:
    is_refused(first, first.object(response_mode="query"))


def test_several_audiences_succeed(first: Bank) -> None:
    about = {"aud": ["https://other.example", first.tenant.issuer]}
    assert first.push({"request": first.object(about=about)}).status_code == 201


def test_nbf_8_seconds_in_the_future_is_accepted(first: Bank) -> None:
    assert first.push({"request": first.object(about={"nbf": at(8)})}).status_code == 201


def at(seconds: int) -> int:
    return clock.timestamp(clock.now()) + seconds


def with_rs256(bank: Bank) -> str:
    return bank.object(signed_by=SigningKeyHandle.generate("RS256"))


REFUSED: dict[str, Callable[[Bank], str]] = {
    "without exp": lambda b: b.object(about={"exp": None}),
    "without nbf": lambda b: b.object(about={"nbf": None}),
    "expired": lambda b: b.object(about={"exp": at(-300)}),
    "bad aud": lambda b: b.object(about={"aud": "https://other.example"}),
    "exp over 60 minutes": lambda b: b.object(about={"exp": at(3900)}),
    "nbf over 60 minutes ago": lambda b: b.object(about={"nbf": at(-3900)}),
    "RS256": with_rs256,
    "alg none": unsecured,
    "bad signature": lambda b: b.object()[:-6] + "AAAAAA",
    "request_uri inside": lambda b: b.object(request_uri="urn:ietf:params:oauth:request_uri:x"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_request_objects_that_are_refused(first: Bank, name: str) -> None:
    is_refused(first, REFUSED[name](first))


def test_signed_by_the_other_clients_key(first: Bank, second: Bank) -> None:
    is_refused(first, first.object(signed_by=second.key))


@only(authentication="private_key_jwt", binding="dpop")
def test_weak_key_of_its_own(front: Front, tenant: TenantContext, http: Http, variant: Variant) -> None:
    """An RSA key signs with PS256 or not at all."""
    key = SigningKeyHandle.generate("RS256")
    public = {k: v for k, v in key.public_jwk.items() if k != "alg"}
    strong = SigningKeyHandle.generate("ES256")
    jwks = {"keys": [public, strong.public_jwk]}
    bank = Bank.at(front, tenant, http, variant, profile=PROFILE, jwks=jwks)
    bank.key = strong
    is_refused(bank, bank.object(signed_by=key))
    assert bank.push({"request": bank.object()}).status_code == 201


def test_ensure_unsigned_request_at_par_endpoint_fails(first: Bank) -> None:
    answer = first.push(response_mode="jwt")
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_request"


def test_parameters_beside_the_object_are_not_used(person: Person, first: Bank) -> None:
    uri = first.pushed({"request": first.object(state="inner"), "state": "outer", "nonce": "outer"})
    assert first.jarm(first.through(person, uri))["state"] == "inner"


@only(authentication="private_key_jwt", binding="dpop")
def test_of_a_tenant(
    front: Front, services: Services, tenant: TenantContext, http: Http, variant: Variant
) -> None:
    from app.domain import tenants
    from app.domain.models import Tenant
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.update_settings(session.get_one(Tenant, tenant.id), {"profile": PROFILE})
    services.versions.touch()
    found = http.get("/.well-known/oauth-authorization-server").json
    assert found["require_signed_request_object"] is True
    assert found["require_pushed_authorization_requests"] is True
    bank = Bank.at(front, tenant, http, variant)
    is_refused(bank, bank.object(response_mode="query"))
    assert bank.push(bank.asked()).status_code == 400
    assert bank.push({"request": bank.object()}).status_code == 201
