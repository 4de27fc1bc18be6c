"""Dynamic registration (RFC 7591, OpenID Connect Dynamic Registration 1.0): what comes of it, what is refused."""

import dataclasses
import time
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.domain.client_metadata import DEVICE_CODE
from app.domain.models import Client, RegisteredClient
from app.infra import jose
from app.infra.fetch import Fetcher
from app.infra.limits import (
    CLIENT_REGISTRATION,
    CLIENT_REGISTRATION_ALL,
    CLIENT_REGISTRATION_HELD,
    REGISTRATION_TOKENS,
)
from app.infra.signing import SigningKeyHandle
from app.protocols.oauth.client_keys import ClientKeys
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol.browserless import Person, new_person, request
from tests.protocol.key_server import KeyServer
from tests.protocol.registrations import CALLBACK, Registry
from tests.protocol.token_side import refused

KEY = SigningKeyHandle.generate("ES256").public_jwk
SCOPES = "openid profile email address phone offline_access"


@pytest.fixture
def registry(services: Services, app: Flask) -> Registry:
    return Registry.open(services, app)


def test_registering_is_off_unless_the_tenant_wants_it(services: Services, app: Flask) -> None:
    tenant = new_tenant(services)
    http = Http(app, tenant)
    refused(http.post("/register", json={"redirect_uris": [CALLBACK]}), "access_denied", 403)
    for name in ("openid-configuration", "oauth-authorization-server"):
        assert "registration_endpoint" not in http.get(f"/.well-known/{name}").json


@pytest.mark.parametrize("policy", ["token", "open"])
def test_discovery_says_where_to_register(services: Services, app: Flask, policy: str) -> None:
    registry = Registry.open(services, app, policy)
    for name in ("openid-configuration", "oauth-authorization-server"):
        found = registry.http.get(f"/.well-known/{name}").json
        assert found["registration_endpoint"] == f"{registry.tenant.issuer}/register"


def test_answer(registry: Registry) -> None:
    """Sections 3.2.1 of RFC 7591 and 3 of RFC 7592: 201, every member with its default, a secret and its expiry."""
    answer = registry.post(client_name="Docs", contacts=["dev@rp.example"])
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.json
    assert abs(found["client_id_issued_at"] - time.time()) < 60
    assert found["client_secret_expires_at"] == 0
    assert len(found["client_secret"]) >= 43
    assert len(found["registration_access_token"]) >= 43
    assert found["registration_client_uri"] == f"{registry.tenant.issuer}/clients/{found['client_id']}"
    said = {
        "redirect_uris": [CALLBACK],
        "client_name": "Docs",
        "contacts": ["dev@rp.example"],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "scope": SCOPES,
        "application_type": "web",
        "subject_type": "public",
        "id_token_signed_response_alg": "RS256",
    }
    assert {name: found[name] for name in said} == said
    assert not {"first_party", "profile", "allowed_groups"} & set(found)


def test_no_secret_where_the_method_has_none(registry: Registry) -> None:
    """Section 3.2.1: nor an expiry of one."""
    for method, more in (("none", {}), ("private_key_jwt", {"jwks": {"keys": [KEY]}})):
        found = registry.register(token_endpoint_auth_method=method, **more).told
        assert found["token_endpoint_auth_method"] == method
        assert not {"client_secret", "client_secret_expires_at"} & set(found)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_secrets_and_tokens_are_not_kept(registry: Registry, method: str) -> None:
    made = registry.register(token_endpoint_auth_method=method)
    with registry.services.tenancy.session(registry.tenant.id) as session:
        row = session.get_one(Client, (registry.tenant.id, made.client_id))
        kept = session.get_one(RegisteredClient, (registry.tenant.id, made.client_id))
        stored = f"{row.secret_hash} {row.secret_sealed!r} {kept.token_hash}"
    assert made.told["client_secret"] not in stored
    assert made.told["registration_access_token"] not in stored
    assert (row.secret_sealed is not None) == (method == "client_secret_jwt")


def test_a_registered_client_signs_people_in_and_asks_them(registry: Registry) -> None:
    """It is nobody's own: consent is asked for, and remembered."""
    new_person(registry.services, registry.tenant)
    made = registry.register(client_name="Docs", first_party=True, redirect_uris=["https://app.example/cb"])
    person = Person(registry.http)
    answer = person.through(made.client_id)
    assert "code" in answer.parameters
    assert registry.services.clients.get(registry.tenant.id, made.client_id).first_party is False  # type: ignore[union-attr]


