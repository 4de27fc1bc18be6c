"""FAPI 2.0 Security Profile, final: each module of the certification plan, with private_key_jwt and DPoP.

Mutual TLS has its own tests; the modules that differ there are named in `docs/specs.md`.
"""

import secrets
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from werkzeug.test import TestResponse

from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.protocols.oauth.profiles import FAPI_ALGORITHMS
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import REDIRECT_URI, Bank, reasons
from tests.protocol.browserless import Person, answer_of, new_person
from tests.protocol.parties import API, new_resource

CALLBACK = REDIRECT_URI + "?dummy1=lorem&dummy2=ipsum"


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    return Person(http)


@pytest.fixture
def first(services: Services, tenant: TenantContext, http: Http) -> Bank:
    """The plan's client 1."""
    return Bank.open(services, tenant, http, profile="fapi2-security")


@pytest.fixture
def second(services: Services, tenant: TenantContext, http: Http) -> Bank:
    """The plan's client 2."""
    return Bank.open(services, tenant, http, profile="fapi2-security", redirect_uris=[REDIRECT_URI, CALLBACK])


def code_of(bank: Bank, person: Person, **changes: Any) -> str:
    return bank.through(person, bank.pushed(**changes)).parameters["code"]


def tokens_of(bank: Bank, person: Person, **changes: Any) -> dict[str, Any]:
    answer = bank.redeem(code_of(bank, person, **changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def userinfo(
    bank: Bank, token: str, *, scheme: str = "DPoP", header: str = "DPoP", **changes: Any
) -> TestResponse:
    changes = {"htm": "GET", "htu": bank.tenant.issuer + "/userinfo", **changes}
    proof = bank.proof("/userinfo", token=token, **changes)
    return bank.http.get("/userinfo", headers={"Authorization": f"{scheme} {token}", header: proof})


def is_refused(answer: TestResponse, *errors: str) -> None:
    assert answer.status_code in (400, 401), answer.text
    assert answer.json["error"] in errors


def test_discovery_end_point_verification(http: Http) -> None:
    found = http.get("/.well-known/openid-configuration").json
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["pushed_authorization_request_endpoint"].endswith("/par")
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "authorization_code" in found["grant_types_supported"]
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    for name in (
        "id_token_signing_alg_values_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
        "authorization_signing_alg_values_supported",
    ):
        assert not set(FAPI_ALGORITHMS).isdisjoint(found[name]), name


def test_happy_flow(person: Person, first: Bank, second: Bank) -> None:
    """Two clients; what stands beside request_uri is ignored; the token's scheme may be of any case."""
    answer = first.push(proof=True)
    assert answer.status_code == 201
    assert 60 <= answer.json["expires_in"] <= 90
    page = first.go(person, answer.json["request_uri"], state="other", dummy="1")
    found = answer_of(person.allow(person.sign_in(page))).parameters
    assert set(found) == {"code", "state", "iss"}
    assert found["iss"] == first.tenant.issuer
    tokens = first.redeem(found["code"]).json
    assert tokens["token_type"] == "DPoP"
    access, token = first.read(tokens["access_token"]), first.read(tokens["id_token"])
    assert access.claims["cnf"] == {"jkt": first.proof_key.kid}
    assert token.header["alg"] in FAPI_ALGORITHMS
    assert token.header["kid"]
    for scheme in ("DPoP", "dPoP", "DPOP"):
        assert userinfo(first, tokens["access_token"], scheme=scheme).status_code == 200
    assert userinfo(first, tokens["access_token"], header="dpop").status_code == 200
    again = tokens_of(second, person, dpop_jkt=second.proof_key.kid, redirect_uri=REDIRECT_URI)
    assert userinfo(second, again["access_token"]).status_code == 200
    query = {"access_token": tokens["access_token"]}
    assert first.http.get("/userinfo", query=query).status_code in (400, 401)


def test_user_rejects_authentication(person: Person, second: Bank) -> None:
    """The state of 128 characters and the redirect URI's own query come back."""
    state = secrets.token_urlsafe(96)
    page = person.sign_in(second.go(person, second.pushed(state=state, redirect_uri=CALLBACK)))
    denied = answer_of(person.step(page, step="consent", answer="deny"))
    assert denied.target.startswith(CALLBACK)
    assert denied.parameters["error"] == "access_denied"
    assert denied.parameters["state"] == state
    assert denied.parameters["dummy1"] == "lorem"


@pytest.mark.parametrize("nonce", [None, "n" * 43, "n" * 64, "n" * 384])
@pytest.mark.parametrize("state", [None, "s" * 128, "s" * 384])
def test_state_and_nonce_come_back_as_they_were(
    person: Person, first: Bank, nonce: str | None, state: str | None
) -> None:
    """ensure-authorization-request-without-state, -without-nonce, -with-64-char-nonce, -long-nonce, -long-state."""
    found = first.through(person, first.pushed(nonce=nonce, state=state)).parameters
    assert found.get("state") == state
    claims = first.read(first.redeem(found["code"]).json["id_token"]).claims
    assert claims.get("nonce") == nonce
    assert "s_hash" not in claims


def test_ensure_other_scope_order_succeeds(person: Person, first: Bank) -> None:
    assert set(tokens_of(first, person, scope="email openid")["scope"].split()) == {"openid", "email"}


def test_claims_parameter_identity_claims(person: Person, first: Bank) -> None:
    asked = '{"id_token": {"email": null, "unheard-of": null}, "userinfo": {"name": null}}'
    tokens = tokens_of(first, person, claims=asked)
    assert "email" in first.read(tokens["id_token"]).claims
    assert userinfo(first, tokens["access_token"]).json["name"] == "Alice"


@pytest.mark.parametrize("seconds", [-10, 10])
def test_dpop_proof_times(person: Person, first: Bank, seconds: int) -> None:
    """check-dpop-proof-nbf-exp, ensure-dpopproof-with-iat-10seconds-before and -after."""
    now = clock.timestamp(clock.now())
    times = {"iat": now + seconds, "nbf": now - 10, "exp": now + 60}
    pushed = first.http.post(
        "/par", form={**first.assertion(), **first.asked()}, headers={"DPoP": first.proof("/par", **times)}
    )
    assert pushed.status_code == 201
    code = first.through(person, pushed.json["request_uri"]).parameters["code"]
    token = first.redeem(code).json["access_token"]
    assert userinfo(first, token, **times).status_code == 200


def test_ensure_mismatched_dpop_jkt_fails(first: Bank) -> None:
    other = SigningKeyHandle.generate("ES256").kid
    is_refused(first.push(proof=True, dpop_jkt=other), "invalid_request", "invalid_dpop_proof")


@pytest.mark.parametrize("how", ["proof", "dpop_jkt"])
def test_code_is_bound_to_the_key(person: Person, first: Bank, how: str) -> None:
    """ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt and -dpop-jkt; the same key is fine."""
    asked = {"proof": True} if how == "proof" else {"dpop_jkt": first.proof_key.kid}
    code, own = code_of(first, person, **asked), first.proof_key
    first.proof_key = SigningKeyHandle.generate("ES256")
    is_refused(first.redeem(code), "invalid_grant", "invalid_dpop_proof", "invalid_request")
    first.proof_key = own
    assert first.redeem(code).status_code == 200


def test_only_pushed_values_count(person: Person, first: Bank) -> None:
    """ensure-different-nonce/-state-inside-and-outside-request-object; state-only-outside-request-object-not-used."""
    page = first.go(person, first.pushed(state=None, nonce="inner"), state="outer", nonce="outer")
    found = answer_of(person.allow(person.sign_in(page))).parameters
    assert "state" not in found
    claims = first.read(first.redeem(found["code"]).json["id_token"]).claims
    assert claims["nonce"] == "inner"


def test_redirect_uri_is_required_and_registered(first: Bank) -> None:
    """ensure-request-object-without-redirect-uri-fails, plain-fapi-tolerate-unregistered-redirect-uri."""
    for scope in ("openid", "profile"):
        is_refused(first.push(redirect_uri=None, scope=scope), "invalid_request")
    is_refused(first.push(redirect_uri="https://evil.example/cb"), "invalid_request")


def test_ensure_unsigned_authorization_request_without_using_par_fails(first: Bank) -> None:
    answer = answer_of(first.http.get("/authorize", query=first.asked()))
    assert answer.parameters["error"] == "invalid_request"
    answer = answer_of(first.http.get("/authorize", query=first.asked(request=first.object())))
    assert answer.parameters["error"] == "invalid_request"


@pytest.mark.parametrize("kind", ["code id_token", "token", "id_token"])
def test_ensure_other_response_types_fail(first: Bank, kind: str) -> None:
    is_refused(first.push(response_type=kind), "unsupported_response_type", "invalid_request")


def test_ensure_client_id_in_token_endpoint(person: Person, first: Bank, second: Bank) -> None:
    """Client 2's id with client 1's key."""
    code = code_of(first, person)
    mixed = {**first.assertion(iss=second.client_id, sub=second.client_id), "client_id": second.client_id}
    is_refused(first.redeem(code, **mixed), "invalid_client", "invalid_grant")


def test_ensure_holder_of_key_required(person: Person, first: Bank) -> None:
    is_refused(
        first.redeem(code_of(first, person), proof=False),
        "invalid_request",
        "invalid_grant",
        "invalid_dpop_proof",
    )


def test_ensure_authorization_code_is_bound_to_client(person: Person, first: Bank, second: Bank) -> None:
    is_refused(second.redeem(code_of(first, person)), "invalid_grant")


def test_attempt_reuse_authorization_code(person: Person, first: Bank) -> None:
    code = code_of(first, person)
    token = first.redeem(code).json["access_token"]
    assert userinfo(first, token).status_code == 200
    is_refused(first.redeem(code), "invalid_grant")
    assert userinfo(first, token).status_code == 401


def test_expired_code(person: Person, first: Bank) -> None:
    """ensure-token-endpoint-fails-with-expired-auth-code: after 62 seconds."""
    code = code_of(first, person)
    with time_machine.travel(clock.now() + timedelta(seconds=62), tick=True):
        is_refused(first.redeem(code), "invalid_grant")


def at(seconds: int) -> int:
    return clock.timestamp(clock.now()) + seconds


ASSERTIONS: dict[str, dict[str, Any]] = {
    "exp-is-5-minutes-in-past": {"exp": -300},
    "wrong-aud": {"aud": "https://other.example"},
    "no-sub": {"sub": None},
    "nbf-over-60-seconds-in-the-future": {"nbf": 90},
}


@pytest.mark.parametrize("path", ["/par", "/token"])
@pytest.mark.parametrize("name", ASSERTIONS)
def test_client_assertions_that_are_refused(first: Bank, name: str, path: str) -> None:
    changes = {k: at(v) if isinstance(v, int) else v for k, v in ASSERTIONS[name].items()}
    form = {**first.asked(), "grant_type": "authorization_code", **first.assertion(**changes)}
    is_refused(first.http.post(path, form=form), "invalid_client", "invalid_request")


@pytest.mark.parametrize("path", ["/par", "/token"])
def test_audience_of_assertions_is_the_issuer_as_text(first: Bank, path: str) -> None:
    """par-test-array-as-audience-fails, -par-endpoint-url-as-audience-fails, -token-endpoint-url-as-audience-fails."""
    issuer = first.tenant.issuer
    for aud in ([issuer], issuer + "/par", issuer + "/token", [issuer, issuer + "/par"]):
        form = {**first.asked(), "grant_type": "authorization_code", **first.assertion(aud=aud)}
        is_refused(first.http.post(path, form=form), "invalid_client", "invalid_request")


def test_nbf_8_seconds_in_the_future_is_accepted(first: Bank) -> None:
    form = {**first.asked(), **first.assertion(nbf=at(8), iat=at(8))}
    assert first.http.post("/par", form=form).status_code == 201


def test_weak_algorithms_and_methods(services: Services, tenant: TenantContext, http: Http) -> None:
    """ensure-signed-client-assertion-with-RS256-fails, -client-assertion-in-token-endpoint missing; no secrets."""
    weak = Bank.open(services, tenant, http, profile="fapi2-security", alg="RS256")
    is_refused(weak.push(), "invalid_client")
    is_refused(http.post("/par", form=weak.asked()), "invalid_client", "invalid_request")
    from tests.protocol.parties import new_client

    secret = new_client(services, tenant, profile="fapi2-security")
    is_refused(http.post("/par", form={"x": "y"}, headers=secret.basic), "invalid_client")
    found = reasons(services, tenant, "client.authentication.fail")
    assert found[-1] == "client.method_not_allowed"


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "PS256"])
def test_every_algorithm_of_the_profile(
    services: Services, tenant: TenantContext, http: Http, person: Person, alg: str
) -> None:
    bank = Bank.open(services, tenant, http, profile="fapi2-security", alg=alg)
    assert bank.push().status_code == 201


