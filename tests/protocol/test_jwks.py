"""The published keys (RFC 7517)."""

from app.infra import jose
from tests.conftest import Http, new_tenant
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_keys_are_public_named_and_distinct(side: TokenSide) -> None:
    """Certification section 0: `kid`, `alg` and `use` on each, nothing private, RSA of 2048 bits at least."""
    answer = side.http.get("/jwks")
    assert answer.headers["Content-Type"] == "application/json"
    keys = answer.json["keys"]
    assert len({key["kid"] for key in keys}) == len(keys)
    for key in keys:
        assert key["use"] == "sig"
        assert key["alg"] in ("RS256", "ES256", "EdDSA")
        assert key["kid"] == jose.thumbprint(key)
        assert not PRIVATE & set(key)
        assert jose.public_key(key) is not None
    assert {key["alg"] for key in keys} == {"RS256", "ES256", "EdDSA"}


def test_next_key_is_published_before_it_signs(side: TokenSide) -> None:
    """After a rotation there is a new signing kid, and the old one is still there."""
    tenant = new_tenant(side.services)
    there = TokenSide(side.services, tenant, Http(side.http.app, tenant))
    client = there.client()

    def kids() -> set[str]:
        return {key["kid"] for key in there.http.get("/jwks").json["keys"]}

    before = kids()
    old = there.client_token(client)["access_token"]
    old_kid = there.read(old).header["kid"]
    side.services.keyring.rotate(tenant.id, "ES256")
    new_kid = there.read(there.client_token(client)["access_token"]).header["kid"]
    assert new_kid != old_kid
    assert new_kid in before
    assert old_kid in kids()
    assert len(kids() - before) == 1
    assert there.introspect(client, old)["active"] is True


def test_revoked_key_is_gone_at_once(side: TokenSide) -> None:
    """Contracts 6."""
    tenant = new_tenant(side.services)
    there = TokenSide(side.services, tenant, Http(side.http.app, tenant))
    tag = there.http.get("/jwks").headers["ETag"]
    kid = there.read(there.client_token(there.client())["access_token"]).header["kid"]
    side.services.keyring.revoke(tenant.id, kid)
    answer = there.http.get("/jwks", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert kid not in {key["kid"] for key in answer.json["keys"]}


def test_tenants_share_no_key(side: TokenSide) -> None:
    other = new_tenant(side.services)
    one, two = (
        {key["kid"] for key in Http(side.http.app, tenant).get("/jwks").json["keys"]}
        for tenant in (side.tenant, other)
    )
    assert not one & two


def test_what_we_sign_verifies_with_what_we_publish(side: TokenSide) -> None:
    """By the published document alone, as a stranger would."""
    keys = jose.parse_jwks(side.http.get("/jwks").data)
    found = side.tokens(side.client(), side.user())
    for token, alg, typ in ((found["id_token"], "RS256", "JWT"), (found["access_token"], "ES256", "at+jwt")):
        assert jose.verify(token, keys, algorithms=(alg,), typ=typ).claims["iss"] == side.tenant.issuer
