"""UserInfo (OIDC Core section 5.3, RFC 6750)."""

from datetime import timedelta

import pytest
import time_machine

from app.domain.models import User
from app.infra.limits import USERINFO_FAILURES
from app.kernel import clock
from tests.protocol import parties
from tests.protocol.parties import API, EVERY_CLAIM
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

PROFILE = {
    *("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile"),
    *("picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"),
}
BY_SCOPE = {
    "openid": set(),
    "openid profile": PROFILE,
    "openid email": {"email", "email_verified"},
    "openid address": {"address"},
    "openid phone": {"phone_number", "phone_number_verified"},
    "openid groups": {"groups"},
}


@pytest.mark.parametrize("scope", BY_SCOPE)
def test_scope_asks_for_its_claims(side: TokenSide, scope: str) -> None:
    """OIDC Core section 5.4."""
    user = side.user(groups=("g-" + scope.replace(" ", "-"),))
    answer = side.userinfo(side.tokens(side.client(), user, scope)["access_token"])
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == BY_SCOPE[scope] | {"sub"}
    assert answer.json["sub"] == user


def test_claims_have_the_types_of_the_specification(side: TokenSide) -> None:
    """OIDC Core section 5.1."""
    scope = "openid profile email address phone"
    found = side.userinfo(side.tokens(side.client(), side.user(), scope)["access_token"]).json
    assert isinstance(found["updated_at"], int)
    assert found["email_verified"] is True
    assert found["phone_number_verified"] is True
    assert found["address"] == EVERY_CLAIM["address"]


def test_every_way_to_present_the_token(side: TokenSide) -> None:
    """RFC 6750 sections 2.1 and 2.2: header with GET and POST, body with POST."""
    token = side.tokens(side.client(), side.user())["access_token"]
    header = {"Authorization": f"Bearer {token}"}
    answers = [
        side.http.get("/userinfo", headers=header),
        side.http.post("/userinfo", headers=header),
        side.http.post("/userinfo", headers=header, form={}),
        side.http.post("/userinfo", form={"access_token": token}),
        side.http.get("/userinfo", headers={"Authorization": f"bEARER {token}"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.data for answer in answers}) == 1


def test_token_in_the_url_is_never_read(side: TokenSide) -> None:
    """RFC 6750 section 2.3 is not offered: URLs are logged."""
    token = side.tokens(side.client(), side.user())["access_token"]
    assert side.http.get("/userinfo", query={"access_token": token}).status_code == 401
    assert side.http.post("/userinfo", query={"access_token": token}, form={}).status_code == 400


def test_token_in_two_places_is_refused(side: TokenSide) -> None:
    """RFC 6750 section 2."""
    token = side.tokens(side.client(), side.user())["access_token"]
    answer = side.http.post(
        "/userinfo", form={"access_token": token}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 400
    assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


def test_without_a_token_there_is_a_challenge_and_no_error(side: TokenSide) -> None:
    """RFC 6750 section 3.1."""
    answer = side.http.get("/userinfo")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="userinfo"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30", "x" * 9000])
def test_bad_token_is_invalid_token(side: TokenSide, token: str) -> None:
    """RFC 6750 section 3.1."""
    answer = side.userinfo(token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert answer.json["error"] == "invalid_token"


def test_expired_token_is_invalid_token(side: TokenSide) -> None:
    token = side.tokens(side.client(), side.user())["access_token"]
    with time_machine.travel(clock.now() + timedelta(seconds=301), tick=True):
        assert side.userinfo(token).status_code == 401


def test_token_for_another_audience_is_refused(side: TokenSide) -> None:
    """Contracts, "Claims": the issuer has to be in `aud`."""
    token = side.tokens(side.client(), side.user(), "openid read", resources=(API,))["access_token"]
    answer = side.userinfo(token)
    assert answer.status_code == 401
    assert answer.json["error"] == "invalid_token"
    both = side.tokens(side.client(), side.user(), "openid read", resources=(API, side.tenant.issuer))
    assert side.userinfo(both["access_token"]).status_code == 200


def test_token_without_openid_is_insufficient(side: TokenSide) -> None:
    """RFC 6750 section 3.1: 403, and the scope it takes."""
    answer = side.userinfo(side.tokens(side.client(), side.user(), "profile")["access_token"])
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert 'scope="openid"' in answer.headers["WWW-Authenticate"]


def test_clients_own_token_speaks_of_nobody(side: TokenSide) -> None:
    token = side.client_token(side.client(scope=""))["access_token"]
    assert side.userinfo(token).status_code == 401


def test_id_token_opens_nothing(side: TokenSide) -> None:
    client = side.client(id_token_signed_response_alg="ES256")
    assert side.userinfo(side.tokens(client, side.user())["id_token"]).status_code == 401


def test_claims_parameter_is_honoured(side: TokenSide) -> None:
    """OIDC Core section 5.5."""
    asked = {"userinfo": {"name": {"essential": True}, "email": None, "unheard_of": None}}
    token = side.tokens(side.client(), side.user(), "openid", claims_request=asked)["access_token"]
    assert set(side.userinfo(token).json) == {"sub", "name", "email"}


def test_claim_mapper_of_the_client_shapes_the_answer(side: TokenSide) -> None:
    client = side.client(claims=[{"preset": "keycloak"}, {"claim": "family_name", "remove": True}])
    user = side.user(role="admin")
    found = side.userinfo(side.tokens(client, user, "openid profile")["access_token"]).json
    assert found["realm_access"] == {"roles": ["admin"]}
    assert "family_name" not in found
    assert found["sub"] == user


def test_opaque_token_works_as_well(side: TokenSide) -> None:
    api = parties.new_resource(
        side.services, side.tenant, "https://op.example", "dim", access_token_format="opaque"
    )
    client = side.client(scope="openid dim")
    found = side.tokens(client, side.user(), "openid dim", resources=(api, side.tenant.issuer))
    assert "." not in found["access_token"]
    assert side.userinfo(found["access_token"]).status_code == 200
    side.post("/revoke", {"token": found["refresh_token"]}, client)
    assert side.userinfo(found["access_token"]).status_code == 401


def test_key_revoked_in_an_emergency_takes_its_tokens_along(side: TokenSide) -> None:
    """Contracts 6; what is signed from then on is good."""
    client, user = side.client(), side.user()
    token = side.tokens(client, user)["access_token"]
    assert side.userinfo(token).status_code == 200
    side.services.keyring.revoke(side.tenant.id, side.read(token).header["kid"])
    answer = side.userinfo(token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert side.userinfo(side.tokens(client, user)["access_token"]).status_code == 200


def test_disabled_person_is_gone(side: TokenSide) -> None:
    user = side.user()
    token = side.tokens(side.client(), user)["access_token"]
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        session.get_one(User, (side.tenant.id, user)).disabled_at = clock.now()
    assert side.userinfo(token).status_code == 401


def test_trying_tokens_out_is_ended_with_429(side: TokenSide) -> None:
    """Contracts 25."""
    where = {"environ_base": {"REMOTE_ADDR": "203.0.113.77"}}
    header = {"Authorization": "Bearer nonsense"}
    for _ in range(USERINFO_FAILURES.most):
        assert side.http.get("/userinfo", headers=header, **where).status_code == 401
    answer = side.http.get("/userinfo", headers=header, **where)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    good = side.tokens(side.client(), side.user())["access_token"]
    assert side.http.get("/userinfo", headers={"Authorization": f"Bearer {good}"}, **where).status_code == 200
