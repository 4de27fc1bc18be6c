"""FAPI 2.0 Security Profile, final: the modules of the certification plan about flows, clients and codes.

Each runs in every variant of the plan it belongs to: private_key_jwt, tls_client_auth and self_signed_tls_client_auth;
tokens bound by DPoP and by certificate; through nginx and without it. Proofs, pushed requests and TLS have modules of
their own beside this one.
"""

import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.protocols.oauth.profiles import FAPI_ALGORITHMS
from app.web.services import Services
from tests.conftest import Http
from tests.profiles.bank import Bank, Variant, code_of, is_refused, only, tokens_of
from tests.profiles.conftest import REDIRECT_URI_WITH_QUERY
from tests.profiles.front import Front
from tests.protocol import parties
from tests.protocol.banks import REDIRECT_URI, VERIFIER, reasons
from tests.protocol.browserless import Person, answer_of
from tests.protocol.parties import API, EVERY_CLAIM, new_resource

PROFILE = "fapi2-security"


def test_discovery_end_point_verification(http: Http, front: Front) -> None:
    found = http.get("/.well-known/openid-configuration").json
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["pushed_authorization_request_endpoint"].endswith("/par")
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "authorization_code" in found["grant_types_supported"]
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    for name in (
        "id_token_signing_alg_values_supported",
        "userinfo_signing_alg_values_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
        "authorization_signing_alg_values_supported",
    ):
        assert not set(FAPI_ALGORITHMS).isdisjoint(found[name]), name
    with_certificates = front.wire is not None
    assert found.get("tls_client_certificate_bound_access_tokens", False) is with_certificates
    methods = {"tls_client_auth", "self_signed_tls_client_auth"}
    assert (methods <= set(found["token_endpoint_auth_methods_supported"])) is with_certificates
    assert ("mtls_endpoint_aliases" in found) is with_certificates


def test_happy_flow(person: Person, first: Bank, second: Bank) -> None:
    """Two clients; what stands beside request_uri is ignored; odd Accept headers do not matter; no token in a query."""
    answer = first.push(proof=True)
    assert answer.status_code == 201
    assert 60 <= answer.json["expires_in"] <= 90
    page = first.go(person, answer.json["request_uri"], state="other", dummy="1")
    found = answer_of(person.allow(person.sign_in(page))).parameters
    assert set(found) == {"code", "state", "iss"}
    assert found["iss"] == first.tenant.issuer
    tokens = first.redeem(found["code"]).json
    assert tokens["token_type"] == first.token_type
    access, token = first.read(tokens["access_token"]), first.read(tokens["id_token"])
    assert access.claims["cnf"] == first.confirmation
    assert token.header["alg"] in FAPI_ALGORITHMS
    assert token.header["kid"]
    assert first.userinfo(tokens["access_token"]).status_code == 200
    for accept in ("application/json;q=0.9, */*;q=0.1", "text/html", "x/y;q=0", "application/jwt;level=1"):
        odd = first.userinfo(tokens["access_token"], accept=accept)
        assert (odd.status_code, odd.mimetype) == (200, "application/json")
    query = {"access_token": tokens["access_token"]}
    assert first.http.get("/userinfo", query=query).status_code in (400, 401)
    more = {"dpop_jkt": second.proof_key.kid} if second.variant.binding == "dpop" else {}
    again = tokens_of(second, person, redirect_uri=REDIRECT_URI, **more)
    assert second.userinfo(again["access_token"]).status_code == 200


def test_user_rejects_authentication(person: Person, second: Bank) -> None:
    """The state of 128 characters and the redirect URI's own query come back."""
    state = secrets.token_urlsafe(96)
    page = person.sign_in(second.go(person, second.pushed(state=state, redirect_uri=REDIRECT_URI_WITH_QUERY)))
    denied = answer_of(person.step(page, step="consent", answer="deny"))
    assert denied.target.startswith(REDIRECT_URI_WITH_QUERY)
    assert denied.parameters["error"] == "access_denied"
    assert denied.parameters["state"] == state
    assert denied.parameters["dummy1"] == "lorem"


