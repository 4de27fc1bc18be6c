"""Introspection as a JWT (RFC 9701)."""

import pytest

from app.infra import jose
from app.infra.signing import SIGNING_ALGORITHMS
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

TYPE = "application/token-introspection+jwt"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_a_resource_server_gets_a_jwt_when_it_asks_for_one(side: TokenSide, alg: str) -> None:
    """Sections 4 and 5: the type, `iss`, `aud`, `iat`, and the answer in `token_introspection`, nowhere else."""
    party, user = side.client(introspection_signed_response_alg=alg), side.user()
    token = side.tokens(party, user, "openid")["access_token"]
    answer = side.post("/introspect", {"token": token}, party, headers={"Accept": TYPE})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == TYPE
    assert answer.headers["Cache-Control"] == "no-store"
    keys = side.services.keyring.verification_keys(side.tenant.id)
    found = jose.verify(answer.text, keys, algorithms=(alg,), typ="token-introspection+jwt")
    assert set(found.claims) == {"iss", "aud", "iat", "token_introspection"}
    assert (found.claims["iss"], found.claims["aud"]) == (side.tenant.issuer, party.client_id)
    assert found.claims["token_introspection"] == side.introspect(party, token)


@pytest.mark.parametrize("token", ["x", "a.b.c"])
def test_a_token_that_is_none_is_inactive_and_signed(side: TokenSide, token: str) -> None:
    """Section 5: nothing but that it is inactive."""
    answer = side.post("/introspect", {"token": token}, side.client(), headers={"Accept": TYPE})
    found = jose.verify(
        answer.text, side.services.keyring.verification_keys(side.tenant.id), algorithms=("RS256",)
    )
    assert found.claims["token_introspection"] == {"active": False}


def test_refresh_tokens_too(side: TokenSide) -> None:
    party = side.client()
    token = side.tokens(party, side.user(), "openid offline_access")["refresh_token"]
    answer = side.post("/introspect", {"token": token}, party, headers={"Accept": f"{TYPE}, */*;q=0.1"})
    assert jose.unverified(answer.text).claims["token_introspection"]["active"] is True


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/jwt"])
def test_who_does_not_ask_gets_json(side: TokenSide, accept: str) -> None:
    answer = side.post("/introspect", {"token": "x"}, side.client(), headers={"Accept": accept})
    assert answer.json == {"active": False}


def test_the_answer_is_no_access_token(side: TokenSide) -> None:
    """Section 8.1: it has a type of its own."""
    party = side.client(introspection_signed_response_alg="ES256")
    token = side.tokens(party, side.user(), "openid")["access_token"]
    answer = side.post("/introspect", {"token": token}, party, headers={"Accept": TYPE})
    refused(side.userinfo(answer.text), "invalid_token", 401)


def test_who_may_not_authenticate_gets_no_jwt(side: TokenSide) -> None:
    answer = side.post("/introspect", {"token": "x", "client_id": "nobody"}, headers={"Accept": TYPE})
    refused(answer, "invalid_client", 401)
