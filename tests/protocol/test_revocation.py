"""Token revocation (RFC 7009)."""

import pytest

from tests.protocol import parties
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]


def revoke(side: TokenSide, party: parties.Party, token: str, **more: str) -> None:
    answer = side.post("/revoke", {"token": token, **more}, party)
    assert answer.status_code == 200, answer.text
    assert answer.data == b""


def test_refresh_token_takes_its_access_tokens_along(side: TokenSide) -> None:
    """RFC 7009 section 2.1."""
    client, user = side.client(), side.user()
    found = side.tokens(client, user, "openid offline_access")
    other = side.tokens(client, user, "openid offline_access")
    revoke(side, client, found["refresh_token"])
    refused(side.refresh(client, found["refresh_token"]), "invalid_grant")
    assert side.userinfo(found["access_token"]).status_code == 401
    assert side.userinfo(other["access_token"]).status_code == 200
    assert side.refresh(client, other["refresh_token"]).status_code == 200


def test_access_token_goes_alone(side: TokenSide) -> None:
    client = side.client()
    found = side.tokens(client, side.user(), "openid offline_access")
    revoke(side, client, found["access_token"])
    assert side.userinfo(found["access_token"]).status_code == 401
    assert side.introspect(client, found["access_token"]) == {"active": False}
    assert side.refresh(client, found["refresh_token"]).status_code == 200


def test_opaque_access_token_is_gone(side: TokenSide) -> None:
    api = parties.new_resource(
        side.services, side.tenant, "https://o.example", "dim", access_token_format="opaque"
    )
    client = side.client(scope="dim", resource_server_for=[api])
    token = side.client_token(client)["access_token"]
    revoke(side, client, token)
    assert side.introspect(client, token) == {"active": False}


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "0" * 36 + ".0.x", "x" * 9000])
def test_unknown_token_is_answered_like_a_revoked_one(side: TokenSide, token: str) -> None:
    """RFC 7009 section 2.2."""
    revoke(side, side.client(), token)


def test_revoking_twice_is_fine(side: TokenSide) -> None:
    client = side.client()
    found = side.tokens(client, side.user(), "openid offline_access")
    for token in (found["refresh_token"], found["access_token"]):
        revoke(side, client, token)
        revoke(side, client, token)


def test_token_of_another_client_stays_good(side: TokenSide) -> None:
    """RFC 7009 section 2.1: refused, and nothing is learnt of it."""
    owner, other = side.client(), side.client()
    found = side.tokens(owner, side.user(), "openid offline_access")
    revoke(side, other, found["access_token"])
    revoke(side, other, found["refresh_token"])
    assert side.userinfo(found["access_token"]).status_code == 200
    assert side.refresh(owner, found["refresh_token"]).status_code == 200


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard-of"])
def test_hint_changes_nothing(side: TokenSide, hint: str) -> None:
    client = side.client()
    found = side.tokens(client, side.user(), "openid offline_access")
    revoke(side, client, found["refresh_token"], token_type_hint=hint)
    refused(side.refresh(client, found["refresh_token"]), "invalid_grant")


def test_public_client_revokes_its_own(side: TokenSide) -> None:
    client = side.client(token_endpoint_auth_method="none")
    code = side.code(client, side.user(), "openid offline_access")
    found = side.post("/token", code.form(client_id=client.client_id)).json
    answer = side.post("/revoke", {"token": found["refresh_token"], "client_id": client.client_id})
    assert answer.status_code == 200
    assert side.userinfo(found["access_token"]).status_code == 401


def test_token_is_required(side: TokenSide) -> None:
    refused(side.post("/revoke", {}, side.client()), "invalid_request")


def test_client_has_to_authenticate(side: TokenSide) -> None:
    refused(side.post("/revoke", {"token": "x"}), "invalid_client", 401)
