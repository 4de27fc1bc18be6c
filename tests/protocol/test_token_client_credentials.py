"""The client credentials grant (RFC 6749 section 4.4, RFC 8707, RFC 9068)."""

import pytest

from app.domain.models import Client
from tests.protocol import parties
from tests.protocol.parties import API, OTHER_API
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

CC = "client_credentials"


def test_token_response_is_json_nobody_may_cache(side: TokenSide) -> None:
    """RFC 6749 section 5.1."""
    answer = side.post("/token", {"grant_type": CC, "scope": "read"}, side.client())
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 300
    assert answer.json["scope"] == "read"


def test_access_token_is_a_jwt_of_rfc_9068(side: TokenSide) -> None:
    """RFC 9068 section 2: type, algorithm, and the required claims; the subject is the client."""
    client = side.client()
    token = side.read(side.client_token(client, scope="read")["access_token"])
    assert token.header["typ"] == "at+jwt"
    assert token.header["alg"] == "ES256"
    assert token.claims["iss"] == side.tenant.issuer
    assert token.claims["sub"] == token.claims["client_id"] == client.client_id
    assert token.claims["aud"] == API
    assert token.claims["exp"] - token.claims["iat"] == 300
    assert token.claims["scope"] == "read"
    assert token.claims["tenant_id"] == side.tenant.id
    assert len(token.claims["jti"]) >= 16
    assert not {"auth_time", "acr", "amr", "sid", "roles", "groups"} & set(token.claims)


def test_two_tokens_never_have_the_same_jti(side: TokenSide) -> None:
    client = side.client()
    first, second = (side.read(side.client_token(client)["access_token"]) for _ in range(2))
    assert first.claims["jti"] != second.claims["jti"]


def test_scope_is_what_the_client_is_registered_for_when_none_is_named(side: TokenSide) -> None:
    """RFC 6749 section 3.3: a default is applied and told."""
    found = side.client_token(side.client(scope="openid read write"))
    assert found["scope"] == "read write"


@pytest.mark.parametrize("scope", ["openid", "offline_access", "list", "unheard-of", "profile read"])
def test_scope_beyond_the_clients_own_is_refused(side: TokenSide, scope: str) -> None:
    """OpenID scopes speak of a person, and there is none."""
    refused(side.post("/token", {"grant_type": CC, "scope": scope}, side.client()), "invalid_scope")


@pytest.mark.parametrize("scope", ["read  write", " read", "read ", 're"ad', "ré"])
def test_malformed_scope_is_refused(side: TokenSide, scope: str) -> None:
    """RFC 6749 appendix A.4."""
    refused(side.post("/token", {"grant_type": CC, "scope": scope}, side.client()), "invalid_scope")


def test_resource_becomes_the_audience(side: TokenSide) -> None:
    """RFC 8707 section 2.2."""
    client = side.client(scope="read list")
    token = side.read(side.client_token(client, resource=OTHER_API)["access_token"])
    assert token.claims["aud"] == OTHER_API
    assert token.claims["scope"] == "list"


def test_resource_may_be_repeated(side: TokenSide) -> None:
    """RFC 8707 section 2."""
    client = side.client(scope="read list")
    token = side.read(side.client_token(client, resource=[API, OTHER_API])["access_token"])
    assert token.claims["aud"] == [API, OTHER_API]
    assert token.claims["scope"] == "list read"


def test_resource_is_compared_canonically(side: TokenSide) -> None:
    """A client that adds the slash of a bare origin means the same resource."""
    token = side.read(side.client_token(side.client(), resource=API + "/")["access_token"])
    assert token.claims["aud"] == API


@pytest.mark.parametrize(
    "resource", ["https://unknown.example", "not-a-uri", API + "#f", "https://h/ x", "é"]
)
def test_unknown_or_malformed_resource_is_invalid_target(side: TokenSide, resource: str) -> None:
    """RFC 8707 section 2."""
    refused(side.post("/token", {"grant_type": CC, "resource": resource}, side.client()), "invalid_target")


def test_resource_the_client_has_nothing_to_do_with_is_refused(side: TokenSide) -> None:
    """A resource server that looks at `aud` alone must not be opened by just any client."""
    client = side.client(scope="read")
    refused(side.post("/token", {"grant_type": CC, "resource": OTHER_API}, client), "invalid_target")


