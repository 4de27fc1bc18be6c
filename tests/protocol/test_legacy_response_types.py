"""Tokens in the authorization response (OIDC Core sections 3.2 and 3.3), where tenant and client both want that."""

from typing import Any

import pytest

from app.domain import tenants
from app.domain.client_metadata import LEGACY_RESPONSE_TYPES
from app.domain.models import Tenant
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.tenancy import SystemReason
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.banks import Bank, reasons
from tests.protocol.browserless import Person, answer_of, new_person, request
from tests.protocol.parties import new_client, new_resource

ALL = ["code", *LEGACY_RESPONSE_TYPES]
GRANTS = ["authorization_code", "refresh_token", "implicit"]


def allow(services: Services, tenant: TenantContext, **changes: Any) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = session.get_one(Tenant, tenant.id)
        tenants.update_settings(row, {"legacy_response_types": True, **changes})
    services.versions.touch()


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_person(services, tenant)
    allow(services, tenant)
    new_client(
        services, tenant, client_id="old", response_types=ALL, grant_types=GRANTS, profile="oidc-legacy"
    )
    return Person(http)


def read(services: Services, tenant: TenantContext, token: str) -> jose.Verified:
    keys = services.keyring.verification_keys(tenant.id)
    return jose.verify(token, keys, algorithms=jose.SIGNING_ALGORITHMS)


@pytest.mark.parametrize("kind", LEGACY_RESPONSE_TYPES)
def test_answer(person: Person, services: Services, tenant: TenantContext, kind: str) -> None:
    """Sections 3.2.2.5 and 3.3.2.5: in the fragment; the ID token vouches for what comes beside it."""
    answer = person.through("old", response_type=kind)
    found, words = answer.parameters, set(kind.split())
    assert answer.mode == "fragment"
    wanted = {"state", "iss"} | ({"code"} & words) | ({"id_token"} & words)
    wanted |= {"access_token", "token_type", "expires_in", "scope"} if "token" in words else set()
    assert set(found) == wanted
    if "token" in words:
        assert found["token_type"] == "Bearer"
        info = person.http.get("/userinfo", headers={"Authorization": f"Bearer {found['access_token']}"})
        assert info.json["name"] == "Alice"
    if "id_token" in words:
        token = read(services, tenant, found["id_token"])
        claims, alg = token.claims, token.header["alg"]
        assert claims["nonce"] == "nonce-1"
        assert claims["aud"] == "old"
        expected = {"c_hash": found.get("code"), "at_hash": found.get("access_token"), "s_hash": "state-1"}
        for name, value in expected.items():
            assert claims.get(name) == (jose.at_hash(value, alg) if value else None)
        # Section 5.4: claims for scopes where nobody could ask UserInfo, and only there.
        assert ("name" in claims) is (kind == "id_token")


def test_code_of_a_hybrid_answer_is_good(services: Services, tenant: TenantContext, http: Http) -> None:
    """Section 3.3.3: the ID token of the token endpoint names the same person."""
    new_person(services, tenant)
    allow(services, tenant)
    bank = Bank.open(services, tenant, http, response_types=["code id_token"], grant_types=GRANTS)
    found = Person(http).through(bank.client_id, response_type="id_token code").parameters
    tokens = bank.redeem(found["code"], proof=False).json
    first, second = bank.read(found["id_token"]).claims, bank.read(tokens["id_token"]).claims
    for name in ("iss", "sub", "aud", "nonce", "auth_time"):
        assert first[name] == second[name]
    assert bank.redeem(found["code"], proof=False).status_code == 400


def test_words_in_any_order(person: Person) -> None:
    assert "id_token" in person.through("old", response_type="token id_token").parameters


def test_opaque_access_token(person: Person, services: Services, tenant: TenantContext) -> None:
    new_resource(services, tenant, access_token_format="opaque")
    found = person.through("old", response_type="id_token token", scope="openid read").parameters
    assert found["access_token"].count(".") == 0


def test_offline_access_is_ignored_without_a_code(person: Person) -> None:
    """Section 11."""
    found = person.through("old", response_type="id_token token", scope="openid offline_access").parameters
    assert found["scope"] == "openid"


def test_by_form_post(person: Person) -> None:
    answer = person.through("old", response_type="code id_token", response_mode="form_post")
    assert answer.mode == "form_post"
    assert "id_token" in answer.parameters


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"nonce": None}, "invalid_request", "request.nonce_missing"),
        ({"response_mode": "query"}, "invalid_request", "request.response_mode"),
        ({"response_mode": "query.jwt"}, "invalid_request", "request.response_mode"),
        ({"scope": "profile"}, "invalid_scope", "scope.openid_missing"),
        ({"response_type": "token"}, "unsupported_response_type", "request.response_type"),
        ({"response_type": "code code"}, "unsupported_response_type", "request.response_type"),
        ({"response_type": "none"}, "unsupported_response_type", "request.response_type"),
        ({"prompt": "none"}, "login_required", None),
    ],
)
def test_refusals_are_in_the_fragment_too(
    person: Person,
    services: Services,
    tenant: TenantContext,
    changes: dict[str, str],
    error: str,
    reason: str | None,
) -> None:
    """OAuth 2.0 Multiple Response Type Encoding Practices section 5."""
    query = request("old", **{"response_type": "code id_token", **changes})
    answer = answer_of(person.http.get("/authorize", query=query))
    assert answer.parameters["error"] == error
    asked = query["response_type"].split()
    assert answer.mode == ("fragment" if {"token", "id_token"} & set(asked) else "query")
    assert reasons(services, tenant, "authorization.refused") == ([reason] if reason else [])


def test_client_has_to_ask(person: Person, services: Services, tenant: TenantContext) -> None:
    new_client(services, tenant, client_id="new")
    answer = answer_of(person.http.get("/authorize", query=request("new", response_type="code id_token")))
    assert answer.parameters["error"] == "unauthorized_client"


def test_tenant_has_to_allow(person: Person, services: Services, tenant: TenantContext) -> None:
    """The setting off: neither allowed nor advertised."""
    supported = person.http.get("/.well-known/openid-configuration").json
    assert supported["response_types_supported"] == ALL
    assert "implicit" in supported["grant_types_supported"]
    allow(services, tenant, legacy_response_types=False)
    answer = answer_of(person.http.get("/authorize", query=request("old", response_type="id_token")))
    assert answer.parameters["error"] == "unsupported_response_type"
    supported = person.http.get("/.well-known/openid-configuration").json
    assert supported["response_types_supported"] == ["code"]
    assert "implicit" not in supported["grant_types_supported"]


def test_profile_may_forbid(person: Person, services: Services, tenant: TenantContext) -> None:
    bank = Bank.open(
        services, tenant, person.http, profile="fapi2-security", response_types=ALL, grant_types=GRANTS
    )
    answer = bank.push(response_type="code id_token")
    assert answer.json["error"] == "unsupported_response_type"


def test_tokens_end_with_the_session(person: Person) -> None:
    found = person.through("old", response_type="id_token token").parameters
    bearer = {"Authorization": f"Bearer {found['access_token']}"}
    assert person.http.get("/userinfo", headers=bearer).status_code == 200
    page = person.follow(
        person.http.get("/logout", query={"id_token_hint": found["id_token"], "client_id": "old"})
    )
    if 'id="confirm-logout"' in page.text:
        raise AssertionError("the hint proves it; nobody has to be asked")
    assert person.http.get("/userinfo", headers=bearer).status_code == 401