PROOFS: dict[str, dict[str, Any]] = {
    "wrong htm": {"htm": "POST"},
    "other htu": {"htu": "https://other.example/userinfo"},
    "no htm": {"htm": None},
    "no htu": {"htu": None},
    "no jti": {"jti": None},
    "no iat": {"iat": None},
    "iat an hour ago": {"iat": -3600},
    "iat in an hour": {"iat": 3600},
}


@pytest.mark.parametrize("name", PROOFS)
def test_dpop_negative(person: Person, first: Bank, name: str) -> None:
    token = tokens_of(first, person)["access_token"]
    changes = {k: at(v) if isinstance(v, int) else v for k, v in PROOFS[name].items()}
    answer = userinfo(first, token, **changes)
    assert answer.status_code in (400, 401)
    assert userinfo(first, token).status_code == 200


def test_dpop_negative_tokens_and_keys(person: Person, first: Bank) -> None:
    token = tokens_of(first, person)["access_token"]
    plain = {"Authorization": f"Bearer {token}"}
    assert first.http.get("/userinfo", headers=plain).status_code == 401
    assert first.http.get("/userinfo", headers={"Authorization": f"DPoP {token}"}).status_code in (400, 401)
    own, first.proof_key = first.proof_key, SigningKeyHandle.generate("ES256")
    assert userinfo(first, token).status_code == 401
    first.proof_key = own
    proof = first.proof("/userinfo", token=token, htm="GET")
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
    assert first.http.get("/userinfo", headers=headers).status_code == 200
    assert first.http.get("/userinfo", headers=headers).status_code in (400, 401)
    other = first.proof("/userinfo", token=token + "x", htm="GET")
    headers = {"Authorization": f"DPoP {token}", "DPoP": other}
    assert first.http.get("/userinfo", headers=headers).status_code in (400, 401)


