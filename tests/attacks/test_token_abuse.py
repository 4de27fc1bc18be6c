"""Attacks on tokens: of another kind, client or tenant; in somebody else's hands; after the person was shut out."""

import json
from typing import Any

import pytest

from app.domain.client_metadata import validate
from app.domain.models import User
from app.infra import jose
from app.infra.limits import USERINFO_FAILURES
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import b64url
from tests.conftest import new_tenant
from tests.protocol import parties
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

FULL = "openid profile email offline_access read"


def _shut_out(side: TokenSide, user_id: str) -> None:
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.get_one(User, (side.tenant.id, user_id)).disabled_at = clock.now()


def _neighbour(side: TokenSide) -> TokenSide:
    from tests.conftest import Http

    other = new_tenant(side.services)
    parties.new_resource(side.services, other)
    return TokenSide(side.services, other, Http(side.http.app, other))


def _forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x" * 64) -> str:
    return ".".join(
        (b64url(json.dumps(header).encode()), b64url(json.dumps(claims).encode()), b64url(signature))
    )


# Whoever was shut out


def test_somebody_who_was_disabled_has_no_refresh_token_any_more(side: TokenSide) -> None:
    party, user_id = side.client(), side.user()
    issued = side.tokens(party, user_id, FULL)
    assert side.introspect(party, issued["refresh_token"])["active"] is True
    _shut_out(side, user_id)
    assert side.introspect(party, issued["refresh_token"]) == {"active": False}
    refused(side.refresh(party, issued["refresh_token"]), "invalid_grant")
    assert side.userinfo(issued["access_token"]).status_code == 401


def test_a_code_dies_with_its_person(side: TokenSide) -> None:
    party, user_id = side.client(), side.user()
    code = side.code(party, user_id)
    _shut_out(side, user_id)
    refused(side.post("/token", code.form(), party), "invalid_grant")


# Availability through somebody else's server


def test_bad_tokens_handed_to_an_api_do_not_lock_it_out_of_userinfo(side: TokenSide) -> None:
    """An API that asks UserInfo about every token it is given must not be shut off by whoever gives it garbage."""
    api = {"environ_base": {"REMOTE_ADDR": "203.0.113.80"}}
    good = side.tokens(side.client(), side.user())["access_token"]
    for _ in range(USERINFO_FAILURES.most + 2):
        answer = side.http.get("/userinfo", headers={"Authorization": "Bearer garbage"}, **api)
    assert answer.status_code == 429
    answer = side.http.get("/userinfo", headers={"Authorization": f"Bearer {good}"}, **api)
    assert answer.status_code == 200


# One kind of token in place of another


def test_an_id_token_is_no_access_token(side: TokenSide) -> None:
    party = side.client(id_token_signed_response_alg="ES256")
    issued = side.tokens(party, side.user(), "openid")
    assert side.userinfo(issued["id_token"]).status_code == 401
    assert side.introspect(party, issued["id_token"]) == {"active": False}
    api = side.http.get("/api/v1/me", headers={"Authorization": f"Bearer {issued['id_token']}"})
    assert api.status_code == 401


