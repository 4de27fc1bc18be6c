"""The JWT bearer grant (RFC 7523 section 2.1): tokens for an assertion of a trusted issuer."""

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import account_deletion, users
from app.infra.signing import SigningKeyHandle
from tests.protocol.key_server import KeyServer
from tests.protocol.parties import Party
from tests.protocol.prover import Prover
from tests.protocol.test_token_exchange import events
from tests.protocol.token_side import TokenSide, refused, side
from tests.protocol.trusted import Issuer

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["side"]

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CI = Issuer("https://ci.bearer.example")


@pytest.fixture(scope="module")
def job(side: TokenSide) -> Party:
    """A build job: its CI system's word is all it has to show."""
    party = side.client(
        client_id=f"deployer-{secrets.token_hex(3)}",
        grant_types=[JWT_BEARER],
        redirect_uris=[],
        scope="read write",
    )
    CI.trusted_by(
        side.services,
        side.tenant,
        audiences=["https://deploy.example"],
        rules=[
            {
                "name": "main branch",
                "match": {"sub": "repo:example/app:*", "ref": "refs/heads/main"},
                "client": party.client_id,
                "client_authentication": "none",
                "scopes": ["read"],
            },
            {"name": "with its secret", "match": {"env": "careful"}, "client": party.client_id},
            {
                "name": "people",
                "match": {"kind": "person"},
                "user_claim": "email",
                "user_by": "email",
                "scopes": ["read"],
            },
        ],
    )
    return party


def ask(side: TokenSide, assertion: str | None, party: Party | None = None, **more: Any) -> "TestResponse":
    form = {"grant_type": JWT_BEARER, "assertion": assertion, **more}
    return side.post("/token", {n: v for n, v in form.items() if v is not None}, party)


def good(side: TokenSide, **claims: Any) -> str:
    return CI.token(side.tenant.issuer, **{"ref": "refs/heads/main", **claims})


@pytest.mark.parametrize("audience", ["issuer", "token endpoint", "configured", "several"])
def test_an_assertion_is_worth_a_token(side: TokenSide, job: Party, audience: str) -> None:
    """Section 3: meant for this issuer, its token endpoint (X-3), or what the issuer is trusted with."""
    issuer = side.tenant.issuer
    aud = {
        "issuer": issuer,
        "token endpoint": f"{issuer}/token",
        "configured": "https://deploy.example",
        "several": ["https://else.example", issuer],
    }[audience]
    answer = ask(side, CI.token(aud, ref="refs/heads/main"))
    assert answer.status_code == 200, answer.text
    claims = side.read(answer.json["access_token"]).claims
    assert (claims["sub"], claims["client_id"]) == (job.client_id, job.client_id)
    assert claims["scope"] == "read", "the rule says no more, whatever the client is registered for"
    assert "refresh_token" not in answer.json


def test_no_token_outlives_its_assertion(side: TokenSide, job: Party) -> None:
    from app.kernel import clock

    now = clock.timestamp(clock.now())
    assert ask(side, good(side, exp=now + 20)).json["expires_in"] <= 20


def test_the_client_authenticates_where_the_rule_says_so(side: TokenSide, job: Party) -> None:
    """Section 3.1: client authentication is the rule's to demand."""
    careful = {"env": "careful", "ref": "else"}
    refused(ask(side, good(side, **careful)), "invalid_client", 401)
    refused(ask(side, good(side, **careful), client_id=job.client_id), "invalid_client", 401)
    assert ask(side, good(side, **careful), job).status_code == 200


def test_a_person_is_named_by_a_verified_address(side: TokenSide, job: Party) -> None:
    """Both sides have to have verified it; and the token falls with its grant."""
    user_id = side.user()
    with side.services.tenancy.session(side.tenant.id) as session:
        user = users.get(session, user_id)
        assert user is not None
        email = user.email
    app = side.client(grant_types=[JWT_BEARER], redirect_uris=[], scope="openid read")
    person = {"kind": "person", "ref": "else", "email": email}
    answer = ask(side, good(side, **person, email_verified=True), app)
    assert answer.status_code == 200, answer.text
    claims = side.read(answer.json["access_token"]).claims
    assert (claims["sub"], claims["scope"]) == (user_id, "read")
    assert claims["grant_id"]
    refused(ask(side, good(side, **person, email_verified=False), app), "invalid_grant")
    refused(ask(side, good(side, **person), app), "invalid_grant")
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        side.services.revocations.revoke_user(session, side.tenant.id, user_id)
    assert side.introspect(app, answer.json["access_token"]) == {"active": False}


def _now() -> int:
    from app.kernel import clock

    return clock.timestamp(clock.now())


