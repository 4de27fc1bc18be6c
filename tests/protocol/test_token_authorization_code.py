"""The authorization code grant, its token request (RFC 6749 section 4.1.3, RFC 7636, OIDC Core section 3.1.3)."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine

from app.domain import codes
from app.domain.models import Grant, User
from app.infra import jose
from app.kernel import clock
from tests.protocol.parties import API, EVERY_CLAIM, OTHER_API, REDIRECT_URI
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]


def test_code_gives_id_access_and_refresh_token(side: TokenSide) -> None:
    """OIDC Core section 3.1.3.3."""
    found = side.tokens(side.client(), side.user(), "openid offline_access")
    assert set(found) == {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    assert found["scope"] == "openid offline_access"


def test_id_token_carries_the_protocols_claims_and_no_others(side: TokenSide) -> None:
    """OIDC Core section 2; certification warns of profile claims where an access token is issued."""
    client, user = side.client(), side.user(groups=("staff",))
    found = side.tokens(client, user, "openid profile email groups")
    token = side.read(found["id_token"])
    assert token.header["alg"] == "RS256"
    assert token.header["kid"]
    assert set(token.claims) == {
        *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"),
    }
    assert token.claims["iss"] == side.tenant.issuer
    assert token.claims["aud"] == client.client_id
    assert token.claims["sub"] == user
    assert token.claims["nonce"] == "n-1"
    assert token.claims["at_hash"] == jose.at_hash(found["access_token"], "RS256")
    assert abs(token.claims["iat"] - time.time()) < 10
    assert token.claims["amr"] == ["pwd"]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_id_token_is_signed_as_the_client_registered(side: TokenSide, alg: str) -> None:
    """OIDC Registration section 2, `id_token_signed_response_alg`."""
    client = side.client(id_token_signed_response_alg=alg)
    found = side.tokens(client, side.user())
    token = side.read(found["id_token"])
    assert token.header["alg"] == alg
    assert token.claims["at_hash"] == jose.at_hash(found["access_token"], alg)


def test_nonce_is_absent_when_none_was_sent(side: TokenSide) -> None:
    found = side.tokens(side.client(), side.user(), nonce=None)
    assert "nonce" not in side.read(found["id_token"]).claims


def test_claims_parameter_puts_claims_into_the_id_token(side: TokenSide) -> None:
    """OIDC Core section 5.5: only what was asked for."""
    asked = {"id_token": {"email": None, "given_name": {"essential": True}, "unheard_of": None}}
    found = side.tokens(side.client(), side.user(), "openid", claims_request=asked)
    claims = side.read(found["id_token"]).claims
    assert claims["given_name"] == EVERY_CLAIM["given_name"]
    assert claims["email"].endswith("@example.com")
    assert "family_name" not in claims
    assert "unheard_of" not in claims


def test_access_token_names_person_session_and_authentication(side: TokenSide) -> None:
    """RFC 9068 section 2.2.1."""
    user = side.user()
    code_session = "0199aaaa-0000-7000-8000-000000000001"
    found = side.tokens(side.client(), user, session_id=code_session)
    claims = side.read(found["access_token"]).claims
    assert claims["sub"] == user
    assert claims["sid"] == code_session
    assert claims["acr"]
    assert claims["amr"] == ["pwd"]
    assert claims["auth_time"]
    assert claims["aud"] == side.tenant.issuer


def test_groups_scope_puts_groups_into_the_access_token(side: TokenSide) -> None:
    """RFC 9068 section 2.2.3.1."""
    found = side.tokens(side.client(), side.user(groups=("red", "blue")), "openid groups")
    assert side.read(found["access_token"]).claims["groups"] == ["blue", "red"]


def test_resource_that_asks_gets_roles_and_permissions(side: TokenSide) -> None:
    from tests.protocol import parties

    api = parties.new_resource(
        side.services, side.tenant, "https://roles.example", "act", include=["roles", "permissions"]
    )
    client = side.client(scope="openid act")
    found = side.tokens(client, side.user(role="admin"), "openid act", resources=(api,))
    claims = side.read(found["access_token"]).claims
    assert claims["roles"] == ["admin"]
    assert claims["permissions"] == ["*"]
    assert "groups" not in claims


def test_without_openid_there_is_no_id_token(side: TokenSide) -> None:
    found = side.tokens(side.client(), side.user(), "read", resources=(API,))
    assert "id_token" not in found
    assert side.read(found["access_token"]).claims["aud"] == API


def test_client_without_refresh_grant_gets_no_refresh_token(side: TokenSide) -> None:
    client = side.client(grant_types=["authorization_code"])
    assert "refresh_token" not in side.tokens(client, side.user(), "openid")


def test_resource_narrows_the_audience(side: TokenSide) -> None:
    """RFC 8707 section 2.2: one of those that were granted."""
    client = side.client(scope="openid read list")
    code = side.code(client, side.user(), "openid read list", resources=(API, OTHER_API, side.tenant.issuer))
    answer = side.post("/token", code.form(resource=OTHER_API), client)
    claims = side.read(answer.json["access_token"]).claims
    assert claims["aud"] == OTHER_API
    assert claims["scope"] == "openid list"


def test_resource_beyond_the_grant_is_invalid_target_and_burns_nothing(side: TokenSide) -> None:
    client = side.client()
    code = side.code(client, side.user(), "read", resources=(API,))
    refused(side.post("/token", code.form(resource=OTHER_API), client), "invalid_target")
    assert side.post("/token", code.form(), client).status_code == 200


# What may be wrong with a code


def test_unknown_code_is_invalid_grant(side: TokenSide) -> None:
    """RFC 6749 section 5.2."""
    client = side.client()
    form = side.code(client, side.user()).form(code="nonsense")
    refused(side.post("/token", form, client), "invalid_grant")


def test_missing_code_is_invalid_request(side: TokenSide) -> None:
    refused(side.post("/token", {"grant_type": "authorization_code"}, side.client()), "invalid_request")


def test_code_of_another_client_is_invalid_grant_and_stays_good(side: TokenSide) -> None:
    owner, thief = side.client(), side.client()
    code = side.code(owner, side.user())
    refused(side.post("/token", code.form(), thief), "invalid_grant")
    assert side.post("/token", code.form(), owner).status_code == 200


@pytest.mark.parametrize("uri", [None, REDIRECT_URI + "/", REDIRECT_URI + "?x=1", "https://evil.example"])
def test_redirect_uri_has_to_be_that_of_the_authorization_request(side: TokenSide, uri: str | None) -> None:
    """RFC 6749 section 4.1.3."""
    client = side.client()
    form = side.code(client, side.user()).form()
    form = {k: v for k, v in {**form, "redirect_uri": uri}.items() if v is not None}
    refused(side.post("/token", form, client), "invalid_grant")


@pytest.mark.parametrize("verifier", [None, "x" * 43, "short", "y" * 129, "é" * 50])
def test_verifier_that_is_missing_or_wrong_is_invalid_grant(side: TokenSide, verifier: str | None) -> None:
    """RFC 7636 section 4.6; the FAPI suite wants `invalid_grant` for a missing one too."""
    client = side.client()
    form = {**side.code(client, side.user()).form(), "code_verifier": verifier}
    refused(side.post("/token", {k: v for k, v in form.items() if v is not None}, client), "invalid_grant")


def test_challenge_sent_as_its_own_verifier_is_refused(side: TokenSide) -> None:
    """That would be PKCE `plain`."""
    client = side.client()
    code = side.code(client, side.user())
    challenge = code.record.code_challenge
    assert challenge is not None
    refused(side.post("/token", code.form(code_verifier=challenge), client), "invalid_grant")


def test_verifier_without_a_challenge_is_refused(side: TokenSide) -> None:
    """RFC 9700 section 4.8.2: a downgrade."""
    client = side.client(profile="oidc-legacy")
    code = side.code(client, side.user(), pkce=False)
    refused(side.post("/token", code.form(), client), "invalid_grant")
    form = code.form()
    del form["code_verifier"]
    assert side.post("/token", form, client).status_code == 200


def test_five_wrong_attempts_burn_the_code(side: TokenSide) -> None:
    """Contracts 3: a wrong verifier burns nothing but a counter, and that ends."""
    client = side.client()
    code = side.code(client, side.user())
    for _ in range(codes.WRONG_ATTEMPTS):
        refused(side.post("/token", code.form(code_verifier="x" * 43), client), "invalid_grant")
    refused(side.post("/token", code.form(), client), "invalid_grant")


def test_four_wrong_attempts_do_not(side: TokenSide) -> None:
    client = side.client()
    code = side.code(client, side.user())
    for _ in range(codes.WRONG_ATTEMPTS - 1):
        side.post("/token", code.form(code_verifier="x" * 43), client)
    assert side.post("/token", code.form(), client).status_code == 200


def test_expired_code_is_invalid_grant(side: TokenSide) -> None:
    """62 seconds old is too old."""
    client = side.client()
    code = side.code(client, side.user(), code_seconds=60)
    with time_machine.travel(clock.now() + timedelta(seconds=62), tick=True):
        refused(side.post("/token", code.form(), client), "invalid_grant")
    with side.services.tenancy.session(side.tenant.id) as session:
        grant = session.get_one(Grant, (side.tenant.id, code.grant_id))
        assert grant.code_redeemed_at is None
        assert grant.revoked_at is None


def test_replayed_code_revokes_its_grant_alone(side: TokenSide) -> None:
    """RFC 6749 section 4.1.2, contracts 2 and 3: other grants of the same person and client stand."""
    client, user = side.client(), side.user()
    other = side.tokens(client, user)
    code = side.code(client, user, "openid offline_access")
    first = side.post("/token", code.form(), client).json
    assert side.userinfo(first["access_token"]).status_code == 200
    refused(side.post("/token", code.form(), client), "invalid_grant")
    assert side.userinfo(first["access_token"]).status_code == 401
    refused(side.refresh(client, first["refresh_token"]), "invalid_grant")
    assert side.userinfo(other["access_token"]).status_code == 200
    assert side.refresh(client, other["refresh_token"]).status_code == 200


def test_replay_after_the_code_expired_is_still_known_for_what_it_is(side: TokenSide) -> None:
    """Tombstones outlive the code by ten minutes."""
    client = side.client()
    code = side.code(client, side.user(), "openid offline_access", code_seconds=60)
    first = side.post("/token", code.form(), client).json
    with time_machine.travel(clock.now() + timedelta(seconds=90), tick=True):
        refused(side.post("/token", code.form(), client), "invalid_grant")
        refused(side.refresh(client, first["refresh_token"]), "invalid_grant")


def test_replay_with_a_wrong_verifier_revokes_nothing(side: TokenSide) -> None:
    """Whoever saw the code alone must not be able to end the client's access."""
    client = side.client()
    code = side.code(client, side.user())
    first = side.post("/token", code.form(), client).json
    refused(side.post("/token", code.form(code_verifier="x" * 43), client), "invalid_grant")
    assert side.userinfo(first["access_token"]).status_code == 200