def test_an_access_token_is_no_hint_at_sign_out(side: TokenSide) -> None:
    party = side.client(post_logout_redirect_uris=["https://app.example/bye"])
    issued = side.tokens(party, side.user(), "openid")
    query = {
        "id_token_hint": issued["access_token"],
        "client_id": party.client_id,
        "post_logout_redirect_uri": "https://app.example/bye",
    }
    answer = side.http.get("/logout", query=query)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_tokens_of_ours_are_no_client_assertions(side: TokenSide) -> None:
    party = side.client(
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [SigningKeyHandle.generate("ES256").public_jwk]},
    )
    other = side.client()
    issued = side.tokens(other, side.user(), "openid")
    for token in (issued["access_token"], issued["id_token"]):
        form = {
            "grant_type": "client_credentials",
            "client_id": party.client_id,
            "client_assertion": token,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        assert side.post("/token", form).status_code in (400, 401)


# Algorithms and keys


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "EdDSA", "es256"])
def test_another_algorithm_is_refused_whatever_the_key(side: TokenSide, alg: str) -> None:
    issued = side.tokens(side.client(), side.user())
    read = side.read(issued["access_token"])
    header = {**read.header, "alg": alg}
    for signature in (b"", b"x" * 64):
        assert side.userinfo(_forged(header, read.claims, signature)).status_code == 401


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": "own"},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/c"},
        {"kid": "../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": None},
        {"crit": ["exp"]},
        {"b64": False},
    ],
)
def test_a_key_the_token_brings_along_is_not_used(side: TokenSide, more: dict[str, Any]) -> None:
    read = side.read(side.tokens(side.client(), side.user())["access_token"])
    own = SigningKeyHandle.generate("ES256")
    extra = {k: own.public_jwk if v == "own" else v for k, v in more.items()}
    forged = jose.sign(read.claims, own, typ="at+jwt", extra_header=extra)
    head = {**read.header, **extra}
    signed = forged.split(".")
    assert side.userinfo(forged).status_code == 401
    assert side.userinfo(".".join((b64url(json.dumps(head).encode()), *signed[1:]))).status_code == 401


# Tenants


def test_tokens_of_one_tenant_mean_nothing_at_another(side: TokenSide) -> None:
    there = _neighbour(side)
    party, user_id = side.client(client_id="same"), side.user()
    twin = there.client(client_id="same")
    issued = side.tokens(party, user_id, FULL)
    assert there.userinfo(issued["access_token"]).status_code == 401
    assert there.introspect(twin, issued["access_token"]) == {"active": False}
    assert there.introspect(twin, issued["refresh_token"]) == {"active": False}
    refused(there.refresh(twin, issued["refresh_token"]), "invalid_grant")
    refused(there.post("/token", side.code(party, user_id).form(), twin), "invalid_grant")
    for token in ("access_token", "refresh_token"):
        assert there.post("/revoke", {"token": issued[token]}, twin).status_code == 200
    assert side.userinfo(issued["access_token"]).status_code == 200
    assert side.refresh(party, issued["refresh_token"]).status_code == 200
    hint = there.http.get("/logout", query={"id_token_hint": issued["id_token"]})
    assert hint.status_code == 400


def test_the_secret_of_a_namesake_opens_nothing(side: TokenSide) -> None:
    there = _neighbour(side)
    party, twin = side.client(client_id="namesake"), there.client(client_id="namesake")
    form = {"grant_type": "client_credentials"}
    assert there.post("/token", form, party).status_code == 401
    assert side.post("/token", form, twin).status_code == 401


def test_an_assertion_for_one_tenant_is_not_taken_by_another(side: TokenSide) -> None:
    there = _neighbour(side)
    key = SigningKeyHandle.generate("ES256")
    members = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [key.public_jwk]}}
    for place in (side, there):
        place.client(client_id="signer", **members)
    now = clock.timestamp(clock.now())
    claims = {"iss": "signer", "sub": "signer", "aud": side.tenant.issuer, "exp": now + 60, "jti": "one"}
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jose.sign(claims, key, typ="JWT"),
    }
    assert there.post("/token", form).status_code == 401
    assert side.post("/token", form).status_code == 200
    # Nor again at any other endpoint of its own.
    assert side.post("/introspect", {**form, "token": "x"}).status_code == 401
    assert side.post("/token", form).status_code == 401


# Clients among themselves


def test_another_client_can_neither_use_nor_revoke_nor_see(side: TokenSide) -> None:
    party, thief = side.client(), side.client()
    issued = side.tokens(party, side.user(), FULL)
    refused(side.refresh(thief, issued["refresh_token"]), "invalid_grant")
    for token in ("refresh_token", "access_token"):
        assert side.introspect(thief, issued[token]) == {"active": False}
        assert side.post("/revoke", {"token": issued[token]}, thief).status_code == 200
    assert side.userinfo(issued["access_token"]).status_code == 200
    assert side.refresh(party, issued["refresh_token"]).status_code == 200