OTHER = Issuer("https://nobody.example")
STRANGER = CI.new_key("k1")
NEGATIVES: dict[str, tuple[Any, str]] = {
    "no JWT": (lambda s: "nonsense", "issuer.unknown"),
    "another issuer": (lambda s: OTHER.token(s.tenant.issuer), "issuer.unknown"),
    "another key": (lambda s: good(s, key=STRANGER), "assertion.invalid"),
    "an unknown kid": (lambda s: good(s, header={"kid": "k9"}), "assertion.invalid"),
    "another algorithm": (lambda s: _hs256(s), "assertion.invalid"),
    "unsigned": (lambda s: _unsigned(s), "assertion.invalid"),
    "a type for something else": (lambda s: good(s, header={"typ": "dpop+jwt"}), "assertion.invalid"),
    "another audience": (lambda s: CI.token("https://else.example", ref="refs/heads/main"), "assertion.audience"),
    "no audience": (lambda s: CI.token(None, ref="refs/heads/main"), "assertion.audience"),
    "an audience that is no text": (lambda s: CI.token([1], ref="refs/heads/main"), "assertion.audience"),
    "expired": (lambda s: good(s, exp=_now() - 60), "assertion.times"),
    "no expiry": (lambda s: good(s, exp=None), "assertion.times"),
    "an expiry that is no number": (lambda s: good(s, exp=True), "assertion.times"),
    "living too long": (lambda s: good(s, exp=_now() + 86400), "assertion.times"),
    "not yet valid": (lambda s: good(s, nbf=_now() + 120), "assertion.times"),
    "from the future": (lambda s: good(s, iat=_now() + 120), "assertion.times"),
    "no subject": (lambda s: good(s, sub=None), "assertion.invalid"),
    "another branch": (lambda s: good(s, ref="refs/heads/evil"), "assertion.unmatched"),
    "another owner": (lambda s: good(s, sub="repo:example-evil/app:x"), "assertion.unmatched"),
}  # fmt: skip


def _hs256(side: TokenSide) -> str:
    from joserfc import jwk, jwt

    key = jwk.OctKey.import_key(secrets.token_bytes(32))
    claims = {"iss": CI.issuer, "sub": "repo:example/app:x", "aud": side.tenant.issuer, "exp": _now() + 60}
    return jwt.encode({"alg": "HS256", "kid": "k1"}, claims, key)


def _unsigned(side: TokenSide) -> str:
    from app.kernel.secrets import b64url

    signed = good(side).split(".")
    return ".".join((b64url(b'{"alg":"none"}'), signed[1], ""))


@pytest.mark.parametrize("case", NEGATIVES)
def test_what_is_worth_nothing(side: TokenSide, job: Party, case: str) -> None:
    """One text for all, no fault of ours, and the reason on record although no client is known."""
    make, reason = NEGATIVES[case]
    before = {event["id"] for event in events(side, "token.refused")}
    answer = ask(side, make(side))
    refused(answer, "invalid_grant")
    assert answer.json["error_description"] == "The assertion is not valid."
    assert [e["reason"] for e in events(side, "token.refused") if e["id"] not in before] == [reason]


def test_a_missing_assertion_is_said(side: TokenSide, job: Party) -> None:
    refused(ask(side, None), "invalid_request")


def test_an_assertion_is_good_once(side: TokenSide, job: Party) -> None:
    """Section 3, item 7; without a jti by what was signed."""
    for assertion in (good(side), good(side, jti=None, nonce="n-1")):
        assert ask(side, assertion).status_code == 200
        refused(ask(side, assertion), "invalid_grant")


def test_tokens_that_lie_in_a_file_are_good_until_they_expire(side: TokenSide, job: Party) -> None:
    cluster = Issuer("https://cluster.example")
    cluster.trusted_by(
        side.services,
        side.tenant,
        single_use=False,
        rules=[
            {
                "name": "pod",
                "match": {"kubernetes.io/namespace": "prod", "kubernetes.io/serviceaccount/name": "orders"},
                "client": job.client_id,
                "client_authentication": "none",
            }
        ],
    )
    claims = {"kubernetes.io": {"namespace": "prod", "serviceaccount": {"name": "orders", "uid": "u"}}}
    token = cluster.token(side.tenant.issuer, sub="system:serviceaccount:prod:orders", **claims)
    assert [ask(side, token).status_code for _ in range(2)] == [200, 200]
    other = {"kubernetes.io": {"namespace": "test", "serviceaccount": {"name": "orders"}}}
    refused(ask(side, cluster.token(side.tenant.issuer, sub="x", **other)), "invalid_grant")


def test_more_than_the_rule_is_refused(side: TokenSide, job: Party) -> None:
    refused(ask(side, good(side), scope="write"), "invalid_scope")
    refused(ask(side, good(side), resource="https://nobody.example"), "invalid_target")