def test_refresh_token(person: Person, first: Bank, second: Bank) -> None:
    """Bound to client and proof of possession, with any key; not rotated, so that it works 30 seconds later."""
    token = tokens_of(first, person, scope="openid offline_access", prompt="consent")["refresh_token"]
    is_refused(second.refresh(token), "invalid_grant")
    bare = {"grant_type": "refresh_token", "refresh_token": token, "client_id": first.client_id}
    is_refused(first.http.post("/token", form=bare), "invalid_client", "invalid_request")
    unproven = {"grant_type": "refresh_token", "refresh_token": token, **first.assertion()}
    is_refused(
        first.http.post("/token", form=unproven), "invalid_request", "invalid_grant", "invalid_dpop_proof"
    )
    for key in (None, SigningKeyHandle.generate("ES256")):
        again = first.refresh(token, key=key)
        assert again.status_code == 200, again.text
        assert again.json["refresh_token"] == token
        assert first.read(again.json["access_token"]).claims["cnf"]["jkt"] == (key or first.proof_key).kid
    with time_machine.travel(clock.now() + timedelta(seconds=32), tick=True):
        assert first.refresh(token).status_code == 200


def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(person: Person, first: Bank) -> None:
    uri = first.pushed()
    assert 'id="sign-in"' in first.go(person, uri).text
    assert "code" in first.through(person, uri).parameters