def test_a_client_cannot_speak_for_a_person(side: TokenSide) -> None:
    """A client's own token names the issuer, and is still no key to UserInfo or the API."""
    party = side.client()
    for resource in (side.tenant.issuer, parties.API):
        token = side.client_token(party, resource=resource)["access_token"]
        assert side.userinfo(token).status_code in (401, 403)
        headers = {"Authorization": f"Bearer {token}"}
        assert side.http.get("/api/v1/me", headers=headers).status_code == 401
    for scope in ("openid", "offline_access", "groups", "openid read"):
        form = {"grant_type": "client_credentials", "scope": scope}
        refused(side.post("/token", form, party), "invalid_scope")


def test_a_refresh_widens_neither_scope_nor_audience(side: TokenSide) -> None:
    party = side.client()
    issued = side.tokens(party, side.user(), "openid offline_access read", resources=(parties.API,))
    token = issued["refresh_token"]
    refused(side.refresh(party, token, scope="openid write"), "invalid_scope")
    refused(side.refresh(party, token, resource=parties.OTHER_API), "invalid_target")
    refused(side.refresh(party, token, resource=side.tenant.issuer), "invalid_target")
    assert side.refresh(party, token).status_code == 200


@pytest.mark.parametrize(
    "garbled",
    [
        lambda f, g, m: f"{f}.{int(g) + 1}.{m}",
        lambda f, g, m: f"{f}.00.{m}",
        lambda f, g, m: f"{f.upper()}.{g}.{m}",
        lambda f, g, m: f"{f}.{g}.{m}=",
        lambda f, g, m: f"{f}.{g}.{m[:-1]}",
        lambda f, g, m: f"{f}.\u0661.{m}",
        lambda f, g, m: f"{'0' * 36}.{g}.{m}",
        lambda f, g, m: f"{f}.-0.{m}",
    ],
)
def test_a_refresh_token_of_another_shape_is_unknown(side: TokenSide, garbled: Any) -> None:
    party = side.client()
    token = side.tokens(party, side.user(), FULL)["refresh_token"]
    made = garbled(*token.split("."))
    if made != token and ".00." not in made:
        refused(side.refresh(party, made), "invalid_grant")
    assert side.refresh(party, token).status_code == 200


def test_a_public_clients_refresh_tokens_have_to_rotate() -> None:
    """RFC 9700 section 4.14.2: a stolen one would otherwise never be noticed."""
    said = {
        "redirect_uris": ["https://app.example/cb"],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }
    assert validate(said)
    with pytest.raises(Problem, match="rotat"):
        validate({**said, "refresh_token_rotation": False})


# PKCE


def test_pkce_cannot_be_left_out_afterwards(side: TokenSide) -> None:
    party, user_id = side.client(), side.user()
    for missing in ({"code_verifier": ""}, {"code_verifier": "a" * 43}, {"code_verifier": "v" * 42}):
        code = side.code(party, user_id)
        refused(side.post("/token", {**code.form(), **missing}, party), "invalid_grant")
    code = side.code(party, user_id, pkce=False)
    refused(side.post("/token", code.form(), party), "invalid_grant")


def test_a_challenge_is_not_its_own_verifier(side: TokenSide) -> None:
    party, user_id = side.client(), side.user()
    code = side.code(party, user_id)
    form = {**code.form(), "code_verifier": code.record.code_challenge}
    refused(side.post("/token", form, party), "invalid_grant")


# Mappers


def test_a_mapper_overrides_nothing_others_decide_by(side: TokenSide) -> None:
    for claim in ("sub", "aud.0", "iss", "exp", "scope", "client_id", "act.sub", "cnf", "tenant_id", "epoch"):
        said = {"redirect_uris": ["https://app.example/cb"], "claims": [{"claim": claim, "value": "evil"}]}
        with pytest.raises(Problem):
            validate(said)