def test_the_assertion_of_one_client_is_nothing_for_another(side: TokenSide, job: Party) -> None:
    other = side.client(grant_types=[JWT_BEARER], redirect_uris=[], scope="read")
    refused(ask(side, good(side), other), "invalid_grant")
    refused(ask(side, good(side), client_id=other.client_id), "invalid_grant")


def test_a_client_has_to_be_registered_for_the_grant(side: TokenSide, job: Party) -> None:
    plain = side.client(scope="read")
    loose = Issuer("https://loose.example")
    rule = {
        "name": "x",
        "match": {"sub": "x"},
        "client": plain.client_id,
        "client_authentication": "none",
    }
    loose.trusted_by(side.services, side.tenant, rules=[rule])
    refused(ask(side, loose.token(side.tenant.issuer, sub="x")), "unauthorized_client")


def test_a_profile_may_want_the_client_to_authenticate_all_the_same(side: TokenSide) -> None:
    """Whatever the rule of its issuer says: FAPI 2.0 knows no client that does not authenticate."""
    key = SigningKeyHandle.generate("ES256")
    bank = side.client(
        grant_types=[JWT_BEARER],
        redirect_uris=[],
        scope="read",
        profile="fapi2-security",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [key.public_jwk]},
    )
    lax = Issuer("https://lax.example")
    rule = {
        "name": "x",
        "match": {"sub": "x"},
        "client": bank.client_id,
        "client_authentication": "none",
    }
    lax.trusted_by(side.services, side.tenant, rules=[rule])
    prover = Prover(side.tenant.issuer)
    for more in ({}, {"client_id": bank.client_id}):
        form = {"grant_type": JWT_BEARER, "assertion": lax.token(side.tenant.issuer, sub="x"), **more}
        refused(side.post("/token", form, headers=prover.header()), "invalid_client", 401)


def test_keys_are_discovered_and_fetched_anew_for_an_unknown_kid(side: TokenSide) -> None:
    """Contracts 19: through the guarded fetcher, with a cooldown; a document of another issuer is not believed."""
    import dataclasses

    from app import create_app
    from app.infra.fetch import Fetcher
    from app.protocols.oauth.client_keys import ClientKeys
    from tests.conftest import Http

    with KeyServer({}) as server:
        issuer = Issuer(server.url.removesuffix("/jwks"))
        fetcher = Fetcher(["127.0.0.0/8"])
        services = dataclasses.replace(side.services, fetcher=fetcher, client_keys=ClientKeys(fetcher))
        here = dataclasses.replace(
            side, services=services, http=Http(create_app(services.settings, services=services), side.tenant)
        )
        party = here.client(grant_types=[JWT_BEARER], redirect_uris=[], scope="read")
        rule = {
            "name": "x",
            "match": {"sub": "x"},
            "client": party.client_id,
            "client_authentication": "none",
        }
        issuer.trusted_by(services, side.tenant, jwks=None, rules=[rule])
        server.document = {"issuer": issuer.issuer, "jwks_uri": server.url, **issuer.jwks}
        assert ask(here, issuer.token(side.tenant.issuer, sub="x")).status_code == 200
        asked = server.asked
        assert ask(here, issuer.token(side.tenant.issuer, sub="x")).status_code == 200
        assert server.asked == asked, "the keys are kept"
        issuer.key = issuer.new_key("k2")
        server.document |= issuer.jwks
        refused(ask(here, issuer.token(side.tenant.issuer, sub="x")), "invalid_grant")
        assert server.asked == asked, "an unknown kid makes nobody knock at the same door again at once"


def test_discovery_names_the_grant_only_where_somebody_is_trusted(side: TokenSide, job: Party) -> None:
    from tests.conftest import Http, new_tenant

    here = side.http.get("/.well-known/openid-configuration").json["grant_types_supported"]
    assert JWT_BEARER in here
    bare = Http(side.http.app, new_tenant(side.services))
    assert JWT_BEARER not in bare.get("/.well-known/openid-configuration").json["grant_types_supported"]


def test_who_is_leaving_gets_nothing_new(side: TokenSide, job: Party) -> None:
    """Whoever asked to be deleted has taken everything back: an issuer's word does not make new tokens of it."""
    user_id = side.user()
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        email, user.email_verified = user.email, True
        account_deletion.request(session, user, grace_days=14, revocations=side.services.revocations)
    app = side.client(grant_types=[JWT_BEARER], redirect_uris=[], scope="openid read")
    told = CI.token(side.tenant.issuer, kind="person", ref="else", email=email, email_verified=True)
    refused(ask(side, told, app), "invalid_grant")