def test_par_attempt_reuse_request_uri(person: Person, first: Bank) -> None:
    uri = first.pushed()
    first.through(person, uri)
    assert first.go(person, uri).status_code == 400


def test_par_attempt_to_use_expired_request_uri(person: Person, first: Bank) -> None:
    answer = first.push()
    with time_machine.travel(clock.now() + timedelta(seconds=answer.json["expires_in"] + 1), tick=True):
        assert first.go(person, answer.json["request_uri"]).status_code == 400


def test_par_attempt_to_use_request_uri_for_different_client(
    person: Person, first: Bank, second: Bank
) -> None:
    assert second.go(person, first.pushed()).status_code == 400


def test_par_refusals(first: Bank) -> None:
    """request_uri in the form, other methods, PKCE required and not plain, no duplicate parameters needed."""
    is_refused(first.push(request_uri="urn:ietf:params:oauth:request_uri:x"), "invalid_request")
    assert first.http.request("PUT", "/par").status_code == 405
    is_refused(first.push(code_challenge=None, code_challenge_method=None), "invalid_request")
    is_refused(first.push(code_challenge_method="plain"), "invalid_request")


@pytest.mark.parametrize("verifier", [None, "w" * 43])
def test_code_verifier_is_required_and_right(person: Person, first: Bank, verifier: str | None) -> None:
    is_refused(first.redeem(code_of(first, person), code_verifier=verifier), "invalid_grant")