@pytest.mark.parametrize("approval", [False, True])
def test_people_read_that_nobody_has_looked_at_it(services: Services, app: Flask, approval: bool) -> None:
    """Its name is what it says itself. One that an administrator approved was looked at."""
    registry = Registry.open(services, app, rules={"approval": approval})
    new_person(services, registry.tenant)
    made = registry.register(redirect_uris=["https://app.example/cb"], client_name="Your bank")
    if approval:
        made.approve()
    person = Person(registry.http)
    page = person.follow(registry.http.get("/authorize", query=request(made.client_id)))
    page = person.sign_in(page)
    assert 'id="allow"' in page.text
    assert ("introduced itself" in page.text) is not approval


@pytest.mark.parametrize("approval", [False, True])
def test_what_the_tenant_decides_today_makes_nobody_known(
    services: Services, app: Flask, approval: bool
) -> None:
    """Whether somebody looked at a client is a fact of the client, and ends when it calls itself something else."""
    registry = Registry.open(services, app, rules={"approval": approval})
    made = registry.register(client_name="Docs")

    def is_vetted() -> bool:
        registry.decide(registration={"clients": "open", "client_rules": {"approval": not approval}})
        found = services.clients.get(registry.tenant.id, made.client_id)
        registry.decide(registration={"clients": "open", "client_rules": {"approval": approval}})
        return found is not None and found.is_vetted

    assert not is_vetted()
    made.approve()
    assert is_vetted()
    secret = made.told["client_secret"]
    assert made.put(client_name="Docs", client_secret=secret, contacts=["a@rp.example"]).status_code == 200
    assert is_vetted()
    assert made.put(client_name="Your bank", client_secret=secret).status_code == 200
    assert not is_vetted()


def test_administrators_cannot_make_it_first_party_by_mistake(registry: Registry) -> None:
    """It says itself where people are sent, so it never gets by without asking them."""
    made = registry.register()
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        row = session.get_one(Client, (registry.tenant.id, made.client_id))
        row.metadata_ = {**row.metadata_, "first_party": True}
    registry.services.versions.touch()
    found = registry.services.clients.get(registry.tenant.id, made.client_id)
    assert found is not None
    assert found.first_party is False


def test_unknown_members_are_passed_over(registry: Registry) -> None:
    """Section 2; and what is an administrator's to say is unknown here."""
    ours = {
        "profile": "oidc-legacy",
        "allowed_groups": ["x"],
        "access_token_seconds": 86400,
        "require_mfa": True,
    }
    found = registry.register(shoe_size=43, id_token_encrypted_response_alg="RSA-OAEP", **ours).told
    assert not {"shoe_size", "id_token_encrypted_response_alg", *ours} & set(found)


def test_members_that_are_null_are_left_out(registry: Registry) -> None:
    assert "logo_uri" not in registry.register(logo_uri=None, scope=None).told


def test_names_in_languages_are_kept(registry: Registry) -> None:
    """Section 2.2."""
    found = registry.register(**{"client_name": "Docs", "client_name#de": "Dokumente"}).told
    assert found["client_name#de"] == "Dokumente"