@pytest.mark.parametrize(
    ("nonce", "state"),
    [("n" * 43, None), (None, "s" * 128), ("n" * 64, "s" * 43), ("n" * 384, "s" * 384), (None, None)],
)
def test_state_and_nonce_come_back_as_they_were(
    person: Person, first: Bank, nonce: str | None, state: str | None
) -> None:
    """ensure-authorization-request-without-state, -without-nonce, -with-64-char-nonce, -long-nonce, -long-state."""
    found = first.through(person, first.pushed(nonce=nonce, state=state)).parameters
    assert found.get("state") == state
    assert ("state" in found) is (state is not None)
    claims = first.read(first.redeem(found["code"]).json["id_token"]).claims
    assert claims.get("nonce") == nonce
    assert ("nonce" in claims) is (nonce is not None)
    assert "s_hash" not in claims


def test_ensure_other_scope_order_succeeds(person: Person, first: Bank) -> None:
    assert set(tokens_of(first, person, scope="email openid")["scope"].split()) == {"openid", "email"}


@only(authentication="private_key_jwt")
def test_claims_parameter_identity_claims(person: Person, first: Bank) -> None:
    """Every claim of discovery that says who somebody is, in the ID token and at UserInfo; unknown ones are ignored."""
    supported = first.http.get("/.well-known/openid-configuration").json["claims_supported"]
    named = {*EVERY_CLAIM, "email", "email_verified", "preferred_username", "updated_at"}
    assert named <= set(supported)
    asked = dict.fromkeys([*sorted(named), "unheard-of"])
    tokens = tokens_of(first, person, claims=json.dumps({"id_token": asked, "userinfo": asked}))
    in_token = first.read(tokens["id_token"]).claims
    told = first.userinfo(tokens["access_token"]).json
    for found in (in_token, told):
        assert named <= set(found)
        assert "unheard-of" not in found
        assert {name: found[name] for name in EVERY_CLAIM} == EVERY_CLAIM


@pytest.mark.parametrize("in_case", [str.lower, str.upper, str.swapcase])
def test_access_token_type_header_case_sensitivity(
    person: Person, first: Bank, in_case: Callable[[str], str]
) -> None:
    """`dPoP` and `bEARER`: the scheme of the Authorization header may be of any case."""
    token = tokens_of(first, person)["access_token"]
    assert first.userinfo(token, scheme=in_case(first.token_type)).status_code == 200


def test_only_pushed_values_count(person: Person, first: Bank) -> None:
    """ensure-different-nonce/-state-inside-and-outside-request-object; state-only-outside-request-object-not-used."""
    page = first.go(person, first.pushed(state=None, nonce="inner"), state="outer", nonce="outer")
    found = answer_of(person.allow(person.sign_in(page))).parameters
    assert "state" not in found
    claims = first.read(first.redeem(found["code"]).json["id_token"]).claims
    assert claims["nonce"] == "inner"
    found = first.through(person, first.pushed(state="inner")).parameters
    assert found["state"] == "inner"


def test_redirect_uri_is_required_and_registered(first: Bank) -> None:
    """ensure-request-object-without-redirect-uri-fails, plain-fapi-tolerate-unregistered-redirect-uri."""
    for scope in ("openid", "profile"):
        is_refused(first.push(redirect_uri=None, scope=scope), "invalid_request")
    is_refused(first.push(redirect_uri="https://evil.example/cb"), "invalid_request")


def test_ensure_redirect_uri_in_authorization_request(second: Bank) -> None:
    """With two registered and none named there is none to choose."""
    is_refused(second.push(redirect_uri=None), "invalid_request")


@only(authentication="private_key_jwt")
def test_ensure_unsigned_authorization_request_without_using_par_fails(first: Bank) -> None:
    answer = answer_of(first.http.get("/authorize", query=first.asked()))
    assert answer.parameters["error"] == "invalid_request"
    answer = answer_of(first.http.get("/authorize", query=first.asked(request=first.object())))
    assert answer.parameters["error"] == "invalid_request"


@pytest.mark.parametrize("kind", ["code id_token", "token", "id_token"])
def test_ensure_other_response_types_fail(first: Bank, kind: str) -> None:
    """ensure-response-type-code-idtoken-fails, ensure-response-type-token-fails."""
    is_refused(first.push(response_type=kind), "unsupported_response_type", "invalid_request")


def test_ensure_client_id_in_token_endpoint(person: Person, first: Bank, second: Bank) -> None:
    """Client 2's id with client 1's key or certificate."""
    code = code_of(first, person)
    mixed = {**first.assertion(iss=second.client_id, sub=second.client_id), "client_id": second.client_id}
    is_refused(first.redeem(code, **mixed), "invalid_client", "invalid_grant")
    assert first.redeem(code).status_code == 200