def test_scopes_of_several_resources_need_a_resource(side: TokenSide) -> None:
    client = side.client(scope="read list")
    refused(side.post("/token", {"grant_type": CC, "scope": "read list"}, client), "invalid_target")


def test_default_resources_settle_the_audience(side: TokenSide) -> None:
    client = side.client(scope="read list", default_resources=[API, OTHER_API])
    token = side.read(side.client_token(client, scope="read list")["access_token"])
    assert token.claims["aud"] == [API, OTHER_API]


def test_scope_of_another_resource_than_the_one_named_is_refused(side: TokenSide) -> None:
    client = side.client(scope="read list")
    answer = side.post("/token", {"grant_type": CC, "scope": "list", "resource": API}, client)
    refused(answer, "invalid_scope")


def test_client_without_scopes_gets_a_token_for_the_issuer(side: TokenSide) -> None:
    token = side.read(side.client_token(side.client(scope=""))["access_token"])
    assert token.claims["aud"] == side.tenant.issuer
    assert "scope" not in token.claims


def test_client_not_registered_for_the_grant_is_unauthorized(side: TokenSide) -> None:
    """RFC 6749 section 5.2."""
    client = side.client(grant_types=["authorization_code"])
    refused(side.post("/token", {"grant_type": CC}, client), "unauthorized_client")


def test_public_client_has_no_client_credentials(side: TokenSide) -> None:
    """RFC 6749 section 4.4: confidential clients only."""
    client = side.client(token_endpoint_auth_method="none")
    answer = side.post("/token", {"grant_type": CC, "client_id": client.client_id})
    refused(answer, "unauthorized_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": 'x"é\\'}, "unsupported_grant_type"),
        ({"grant_type": "CLIENT_CREDENTIALS"}, "unsupported_grant_type"),
    ],
)
def test_grant_types_that_are_missing_or_unknown(side: TokenSide, form: dict[str, str], error: str) -> None:
    """RFC 6749 section 5.2."""
    refused(side.post("/token", form, side.client()), error)


def test_lifetime_is_the_least_of_client_and_resource(side: TokenSide) -> None:
    parties.new_resource(
        side.services, side.tenant, "https://short.example", "brief", access_token_seconds=60
    )
    short = side.client(scope="brief", access_token_seconds=120)
    assert side.client_token(short)["expires_in"] == 60
    shorter = side.client(scope="brief", access_token_seconds=30)
    assert side.client_token(shorter)["expires_in"] == 30


def test_opaque_access_token_tells_nothing(side: TokenSide) -> None:
    parties.new_resource(
        side.services, side.tenant, "https://opaque.example", "dim", access_token_format="opaque"
    )
    client = side.client(scope="dim", resource_server_for=["https://opaque.example"])
    token = side.client_token(client)["access_token"]
    assert "." not in token
    assert len(token) == 43
    found = side.introspect(client, token)
    assert found["active"] is True
    assert found["aud"] == "https://opaque.example"
    assert found["scope"] == "dim"


def test_claim_mapper_of_a_resource_shapes_its_tokens(side: TokenSide) -> None:
    rules = [{"claim": "env", "value": "production"}, {"claim": "org.tenant", "source": "tenant"}]
    parties.new_resource(side.services, side.tenant, "https://mapped.example", "shape", claims=rules)
    token = side.read(side.client_token(side.client(scope="shape"))["access_token"])
    assert token.claims["env"] == "production"
    assert token.claims["org"] == {"tenant": side.tenant.id}


def test_disabled_client_is_refused_at_once(side: TokenSide) -> None:
    from app.kernel import clock

    client = side.client()
    side.client_token(client)
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        row = session.get_one(Client, (side.tenant.id, client.client_id))
        row.disabled_at = clock.now()
    side.services.versions.touch()
    refused(side.post("/token", {"grant_type": CC}, client), "invalid_client", 401)


def test_secret_and_token_are_never_logged(side: TokenSide, caplog: pytest.LogCaptureFixture) -> None:
    """Authlib prints tokens at DEBUG; here it has nothing to print."""
    import logging

    client = side.client()
    with caplog.at_level(logging.DEBUG):
        caplog.set_level(logging.DEBUG, logger="authlib")
        token = side.client_token(client)["access_token"]
    assert any("Issue token" in record.getMessage() for record in caplog.records)
    assert token not in caplog.text
    assert client.secret not in caplog.text