METADATA, REDIRECT = "invalid_client_metadata", "invalid_redirect_uri"
BAD: list[tuple[dict[str, Any], str]] = [
    ({"redirect_uris": ["https://rp.example/cb#x"]}, REDIRECT),
    ({"redirect_uris": ["http://rp.example/cb"]}, REDIRECT),
    ({"redirect_uris": ["https://*.rp.example/cb"]}, REDIRECT),
    ({"redirect_uris": ["javascript:alert(1)"]}, REDIRECT),
    ({"redirect_uris": ["https://rp.example/cb", "http://127.0.0.1/cb"]}, REDIRECT),
    ({"redirect_uris": []}, METADATA),
    ({"redirect_uris": "https://rp.example/cb"}, METADATA),
    ({"redirect_uris": [1]}, METADATA),
    ({"application_type": "desktop"}, METADATA),
    ({"grant_types": ["password"]}, METADATA),
    ({"grant_types": ["client_credentials"]}, METADATA),
    ({"grant_types": ["implicit"], "response_types": ["id_token"]}, METADATA),
    ({"grant_types": ["refresh_token"]}, METADATA),
    ({"grant_types": ["authorization_code"], "response_types": ["id_token"]}, METADATA),
    ({"grant_types": [DEVICE_CODE], "response_types": ["code"]}, METADATA),
    ({"response_types": ["none"]}, METADATA),
    ({"grant_types": "authorization_code"}, METADATA),
    ({"scope": "nothing-of-this"}, METADATA),
    ({"scope": ["openid"]}, METADATA),
    ({"token_endpoint_auth_method": "private_key_jwt"}, METADATA),
    ({"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "rp.example"}, METADATA),
    ({"token_endpoint_auth_method": "magic"}, METADATA),
    ({"jwks": {"keys": [KEY]}, "jwks_uri": "https://rp.example/jwks"}, METADATA),
    ({"jwks": {"keys": [{**KEY, "d": "AA"}]}}, METADATA),
    ({"jwks": "keys"}, METADATA),
    ({"jwks_uri": "http://rp.example/jwks"}, METADATA),
    ({"logo_uri": "javascript:alert(1)"}, METADATA),
    ({"initiate_login_uri": "http://rp.example/login"}, METADATA),
    ({"initiate_login_uri": "http://127.0.0.1/login"}, METADATA),
    ({"initiate_login_uri": ["https://rp.example"]}, METADATA),
    ({"subject_type": "pairwise", "redirect_uris": [CALLBACK, "https://other.example/cb"]}, METADATA),
    ({"subject_type": "private"}, METADATA),
    ({"id_token_signed_response_alg": "none"}, METADATA),
    ({"id_token_signed_response_alg": "HS256"}, METADATA),
    ({"userinfo_signed_response_alg": "none"}, METADATA),
    ({"request_object_signing_alg": "none"}, METADATA),
    ({"post_logout_redirect_uris": ["http://rp.example/out"]}, METADATA),
    ({"request_uris": ["ftp://rp.example/r"]}, METADATA),
    ({"client_name": "n" * 201}, METADATA),
    ({"client_name": "Docs\nYour bank"}, METADATA),
    ({"client_name": "Docs \u202eknab"}, METADATA),
    ({"client_name#de": "Docs \u2066"}, METADATA),
    *(
        ({"client_name": f"My{sign}Bank"}, METADATA)
        for sign in "\u200b\u200f\u2062\u00ad\u061c\u034f\ufeff\ue000\u0378\u2028\U000e0041"
    ),
    ({"client_name": 7}, METADATA),
    ({"contacts": "dev@rp.example"}, METADATA),
    ({"default_max_age": -1}, METADATA),
]


# Named by their members alone: two processes that share the tests make keys of their own.
@pytest.mark.parametrize(("members", "error"), BAD, ids=["+".join(members)[:60] for members, _ in BAD])
def test_bad_metadata(registry: Registry, members: dict[str, Any], error: str) -> None:
    """Section 3.2.2: no client, no 500, a reason on record."""
    refused(registry.post(**members), error)
    wanted = "client.redirect_uri_invalid" if error == REDIRECT else "client.metadata_invalid"
    assert registry.refusals() == [wanted]
    with registry.services.tenancy.session(registry.tenant.id) as session:
        assert session.query(Client).count() == 0


def test_the_developer_is_told_what_is_wrong(registry: Registry) -> None:
    answer = registry.post(logo_uri='http://rp.example/"logo"', redirect_uris=[CALLBACK])
    assert "logo_uri" in answer.json["error_description"]


BODIES: list[tuple[bytes, str]] = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b'"x"', "application/json"),
    (b'{"redirect_uris": [], "redirect_uris": []}', "application/json"),
    (b'{"a": NaN}', "application/json"),
    (b'{"client_name": "\\u0000"}', "application/json"),
    (b'{"client_name": "\\ud800"}', "application/json"),
    (b"\xff{}", "application/json"),
    (b"[" * 50_000, "application/json"),
    (b'{"a":' * 20 + b"1" + b"}" * 20, "application/json"),
    (b'{"a": 1e999}', "application/json"),
    (b"redirect_uris=x", "application/x-www-form-urlencoded"),
    (b"{}", "text/plain"),
]


@pytest.mark.parametrize(("body", "kind"), BODIES, ids=[str(body[:30]) for body, _ in BODIES])
def test_bodies_that_are_no_object(registry: Registry, body: bytes, kind: str) -> None:
    refused(registry.http.post("/register", data=body, content_type=kind), "invalid_request")


def test_bodies_that_are_too_large(registry: Registry) -> None:
    body = b'{"client_name": "' + b"n" * 70_000 + b'"}'
    answer = registry.http.post("/register", data=body, content_type="application/json")
    refused(answer, "invalid_request", 413)