def test_ensure_holder_of_key_required(person: Person, first: Bank) -> None:
    """Without a proof or a certificate there is no token."""
    answer = first.redeem(code_of(first, person), proof=False)
    is_refused(answer, "invalid_request", "invalid_grant", "invalid_dpop_proof", "invalid_client")
    assert set(answer.json) == {"error", "error_description"}


def test_a_bound_token_is_of_no_use_without_what_it_is_bound_to(
    person: Person, first: Bank, second: Bank
) -> None:
    token = tokens_of(first, person)["access_token"]
    assert first.userinfo(token, proof=False).status_code in (400, 401)
    assert second.userinfo(token).status_code == 401
    other_scheme = "Bearer" if first.variant.binding == "dpop" else "DPoP"
    assert first.userinfo(token, scheme=other_scheme, proof=False).status_code in (400, 401)
    assert first.userinfo(token).status_code == 200


def test_ensure_authorization_code_is_bound_to_client(person: Person, first: Bank, second: Bank) -> None:
    is_refused(second.redeem(code_of(first, person)), "invalid_grant")


def test_attempt_reuse_authorization_code(person: Person, first: Bank) -> None:
    """attempt-reuse-authorization-code-after-one-second: refused, and what it gave is revoked."""
    code = code_of(first, person)
    token = first.redeem(code).json["access_token"]
    assert first.userinfo(token).status_code == 200
    with time_machine.travel(clock.now() + timedelta(seconds=1), tick=True):
        is_refused(first.redeem(code), "invalid_grant")
        assert first.userinfo(token).status_code == 401


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


@only(authentication="private_key_jwt")
@pytest.mark.parametrize("path", ["/par", "/token"])
@pytest.mark.parametrize("name", ASSERTIONS)
def test_client_assertions_that_are_refused(first: Bank, name: str, path: str) -> None:
    changes = {k: at(v) if isinstance(v, int) else v for k, v in ASSERTIONS[name].items()}
    form = {**first.asked(), "grant_type": "authorization_code", **first.assertion(**changes)}
    is_refused(first.post(path, form, proof=True), "invalid_client", "invalid_request")


@only(authentication="private_key_jwt")
@pytest.mark.parametrize("path", ["/par", "/token"])
def test_ensure_client_assertion_in_token_endpoint(person: Person, first: Bank, path: str) -> None:
    """Without one the client is not known, whatever else is right."""
    code = code_of(first, person) if path == "/token" else ""
    redeeming = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    form = {**first.asked(), **redeeming, "code_verifier": VERIFIER}
    is_refused(first.post(path, form, proof=True), "invalid_client", "invalid_request")


@only(authentication="private_key_jwt")
@pytest.mark.parametrize("path", ["/par", "/token"])
def test_audience_of_assertions_is_the_issuer_as_text(first: Bank, path: str) -> None:
    """par-test-array-as-audience-fails, -par-endpoint-url-as-audience-fails, -token-endpoint-url-as-audience-fails."""
    issuer = first.tenant.issuer
    for aud in ([issuer], issuer + "/par", issuer + "/token", [issuer, issuer + "/par"]):
        form = {**first.asked(), "grant_type": "authorization_code", **first.assertion(aud=aud)}
        is_refused(first.post(path, form, proof=True), "invalid_client", "invalid_request")


@only(authentication="private_key_jwt")
def test_nbf_8_seconds_in_the_future_is_accepted(first: Bank) -> None:
    form = {**first.asked(), **first.assertion(nbf=at(8), iat=at(8))}
    assert first.post("/par", form).status_code == 201


@only(authentication="private_key_jwt", binding="dpop")
def test_weak_algorithms_and_methods(
    front: Front, services: Services, tenant: TenantContext, http: Http, person: Person, variant: Variant
) -> None:
    """ensure-signed-client-assertion-with-RS256-fails, at both endpoints; and no client has a secret."""
    weak = Bank.at(front, tenant, http, variant, profile=PROFILE, alg="RS256")
    is_refused(weak.push(), "invalid_client")
    is_refused(weak.redeem("x"), "invalid_client")
    secret = parties.new_client(services, tenant, profile=PROFILE)
    is_refused(http.post("/par", form={"x": "y"}, headers=secret.basic), "invalid_client")
    found = reasons(services, tenant, "client.authentication.fail")
    assert found[-1] == "client.method_not_allowed"