def test_of_16_parallel_redemptions_exactly_one_wins(side: TokenSide) -> None:
    """Contracts 3; the grant is then revoked."""
    client = side.client()
    code = side.code(client, side.user())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: side.post("/token", code.form(), client), range(16)))
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert all(a.status_code == 400 and a.json["error"] == "invalid_grant" for a in answers if a not in won)
    assert side.userinfo(won[0].json["access_token"]).status_code == 401


def test_disabled_person_gets_nothing(side: TokenSide) -> None:
    client, user = side.client(), side.user()
    code = side.code(client, user)
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.get_one(User, (side.tenant.id, user)).disabled_at = clock.now()
    refused(side.post("/token", code.form(), client), "invalid_grant")


def test_person_whose_tokens_were_revoked_meanwhile_gets_nothing(side: TokenSide) -> None:
    client, user = side.client(), side.user()
    code = side.code(client, user)
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        side.services.revocations.revoke_user(session, side.tenant.id, user)
    refused(side.post("/token", code.form(), client), "invalid_grant")


def test_client_limited_to_groups_gets_tokens_for_members_alone(side: TokenSide) -> None:
    client = side.client(allowed_groups=["insiders"])
    assert side.tokens(client, side.user(groups=("insiders",)))
    code = side.code(client, side.user())
    refused(side.post("/token", code.form(), client), "invalid_grant")


def test_access_token_does_not_outlive_its_session(side: TokenSide) -> None:
    found = side.tokens(side.client(), side.user(), "openid", session_seconds=100)
    assert 90 <= found["expires_in"] <= 100
    offline = side.tokens(side.client(), side.user(), "openid offline_access", session_seconds=100)
    assert offline["expires_in"] == 300


def test_public_client_redeems_with_pkce_and_its_id(side: TokenSide) -> None:
    """RFC 6749 section 3.2.1."""
    client = side.client(token_endpoint_auth_method="none")
    code = side.code(client, side.user())
    assert side.post("/token", code.form(client_id=client.client_id)).status_code == 200


def test_parameters_no_grant_declares_are_ignored(side: TokenSide) -> None:
    """RFC 6749 section 3.2: unrecognized parameters are ignored; so is `scope`, which this grant does not read."""
    client = side.client()
    code = side.code(client, side.user(), "openid")
    answer = side.post("/token", code.form(scope="openid read", extra="foobar", refresh_token="x"), client)
    assert answer.status_code == 200
    assert answer.json["scope"] == "openid"