def test_plain_http_is_no_redirect_uri(services: Services, tenant: TenantContext, http: Http) -> None:
    bank = Bank.open(services, tenant, http, profile="fapi2-security", redirect_uris=["http://127.0.0.1/cb"])
    is_refused(bank.push(redirect_uri="http://127.0.0.1/cb"), "invalid_request")


def test_resource_tokens_are_bound_as_well(
    services: Services, tenant: TenantContext, person: Person, first: Bank
) -> None:
    new_resource(services, tenant)
    token = tokens_of(first, person, scope="read")["access_token"]
    claims = jose.unverified(token).claims
    assert claims["aud"] == API
    assert claims["cnf"]["jkt"] == first.proof_key.kid


def test_of_a_tenant(services: Services, tenant: TenantContext, http: Http) -> None:
    """One word for every client that names no profile of its own."""
    from app.domain import tenants
    from app.domain.models import Tenant
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.update_settings(session.get_one(Tenant, tenant.id), {"profile": "fapi2-security"})
    services.versions.touch()
    found = http.get("/.well-known/openid-configuration").json
    assert found["require_pushed_authorization_requests"] is True
    bank = Bank.open(services, tenant, http)
    assert answer_of(http.get("/authorize", query=bank.asked())).parameters["error"] == "invalid_request"
    is_refused(bank.push(form={**bank.asked(), **bank.assertion(aud=[tenant.issuer])}), "invalid_client")
    ordinary = Bank.open(services, tenant, http, profile="oauth2.1")
    assert http.get("/authorize", query=ordinary.asked()).headers["Location"].startswith("/")