@pytest.mark.parametrize(
    ("members", "grants", "responses"),
    [
        ({}, ["authorization_code"], ["code"]),
        ({"response_types": ["code"]}, ["authorization_code"], ["code"]),
        ({"grant_types": [DEVICE_CODE], "redirect_uris": []}, [DEVICE_CODE], []),
        (
            {
                "grant_types": ["authorization_code", "password", "implicit"],
                "response_types": ["code", "token"],
            },
            ["authorization_code"],
            ["code"],
        ),
        (
            {"grant_types": ["authorization_code", "refresh_token"]},
            ["authorization_code", "refresh_token"],
            ["code"],
        ),
    ],
)
def test_grant_and_response_types_go_together(
    registry: Registry, members: dict[str, Any], grants: list[str], responses: list[str]
) -> None:
    """Section 2.1: what is not said follows from what is; what is not allowed is left out, and the answer says so."""
    found = registry.register(**members).told
    assert (found["grant_types"], found["response_types"]) == (grants, responses)


def test_legacy_response_types_where_the_tenant_has_them(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, legacy_response_types=True)
    found = registry.register(response_types=["token id_token", "code"]).told
    assert found["response_types"] == ["id_token token", "code"]
    assert set(found["grant_types"]) == {"authorization_code", "implicit"}
    for uri in ("https://localhost/cb", "http://127.0.0.1/cb"):
        for members in ({}, {"application_type": "web"}):
            refused(registry.post(response_types=["id_token"], redirect_uris=[uri], **members), REDIRECT)


def test_type_of_application_follows_from_its_redirect_uris(registry: Registry) -> None:
    """Clients on somebody's own machine often do not say that they are."""
    for uri, kind in (
        ("http://127.0.0.1:8123/cb", "native"),
        ("http://localhost/cb", "native"),
        ("com.example.app:/cb", "native"),
        (CALLBACK, "web"),
    ):
        for members in ({}, {"application_type": "web"}):
            assert registry.register(redirect_uris=[uri], **members).told["application_type"] == kind
    assert registry.register(application_type="native", redirect_uris=[CALLBACK]).client_id


def test_scopes_are_those_the_tenant_lets_clients_have(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, rules={"scopes": ["openid", "read"]})
    assert registry.register(scope="openid email read").told["scope"] == "openid read"
    assert registry.register().told["scope"] == "openid read"
    refused(registry.post(scope="email"), METADATA)


def test_grants_are_those_the_tenant_lets_clients_have(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, rules={"grant_types": ["client_credentials"]})
    made = registry.register(grant_types=["client_credentials", "authorization_code"])
    assert made.told["grant_types"] == ["client_credentials"]
    answer = registry.http.post("/token", form={"grant_type": "client_credentials"}, headers=made.basic)
    assert answer.status_code == 200


def test_authorization_details_types_are_those_the_tenant_lets_clients_have(
    services: Services, app: Flask
) -> None:
    registry = Registry.open(services, app, rules={"authorization_details_types": ["payment"]})
    made = registry.register(authorization_details_types=["payment", "account"])
    assert made.told["authorization_details_types"] == ["payment"]


def test_profile_of_the_tenant_is_in_force(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, profile="fapi2-security")
    refused(registry.post(), METADATA)
    keyed: dict[str, Any] = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [KEY]}}
    refused(registry.post(**keyed, redirect_uris=["http://127.0.0.1/cb"]), METADATA)
    refused(registry.post(**keyed, token_endpoint_auth_signing_alg="RS256"), METADATA)
    assert registry.refusals() == ["registration.profile"] * 3
    assert registry.register(**keyed).client_id


@pytest.mark.parametrize("lists_it", [True, False])
def test_sector_identifier_uri_is_asked(services: Services, lists_it: bool) -> None:
    """OIDC Dynamic Registration section 5, OIDC Core section 8.1."""
    fetcher = Fetcher(("127.0.0.1/32",))
    parts = dataclasses.replace(services, fetcher=fetcher, client_keys=ClientKeys(fetcher))
    registry = Registry.open(parts, create_app(parts.settings, services=parts))
    with KeyServer({}) as sector:
        sector.text = f'["{CALLBACK if lists_it else "https://rp.example/other"}"]'
        answer = registry.post(subject_type="pairwise", sector_identifier_uri=sector.url)
    if lists_it:
        assert answer.status_code == 201
        assert answer.json["sector_identifier_uri"] == sector.url
    else:
        refused(answer, METADATA)


@pytest.mark.parametrize("uri", ["https://127.0.0.1:1/s", "https://10.0.0.1/s", "https://[fd00::1]/s"])
def test_nobody_is_knocked_at_within(registry: Registry, uri: str) -> None:
    """The guard of every fetch (contracts 19)."""
    refused(registry.post(subject_type="pairwise", sector_identifier_uri=uri), METADATA)


