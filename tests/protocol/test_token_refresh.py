"""The refresh token grant (RFC 6749 section 6, RFC 9700 section 4.14, contracts 5)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from app.domain import grants
from app.domain.models import RefreshFamily, User, UserGroup
from app.kernel import clock
from tests import outbox_rows
from tests.protocol.parties import API, OTHER_API
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]


def test_refresh_rotates_and_keeps_who_and_when(side: TokenSide) -> None:
    """OIDC Core section 12.2: same iss, sub, aud and auth_time, a new iat; no nonce."""
    client, user = side.client(), side.user()
    first = side.tokens(client, user, "openid profile offline_access")
    with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
        answer = side.refresh(client, first["refresh_token"])
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json["refresh_token"] != first["refresh_token"]
        assert answer.json["token_type"] == "Bearer"
        assert set(answer.json["scope"].split()) == {"openid", "profile", "offline_access"}
        before, after = (side.read(t["id_token"]).claims for t in (first, answer.json))
    for name in ("iss", "sub", "aud", "auth_time", "sid"):
        assert before[name] == after[name]
    assert after["iat"] > before["iat"]
    assert "nonce" not in after
    assert "azp" not in after
    assert side.userinfo(answer.json["access_token"]).status_code == 200


def test_scope_may_be_narrowed_and_comes_back_later(side: TokenSide) -> None:
    """RFC 6749 section 6."""
    client = side.client()
    first = side.tokens(client, side.user(), "openid profile email offline_access")
    narrowed = side.refresh(client, first["refresh_token"], scope="openid email")
    assert narrowed.json["scope"] == "email openid"
    whole = side.refresh(client, narrowed.json["refresh_token"])
    assert set(whole.json["scope"].split()) == {"openid", "profile", "email", "offline_access"}


def test_scope_beyond_the_grant_is_refused_and_rotates_nothing(side: TokenSide) -> None:
    client = side.client()
    first = side.tokens(client, side.user(), "openid offline_access")
    refused(side.refresh(client, first["refresh_token"], scope="openid email"), "invalid_scope")
    assert _generation(side, first["refresh_token"]) == 0
    assert side.refresh(client, first["refresh_token"]).status_code == 200


def test_resource_narrows_and_never_widens(side: TokenSide) -> None:
    """RFC 8707 section 2.2."""
    client = side.client(scope="openid read list offline_access")
    scope = "openid read list offline_access"
    first = side.tokens(client, side.user(), scope, resources=(API, OTHER_API, side.tenant.issuer))
    narrowed = side.refresh(client, first["refresh_token"], resource=API)
    claims = side.read(narrowed.json["access_token"]).claims
    assert claims["aud"] == API
    assert "list" not in claims["scope"].split()
    again = side.refresh(client, narrowed.json["refresh_token"])
    assert side.read(again.json["access_token"]).claims["aud"] == [API, OTHER_API, side.tenant.issuer]
    only = side.tokens(client, side.user(), "read offline_access", resources=(API,))
    refused(side.refresh(client, only["refresh_token"], resource=OTHER_API), "invalid_target")


def test_lost_answer_may_be_asked_for_again(side: TokenSide) -> None:
    """Within the grace the very same successor is handed out."""
    client = side.client()
    first = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    second = side.refresh(client, first).json["refresh_token"]
    assert side.refresh(client, first).json["refresh_token"] == second
    assert side.refresh(client, second).status_code == 200


def test_old_token_after_the_new_one_was_used_ends_the_grant(side: TokenSide) -> None:
    """RFC 9700 section 4.14.2."""
    client = side.client()
    first = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    second = side.refresh(client, first).json["refresh_token"]
    third = side.refresh(client, second).json
    refused(side.refresh(client, first), "invalid_grant")
    refused(side.refresh(client, third["refresh_token"]), "invalid_grant")
    assert side.userinfo(third["access_token"]).status_code == 401


def test_old_token_after_the_grace_ends_the_grant(side: TokenSide) -> None:
    client = side.client()
    first = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    second = side.refresh(client, first).json["refresh_token"]
    with time_machine.travel(clock.now() + timedelta(seconds=11), tick=True):
        refused(side.refresh(client, first), "invalid_grant")
        refused(side.refresh(client, second), "invalid_grant")


def test_what_happened_is_on_record_with_who_it_was(side: TokenSide) -> None:
    """Contracts 20: person, e-mail, session, client, grant and address, in a theft above all."""
    client, user = side.client(), side.user()
    first = side.tokens(client, user, "openid offline_access")["refresh_token"]
    side.refresh(client, first)
    with time_machine.travel(clock.now() + timedelta(seconds=11), tick=True):
        refused(side.refresh(client, first), "invalid_grant")
    with side.services.tenancy.session(side.tenant.id) as session:
        email = session.get_one(User, (side.tenant.id, user)).email
        rows = outbox_rows.events(session)
    assert email
    for name in ("token.issued", "token.refreshed", "token.replayed"):
        (found,) = [row for row in rows if row["event"] == name and row["user"] == user]
        assert (found["email"], found["mfa_used"], found["client"]) == (email, False, client.client_id), name
        assert found["session"], name
        assert found["grant"], name
        assert found["ip"], name


def test_16_parallel_refreshes_make_one_rotation_and_one_token(side: TokenSide) -> None:
    client = side.client()
    first = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: side.refresh(client, first), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert _generation(side, first) == 1


def test_client_that_does_not_rotate_keeps_its_token(side: TokenSide) -> None:
    client = side.client(refresh_token_rotation=False)
    first = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    for _ in range(3):
        assert side.refresh(client, first).json["refresh_token"] == first


def test_refresh_token_of_another_client_is_exactly_400_invalid_grant(side: TokenSide) -> None:
    """And harms nobody: the owner's stays good."""
    owner, thief = side.client(), side.client()
    token = side.tokens(owner, side.user(), "openid offline_access")["refresh_token"]
    refused(side.refresh(thief, token), "invalid_grant")
    assert side.refresh(owner, token).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["nonsense", "a.b.c", "." * 10, "0" * 36 + ".0.x", "0" * 36 + ".0." + "A" * 43, "é", "x" * 5000],
)
def test_made_up_refresh_token_is_invalid_grant(side: TokenSide, token: str) -> None:
    refused(side.refresh(side.client(), token), "invalid_grant")


