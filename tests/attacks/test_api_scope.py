"""A client that was allowed little tries our own API for more."""

from typing import Any

import pytest

from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]


def _me(side: TokenSide, scope: str) -> dict[str, Any]:
    party = side.client(scope="openid profile email groups offline_access read write watchword:read")
    user_id = side.user(groups=(f"staff-{abs(hash(scope))}",), role="admin")
    token = side.tokens(party, user_id, scope)["access_token"]
    answer = side.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    assert found["sub"] == user_id
    return found


def test_openid_alone_tells_nothing_but_the_subject(side: TokenSide) -> None:
    """What the person was asked is whether the client may know which account is theirs."""
    found = _me(side, "openid")
    assert [found[name] for name in ("username", "email", "email_verified")] == [None] * 3
    assert [found[name] for name in ("roles", "groups", "permissions")] == [[]] * 3


@pytest.mark.parametrize(
    ("scope", "shown"),
    [("profile", {"username"}), ("email", {"email", "email_verified"}), ("groups", {"groups"})],
)
def test_each_scope_shows_its_own(side: TokenSide, scope: str, shown: set[str]) -> None:
    found = _me(side, f"openid {scope}")
    personal = ("username", "email", "email_verified", "roles", "groups", "permissions")
    assert {name for name in personal if found[name] not in (None, [])} == shown


def test_a_role_without_the_scope_opens_nothing(side: TokenSide) -> None:
    party, admin = side.client(), side.user(role="admin")
    token = side.tokens(party, admin, "openid profile")["access_token"]
    for path in ("/api/v1/tenant", "/api/v1/audit", "/api/v1/outbox/dead-letters"):
        answer = side.http.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        assert answer.json["code"] == "token.scope"


def test_the_scope_without_a_role_opens_nothing(side: TokenSide) -> None:
    party = side.client(scope="openid watchword:read watchword:admin")
    token = side.tokens(party, side.user(), "openid watchword:read watchword:admin")["access_token"]
    for path in ("/api/v1/tenant", "/api/v1/audit", "/api/v1/outbox/dead-letters"):
        answer = side.http.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        assert answer.json["code"] == "permission.missing"