def test_registering_is_limited_by_address_and_tenant(registry: Registry) -> None:
    limit = CLIENT_REGISTRATION.count(registry.tenant.id, "127.0.0.1")
    registry.services.state.execute(dataclasses.replace(limit, amount=CLIENT_REGISTRATION.most))
    answer = registry.post()
    refused(answer, "temporarily_unavailable", 429)
    assert int(answer.headers["Retry-After"]) > 0


def test_who_has_no_token_does_not_use_up_the_limit_of_all(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, "token")
    limit = CLIENT_REGISTRATION_HELD.count(registry.tenant.id)
    services.state.execute(dataclasses.replace(limit, amount=CLIENT_REGISTRATION_HELD.most - 1))
    for _ in range(3):
        refused(registry.post(), "invalid_token", 401)
    _, token = registry.initial_token(max_uses=2)
    registry.register(token=token)
    refused(registry.post(token=token), "temporarily_unavailable", 429)


def test_keys_are_not_fetched_from_within(registry: Registry) -> None:
    """The guard of every fetch (contracts 19): `jwks_uri` is read when an assertion is to be verified."""
    made = registry.register(token_endpoint_auth_method="private_key_jwt", jwks_uri="https://10.0.0.1/jwks")
    now = int(time.time())
    claims = {
        "iss": made.client_id,
        "sub": made.client_id,
        "aud": registry.tenant.issuer,
        "jti": "1",
        "exp": now + 60,
    }
    form = {
        "grant_type": "authorization_code",
        "code": "x",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jose.sign(claims, SigningKeyHandle.generate("ES256"), typ="JWT"),
    }
    refused(registry.http.post("/token", form=form), "invalid_client", 401)
    (record,) = registry.in_stream("client.authentication.fail")
    assert record["reason"] == "client.keys_unavailable"


def test_a_tenant_takes_so_many(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, rules={"max_clients": 2})
    first = registry.register()
    registry.register()
    refused(registry.post(), "access_denied", 403)
    assert registry.refusals() == ["registration.full"]
    assert first.delete().status_code == 204
    registry.register()


def test_whoever_has_a_token_finds_a_place(services: Services, app: Flask) -> None:
    """A quarter is kept for them, and a limit of their own: strangers use up theirs alone."""
    registry = Registry.open(services, app, rules={"max_clients": 4})
    _, token = registry.initial_token(max_uses=3)
    for _ in range(3):
        registry.register()
    refused(registry.post(), "access_denied", 403)
    limit = CLIENT_REGISTRATION_ALL.count(registry.tenant.id)
    services.state.execute(dataclasses.replace(limit, amount=CLIENT_REGISTRATION_ALL.most))
    refused(registry.post(), "temporarily_unavailable", 429)
    registry.register(token=token)
    refused(registry.post(token=token), "access_denied", 403)


def test_a_client_may_be_given_a_time(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, rules={"lifetime_days": 7})
    found = registry.register().told
    assert found["client_secret_expires_at"] == found["client_id_issued_at"] + 7 * 86400


def test_registering_is_put_on_record(registry: Registry) -> None:
    made = registry.register(client_name="Docs")
    (record,) = registry.in_outbox("client.registered")
    assert record["client"] == made.client_id
    assert record["ip"] == "127.0.0.1"
    assert record["data"]["redirect_hosts"] == ["rp.example"]
    assert record["data"]["approved"] is True
    assert made.told["client_secret"] not in str(record)


def test_any_origin_may_register_and_look_after_it(registry: Registry) -> None:
    """CORS: browsers' own clients and inspectors."""
    made = registry.register()
    preflight = registry.http.request("OPTIONS", made.path, headers={"Origin": "https://spa.example"})
    assert {"GET", "PUT", "DELETE"} <= set(preflight.headers["Access-Control-Allow-Methods"].split(", "))
    for answer in (registry.post(), made.read(), made.delete()):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_pages_at_the_same_path_are_still_pages(services: Services, app: Flask) -> None:
    """People make accounts there where the tenant lets them."""
    registry = Registry.open(services, app)
    registry.decide(registration={"people": "open"})
    page = registry.http.get("/register")
    assert page.status_code == 303
    assert "/interaction/" in page.headers["Location"]


def test_guessing_tokens_is_ended(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, "token")
    for _ in range(REGISTRATION_TOKENS.most):
        refused(registry.post(token="x"), "invalid_token", 401)
    refused(registry.post(token="x"), "temporarily_unavailable", 429)