def test_generation_that_was_never_made_is_refused(side: TokenSide) -> None:
    client = side.client()
    token = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    family, _, mac = token.split(".")
    refused(side.refresh(client, f"{family}.1.{mac}"), "invalid_grant")
    assert side.refresh(client, token).status_code == 200


def test_missing_refresh_token_is_invalid_request(side: TokenSide) -> None:
    refused(side.post("/token", {"grant_type": "refresh_token"}, side.client()), "invalid_request")


def test_refresh_token_lives_as_long_as_the_client_says(side: TokenSide) -> None:
    client = side.client(refresh_token_seconds=600)
    token = side.tokens(client, side.user(), "openid offline_access")["refresh_token"]
    with time_machine.travel(clock.now() + timedelta(seconds=601), tick=True):
        refused(side.refresh(client, token), "invalid_grant")


def test_without_offline_access_refresh_ends_with_the_session(side: TokenSide) -> None:
    """At its absolute end, and when the person signs out."""
    client = side.client()
    ends = side.tokens(client, side.user(), "openid", session_seconds=600)["refresh_token"]
    session_id = "0199aaaa-0000-7000-8000-00000000000a"
    out = side.tokens(client, side.user(), "openid", session_id=session_id)["refresh_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        log = side.services.revocations
        assert len(grants.revoke_of_session(session, side.tenant.id, session_id, log=log)) == 1
    refused(side.refresh(client, out), "invalid_grant")
    with time_machine.travel(clock.now() + timedelta(seconds=601), tick=True):
        refused(side.refresh(client, ends), "invalid_grant")


def test_offline_access_outlives_the_session(side: TokenSide) -> None:
    """OIDC Core section 11. Its access tokens are not revoked with the session, either."""
    client, session_id = side.client(), "0199aaaa-0000-7000-8000-00000000000b"
    token = side.tokens(client, side.user(), "openid offline_access", session_id=session_id)["refresh_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        log = side.services.revocations
        assert grants.revoke_of_session(session, side.tenant.id, session_id, log=log) == []
        log.revoke_session(session, side.tenant.id, session_id, clock.after(3600))
    answer = side.refresh(client, token)
    assert answer.status_code == 200
    assert side.userinfo(answer.json["access_token"]).status_code == 200


def test_disabled_person_is_refused_and_rotates_nothing(side: TokenSide) -> None:
    client, user = side.client(), side.user()
    token = side.tokens(client, user, "openid offline_access")["refresh_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.get_one(User, (side.tenant.id, user)).disabled_at = clock.now()
    refused(side.refresh(client, token), "invalid_grant")
    assert _generation(side, token) == 0


def test_person_who_left_the_clients_group_is_refused(side: TokenSide) -> None:
    client, user = side.client(allowed_groups=["crew"]), side.user(groups=("crew",))
    token = side.tokens(client, user, "openid offline_access")["refresh_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        for row in session.scalars(select(UserGroup).where(UserGroup.user_id == user)):
            session.delete(row)
    refused(side.refresh(client, token), "invalid_grant")


def test_scope_the_client_lost_is_lost_to_its_tokens(side: TokenSide) -> None:
    from app.domain.models import Client

    client = side.client()
    token = side.tokens(client, side.user(), "openid email offline_access")["refresh_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        row = session.get_one(Client, (side.tenant.id, client.client_id))
        row.metadata_ = {**row.metadata_, "scope": "openid offline_access"}
    side.services.versions.touch()
    assert "email" not in side.refresh(client, token).json["scope"].split()


def test_client_not_registered_for_refresh_is_unauthorized(side: TokenSide) -> None:
    client = side.client(grant_types=["authorization_code"])
    refused(side.refresh(client, "x"), "unauthorized_client")


def _generation(side: TokenSide, token: str) -> int:
    with side.services.tenancy.session(side.tenant.id) as session:
        return session.get_one(RefreshFamily, (side.tenant.id, token.split(".")[0])).generation
