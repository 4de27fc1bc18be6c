"""Signed UserInfo (OpenID Connect Core section 5.3.2) and the algorithms a client may register."""

import pytest

from app.infra import jose
from app.infra.signing import SIGNING_ALGORITHMS
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]


def read(side: TokenSide, token: str, alg: str) -> jose.Verified:
    keys = side.services.keyring.verification_keys(side.tenant.id)
    return jose.verify(token, keys, algorithms=(alg,), typ="JWT")


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_userinfo_is_a_jwt_where_the_client_asked_for_one(side: TokenSide, alg: str) -> None:
    party, user = side.client(userinfo_signed_response_alg=alg), side.user()
    answer = side.userinfo(side.tokens(party, user, "openid profile")["access_token"])
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jwt"
    assert answer.headers["Cache-Control"] == "no-store"
    found = read(side, answer.text, alg)
    assert found.header["alg"] == alg
    assert found.claims["iss"] == side.tenant.issuer
    assert found.claims["aud"] == party.client_id
    assert (found.claims["sub"], found.claims["name"]) == (user, "Alice Adams")


def test_it_is_no_id_token(side: TokenSide) -> None:
    """It cannot be replayed as a hint that names a session, nor as an access token."""
    party = side.client(userinfo_signed_response_alg="ES256")
    answer = side.userinfo(side.tokens(party, side.user(), "openid")["access_token"])
    assert not {"sid", "nonce", "at_hash", "auth_time", "exp"} & set(read(side, answer.text, "ES256").claims)
    refused(side.userinfo(answer.text), "invalid_token", 401)


def test_without_it_the_answer_is_json(side: TokenSide) -> None:
    answer = side.userinfo(side.tokens(side.client(), side.user(), "openid")["access_token"])
    assert answer.headers["Content-Type"] == "application/json"


def test_refusals_are_json_whatever_was_registered(side: TokenSide) -> None:
    party = side.client(userinfo_signed_response_alg="ES256")
    token = side.tokens(party, side.user(), "openid")["access_token"]
    side.post("/revoke", {"token": token}, party)
    refused(side.userinfo(token), "invalid_token", 401)


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_id_tokens_are_signed_as_registered(side: TokenSide, alg: str) -> None:
    """The key's own `alg` in the JWKS is the one in the header."""
    party = side.client(id_token_signed_response_alg=alg)
    token = side.tokens(party, side.user(), "openid")["id_token"]
    found = read(side, token, alg)
    published = {key["kid"]: key["alg"] for key in side.http.get("/jwks").json["keys"]}
    assert published[found.header["kid"]] == found.header["alg"] == alg


def test_discovery_names_the_algorithms(side: TokenSide) -> None:
    document = side.http.get("/.well-known/openid-configuration").json
    for member in (
        "id_token_signing_alg_values_supported",
        "userinfo_signing_alg_values_supported",
        "introspection_signing_alg_values_supported",
    ):
        assert document[member] == list(SIGNING_ALGORITHMS), member