@only(authentication="private_key_jwt")
@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "Ed25519", "PS256"])
def test_every_algorithm_of_the_profile(
    front: Front, tenant: TenantContext, http: Http, person: Person, variant: Variant, alg: str
) -> None:
    """The client signs with it, and its ID tokens are signed with it."""
    bank = Bank.at(front, tenant, http, variant, profile=PROFILE, alg=alg, id_token_signed_response_alg=alg)
    token = tokens_of(bank, person)["id_token"]
    assert bank.read(token).header["alg"] == alg


def test_refresh_token(person: Person, first: Bank, second: Bank) -> None:
    """Bound to client and proof of possession, with any key; not rotated, so that it works 30 seconds later."""
    token = tokens_of(first, person, scope="openid offline_access", prompt="consent")["refresh_token"]
    is_refused(second.refresh(token), "invalid_grant")
    bare = {"grant_type": "refresh_token", "refresh_token": token, "client_id": first.client_id}
    is_refused(first.http.post("/token", form=bare), "invalid_client", "invalid_request")
    unproven = first.refresh(token, proof=False)
    is_refused(unproven, "invalid_request", "invalid_grant", "invalid_dpop_proof", "invalid_client")
    keys = (None, SigningKeyHandle.generate("ES256")) if first.variant.binding == "dpop" else (None,)
    for key in keys:
        again = first.refresh(token, key=key)
        assert again.status_code == 200, again.text
        assert again.json["refresh_token"] == token
        wanted = {"jkt": key.kid} if key else first.confirmation
        assert first.read(again.json["access_token"]).claims["cnf"] == wanted
    with time_machine.travel(clock.now() + timedelta(seconds=32), tick=True):
        assert first.refresh(token).status_code == 200


@only(authentication="private_key_jwt", binding="mtls")
def test_a_refresh_token_goes_on_with_another_certificate(person: Person, front: Front, first: Bank) -> None:
    """A confidential client's is bound to the client; its new tokens to the certificate it shows then."""
    token = tokens_of(first, person, scope="openid offline_access", prompt="consent")["refresh_token"]
    first.certificate = front.clients.issue("renewed")
    again = first.refresh(token)
    assert again.status_code == 200, again.text
    assert first.read(again.json["access_token"]).claims["cnf"] == first.confirmation


@pytest.mark.parametrize("verifier", [None, "w" * 43])
def test_code_verifier_is_required_and_right(person: Person, first: Bank, verifier: str | None) -> None:
    """ensure-pkce-code-verifier-required, incorrect-pkce-code-verifier-rejected."""
    is_refused(first.redeem(code_of(first, person), code_verifier=verifier), "invalid_grant")


@only(authentication="private_key_jwt", binding="dpop")
def test_plain_http_is_no_redirect_uri(
    front: Front, tenant: TenantContext, http: Http, variant: Variant
) -> None:
    bank = Bank.at(front, tenant, http, variant, profile=PROFILE, redirect_uris=["http://127.0.0.1/cb"])
    is_refused(bank.push(redirect_uri="http://127.0.0.1/cb"), "invalid_request")


def test_resource_tokens_are_bound_as_well(
    services: Services, tenant: TenantContext, person: Person, first: Bank
) -> None:
    new_resource(services, tenant)
    token = tokens_of(first, person, scope="read")["access_token"]
    claims = jose.unverified(token).claims
    assert claims["aud"] == API
    assert claims["cnf"] == first.confirmation


@only(authentication="private_key_jwt", binding="dpop")
def test_of_a_tenant(
    front: Front, services: Services, tenant: TenantContext, http: Http, variant: Variant
) -> None:
    """One word for every client that names no profile of its own."""
    from app.domain import tenants
    from app.domain.models import Tenant
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.update_settings(session.get_one(Tenant, tenant.id), {"profile": PROFILE})
    services.versions.touch()
    found = http.get("/.well-known/openid-configuration").json
    assert found["require_pushed_authorization_requests"] is True
    bank = Bank.at(front, tenant, http, variant)
    assert answer_of(http.get("/authorize", query=bank.asked())).parameters["error"] == "invalid_request"
    is_refused(bank.push(form={**bank.asked(), **bank.assertion(aud=[tenant.issuer])}), "invalid_client")
    ordinary = Bank.at(front, tenant, http, variant, profile="oauth2.1")
    assert http.get("/authorize", query=ordinary.asked()).headers["Location"].startswith("/")
