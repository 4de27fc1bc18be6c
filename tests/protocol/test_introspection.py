"""Token introspection (RFC 7662)."""

from datetime import timedelta

import pytest
import time_machine

from app.domain import grants
from app.infra import jose
from app.kernel import clock
from tests.protocol import parties
from tests.protocol.parties import API
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

INACTIVE = {"active": False}


def test_active_token_of_a_person(side: TokenSide) -> None:
    """RFC 7662 section 2.2. What is ours alone is not shown."""
    client, user = side.client(), side.user()
    token = side.tokens(client, user, "openid profile")["access_token"]
    found = side.introspect(client, token)
    assert found["active"] is True
    assert found["token_type"] == "Bearer"
    assert found["sub"] == user
    assert found["client_id"] == client.client_id
    assert found["iss"] == found["aud"] == side.tenant.issuer
    assert found["scope"] == "openid profile"
    assert found["exp"] > found["iat"]
    assert found["jti"]
    assert not {"epoch", "grant_id"} & set(found)


def test_answer_is_never_cached(side: TokenSide) -> None:
    answer = side.post("/introspect", {"token": "x"}, side.client())
    assert answer.status_code == 200
    assert answer.json == INACTIVE
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


def test_resource_server_may_ask_about_tokens_for_its_resource(side: TokenSide) -> None:
    token = side.client_token(side.client(scope="read"), scope="read")["access_token"]
    server = side.client(resource_server_for=[API])
    assert side.introspect(server, token)["active"] is True


def test_anybody_else_learns_nothing(side: TokenSide) -> None:
    """RFC 7662 section 4: a token somebody got hold of must not be tried out here."""
    token = side.client_token(side.client(), scope="read")["access_token"]
    assert side.introspect(side.client(), token) == INACTIVE
    elsewhere = side.client(resource_server_for=["https://elsewhere.example"])
    assert side.introspect(elsewhere, token) == INACTIVE


def test_public_client_may_not_ask(side: TokenSide) -> None:
    """RFC 7662 section 2.1: the endpoint is for those who authenticate."""
    client = side.client(token_endpoint_auth_method="none")
    refused(side.post("/introspect", {"token": "x", "client_id": client.client_id}), "invalid_client", 401)


def test_asking_without_credentials_is_refused(side: TokenSide) -> None:
    refused(side.post("/introspect", {"token": "x"}), "invalid_client", 401)


def test_token_is_required(side: TokenSide) -> None:
    refused(side.post("/introspect", {}, side.client()), "invalid_request")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard-of"])
def test_hint_changes_nothing(side: TokenSide, hint: str) -> None:
    """RFC 7662 section 2.1: it is a hint."""
    client = side.client()
    token = side.client_token(client)["access_token"]
    answer = side.post("/introspect", {"token": token, "token_type_hint": hint}, client)
    assert answer.json["active"] is True


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é", "e30.e30.e30", "x" * 20_000, "0" * 36 + ".0.x"])
def test_what_is_no_token_is_inactive(side: TokenSide, token: str) -> None:
    assert side.introspect(side.client(), token) == INACTIVE


def test_expired_token_is_inactive(side: TokenSide) -> None:
    client = side.client()
    token = side.client_token(client)["access_token"]
    assert side.introspect(client, token)["active"] is True
    with time_machine.travel(clock.now() + timedelta(seconds=301), tick=True):
        assert side.introspect(client, token) == INACTIVE


def test_id_token_is_no_access_token(side: TokenSide) -> None:
    """RFC 9068 section 4: the type tells them apart."""
    client = side.client(id_token_signed_response_alg="ES256")
    assert side.introspect(client, side.tokens(client, side.user())["id_token"]) == INACTIVE


def test_tampered_token_is_inactive(side: TokenSide) -> None:
    client = side.client()
    token = side.client_token(client)["access_token"]
    assert side.introspect(client, token)["active"] is True
    head, body, signature = token.split(".")
    assert side.introspect(client, f"{head}.{body}.{signature[:-4]}AAAA") == INACTIVE


def test_token_of_another_tenant_is_inactive(side: TokenSide) -> None:
    from tests.conftest import Http, new_tenant

    other = new_tenant(side.services)
    there = TokenSide(side.services, other, Http(side.http.app, other))
    parties.new_resource(side.services, other, API)
    token = there.client_token(there.client())["access_token"]
    assert side.introspect(side.client(resource_server_for=[API]), token) == INACTIVE


@pytest.mark.parametrize("what", ["token", "grant", "session", "user", "client"])
def test_whatever_was_revoked_is_inactive(side: TokenSide, what: str) -> None:
    """Contracts 4."""
    client, user = side.client(), side.user()
    token = side.tokens(client, user, "openid")["access_token"]
    claims = side.read(token).claims
    tenant_id, log = side.tenant.id, side.services.revocations
    assert side.introspect(client, token)["active"] is True
    with side.services.tenancy.session(tenant_id, write=True) as session:
        if what == "token":
            log.revoke_token(session, tenant_id, claims["jti"], clock.after(300))
        elif what == "grant":
            grants.revoke(session, tenant_id, claims["grant_id"], "test", log=log)
        elif what == "session":
            log.revoke_session(session, tenant_id, claims["sid"], clock.after(3600))
        elif what == "user":
            log.revoke_user(session, tenant_id, user)
        else:
            log.revoke_client(session, tenant_id, client.client_id)
    assert side.introspect(client, token) == INACTIVE


def test_tokens_issued_after_a_person_was_revoked_are_good(side: TokenSide) -> None:
    """Epochs, not times: what is issued a moment later carries the next one."""
    client, user = side.client(), side.user()
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        side.services.revocations.revoke_user(session, side.tenant.id, user)
    token = side.tokens(client, user, "openid")["access_token"]
    assert side.introspect(client, token)["active"] is True


def test_key_revoked_in_an_emergency_takes_its_tokens_along(side: TokenSide) -> None:
    """Contracts 6."""
    from tests.conftest import Http, new_tenant

    other = new_tenant(side.services)
    there = TokenSide(side.services, other, Http(side.http.app, other))
    client = there.client()
    token = there.client_token(client)["access_token"]
    kid = there.read(token).header["kid"]
    assert there.introspect(client, token)["active"] is True
    there.services.keyring.revoke(other.id, kid)
    assert there.introspect(client, token) == INACTIVE
    assert there.client_token(client)["access_token"]


def test_signature_of_a_token_is_verified_once(side: TokenSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked about again, it costs no signature; what may have changed is asked every time (the tests above)."""
    client, verified = side.client(), []
    verify = jose.verify
    monkeypatch.setattr(jose, "verify", lambda *args, **named: verified.append(1) or verify(*args, **named))
    first, second = (side.client_token(client)["access_token"] for _ in range(2))
    answers = [side.introspect(client, token) for token in (first, second, first, second, first)]
    assert len(verified) == 2
    assert answers[0] == answers[2] == answers[4] != answers[1] == answers[3]


def test_refresh_token_is_told_to_its_client_alone(side: TokenSide) -> None:
    client, user = side.client(), side.user()
    token = side.tokens(client, user, "openid offline_access")["refresh_token"]
    found = side.introspect(client, token)
    assert found["active"] is True
    assert found["sub"] == user
    assert found["scope"] == "offline_access openid"
    assert side.introspect(side.client(), token) == INACTIVE
    newer = side.refresh(client, token).json["refresh_token"]
    assert side.introspect(client, token) == INACTIVE
    assert side.introspect(client, newer)["active"] is True
