"""DPoP (RFC 9449): proofs, nonces, bound tokens, codes and refresh tokens, and every way a proof is refused."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from app.domain import codes
from app.infra.signing import SigningKeyHandle, thumbprint
from app.kernel import clock
from app.kernel.secrets import b64url, unb64url
from app.protocols.oauth import dpop
from app.protocols.oauth.dpop import NONCE_SECONDS, OLDEST_SECONDS
from tests.protocol import parties
from tests.protocol.banks import reasons
from tests.protocol.parties import Code, Party
from tests.protocol.prover import Prover
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

CC = {"grant_type": "client_credentials", "scope": "read"}
_addresses = iter(range(1, 250))


def elsewhere() -> dict[str, Any]:
    """Another address for each test that fails on purpose, so that limits do not add up."""
    return {"environ_base": {"REMOTE_ADDR": f"198.51.101.{next(_addresses)}"}}


@pytest.fixture
def prover(side: TokenSide) -> Prover:
    return Prover(side.tenant.issuer)


def bound_token(side: TokenSide, party: Party, prover: Prover, scope: str = "openid profile") -> str:
    """An access token of a person, bound to the prover's key."""
    form = side.code(party, side.user(), scope).form()
    answer = side.post("/token", form, party, headers=prover.header())
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "DPoP"
    return str(answer.json["access_token"])


@pytest.mark.parametrize("alg", dpop.ALGORITHMS)
def test_a_proof_binds_the_token_with_every_algorithm(side: TokenSide, alg: str) -> None:
    """Sections 5 and 6: `cnf.jkt` in the token and in introspection, and the token type."""
    prover, party = Prover(side.tenant.issuer, alg), side.client()
    answer = side.post("/token", CC, party, headers=prover.header())
    assert answer.status_code == 200, answer.text
    assert answer.json["token_type"] == "DPoP"
    assert side.read(answer.json["access_token"]).claims["cnf"] == {"jkt": prover.jkt}
    shown = side.introspect(party, answer.json["access_token"])
    assert (shown["token_type"], shown["cnf"]) == ("DPoP", {"jkt": prover.jkt})


def test_without_a_proof_tokens_are_bearer_tokens(side: TokenSide) -> None:
    found = side.client_token(side.client())
    assert found["token_type"] == "Bearer"
    assert "cnf" not in side.read(found["access_token"]).claims


def test_opaque_tokens_are_bound_too(side: TokenSide, prover: Prover) -> None:
    api = "https://opaque.example"
    parties.new_resource(side.services, side.tenant, api, "dim", access_token_format="opaque")
    party = side.client(scope="openid dim")
    form = side.code(party, side.user(), "openid dim", resources=(side.tenant.issuer, api)).form()
    token = side.post("/token", form, party, headers=prover.header()).json["access_token"]
    assert "." not in token
    assert side.introspect(party, token)["cnf"] == {"jkt": prover.jkt}
    assert side.http.get("/userinfo", headers=prover.at("/userinfo", token)).status_code == 200
    refused(side.userinfo(token), "invalid_token", 401)


def test_a_client_may_be_held_to_it(side: TokenSide, prover: Prover) -> None:
    """Section 5.2, `dpop_bound_access_tokens`."""
    party = side.client(dpop_bound_access_tokens=True)
    refused(side.post("/token", CC, party), "invalid_dpop_proof")
    assert side.post("/token", CC, party, headers=prover.header()).json["token_type"] == "DPoP"


Proof = Callable[[Prover], str | dict[str, str]]


def _claim(**changes: Any) -> Proof:
    return lambda prover: prover.proof(**changes)


def _header(**header: Any) -> Proof:
    return lambda prover: prover.sign(prover.claims(), **header)


def _private(prover: Prover) -> str:
    return prover.sign(prover.claims(), jwk={**prover.jwk, "d": "AAAA"})


def _other_key(prover: Prover) -> str:
    return prover.sign(prover.claims(), jwk=Prover(prover.issuer).jwk)


def _other_signature(prover: Prover) -> str:
    head, body, signature = prover.proof().split(".")
    raw = bytearray(unb64url(signature))
    raw[5] ^= 1
    return f"{head}.{body}.{b64url(bytes(raw))}"


def _algorithm(alg: str) -> Proof:
    def make(prover: Prover) -> str:
        _, body, signature = prover.proof().split(".")
        head = b64url(dpop_header(prover, alg))
        return f"{head}.{body}.{signature}"

    return make


def dpop_header(prover: Prover, alg: str) -> bytes:
    import json

    return json.dumps({"typ": "dpop+jwt", "alg": alg, "jwk": prover.jwk}).encode()


def _rs256(prover: Prover) -> str:
    return Prover(prover.issuer, "RS256").proof()


def _without(name: str) -> Proof:
    def make(prover: Prover) -> str:
        claims = prover.claims()
        del claims[name]
        return prover.sign(claims)

    return make


def _ago(seconds: int) -> Proof:
    return lambda prover: prover.proof(iat=clock.timestamp(clock.now()) - seconds)


WRONG: dict[str, tuple[Proof, str]] = {
    "two proofs": (lambda p: f"{p.proof()}, {p.proof()}", "dpop.malformed"),
    "no JWT": (lambda p: "proof", "dpop.malformed"),
    "empty": (lambda p: "..", "dpop.malformed"),
    "too large": (_claim(filler="x" * 9000), "dpop.malformed"),
    "type JWT": (_header(typ="JWT"), "dpop.type"),
    "type at+jwt": (_header(typ="at+jwt"), "dpop.type"),
    "no key": (_header(jwk=None), "dpop.key"),
    "key no object": (_header(jwk="key"), "dpop.key"),
    "key of numbers": (_header(jwk={"kty": "EC", "crv": "P-256", "x": 1, "y": 2}), "dpop.key"),
    "key a list": (_header(jwk={"kty": ["EC"]}), "dpop.key"),
    "private key": (_private, "dpop.key"),
    "symmetric key": (_header(jwk={"kty": "oct", "k": "AAAA"}), "dpop.key"),
    "unknown curve": (_header(jwk={"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}), "dpop.key"),
    "another key": (_other_key, "dpop.signature"),
    "bad signature": (_other_signature, "dpop.signature"),
    "none": (_algorithm("none"), "dpop.algorithm"),
    "HS256": (_algorithm("HS256"), "dpop.algorithm"),
    "RS256": (_rs256, "dpop.algorithm"),
    "no jti": (_without("jti"), "dpop.malformed"),
    "long jti": (_claim(jti="x" * 257), "dpop.malformed"),
    "jti a number": (_claim(jti=7), "dpop.malformed"),
    "no htm": (_without("htm"), "dpop.method"),
    "another method": (_claim(method="GET"), "dpop.method"),
    "lower-case method": (_claim(method="post"), "dpop.method"),
    "no htu": (_without("htu"), "dpop.uri"),
    "another path": (_claim(path="/introspect"), "dpop.uri"),
    "another host": (_claim(htu="https://evil.example/token"), "dpop.uri"),
    "htu a list": (_claim(htu=["/token"]), "dpop.uri"),
    "htu no URI": (_claim(htu="http://[::1/token"), "dpop.uri"),
    "no iat": (_without("iat"), "dpop.times"),
    "an hour old": (_ago(3600), "dpop.times"),
    "an hour ahead": (_ago(-3600), "dpop.times"),
    "a minute and more old": (_ago(OLDEST_SECONDS + 5), "dpop.times"),
    "iat a text": (_claim(iat="now"), "dpop.times"),
    "iat true": (_claim(iat=True), "dpop.times"),
    "expired": (_claim(exp=1), "dpop.times"),
    "not yet": (_claim(nbf=1 << 40), "dpop.times"),
    "foreign nonce": (_claim(nonce="x" * 32), "dpop.nonce"),
    "nonce a number": (_claim(nonce=3), "dpop.malformed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_proof_gets_nothing_and_leaves_its_reason(side: TokenSide, prover: Prover, case: str) -> None:
    make, reason = WRONG[case]
    party = side.client()
    answer = side.post("/token", CC, party, headers={"DPoP": make(prover)}, **elsewhere())
    refused(answer, "use_dpop_nonce" if reason == "dpop.nonce" else "invalid_dpop_proof")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == reason
    if reason != "dpop.nonce":
        assert answer.json["error_description"] == "The DPoP proof is not valid.", "no hint at what is wrong"


ACCEPTED: dict[str, Proof] = {
    "ten seconds old": _ago(10),
    "ten seconds ahead": _ago(-10),
    "more claims": _claim(extra={"a": 1}),
    "exp and nbf": lambda p: p.proof(exp=clock.timestamp(clock.now()) + 30, nbf=0),
    "query and fragment": lambda p: p.proof(htu=p.issuer + "/token?a=b#c"),
    "scheme and host in capitals": lambda p: p.proof(
        htu=p.issuer.replace("http://localhost", "HTTP://LOCALHOST") + "/token"
    ),
    "needless escapes": lambda p: p.proof(htu=p.issuer + "/%74oken"),
    "type with application/": lambda p: p.sign(p.claims(), typ="application/dpop+jwt"),
    "key with a kid": lambda p: p.sign(p.claims(), jwk={**p.jwk, "kid": "mine", "use": "sig"}),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_a_proof_may_be(side: TokenSide, prover: Prover, case: str) -> None:
    answer = side.post("/token", CC, side.client(), headers={"DPoP": ACCEPTED[case](prover)})
    assert answer.status_code == 200, answer.text


def test_a_proof_is_good_once(side: TokenSide, prover: Prover) -> None:
    """Section 11.1, whoever uses it again and at which endpoint, for as long as it would be accepted."""
    party, header = side.client(), prover.header()
    assert side.post("/token", CC, party, headers=header).status_code == 200
    refused(side.post("/token", CC, party, headers=header), "invalid_dpop_proof")
    refused(side.post("/token", CC, side.client(), headers=header), "invalid_dpop_proof")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "dpop.replayed"
    with time_machine.travel(clock.now() + timedelta(seconds=OLDEST_SECONDS - 2), tick=False):
        refused(side.post("/token", CC, party, headers=header), "invalid_dpop_proof")


def test_a_refused_proof_burns_nothing(side: TokenSide, prover: Prover) -> None:
    party, user = side.client(), side.user()
    code = side.code(party, user)
    wrong = prover.header("/introspect")
    refused(side.post("/token", code.form(), party, headers=wrong), "invalid_dpop_proof")
    assert side.post("/token", code.form(), party, headers=prover.header()).status_code == 200


def test_nonces(side: TokenSide, prover: Prover) -> None:
    """Section 8: the challenge, and the next nonce in good time."""
    party = side.client(dpop_nonce=True)
    answer = side.post("/token", CC, party, headers=prover.header())
    refused(answer, "use_dpop_nonce")
    nonce = answer.headers["DPoP-Nonce"]
    assert side.post("/token", CC, party).json["token_type"] == "Bearer", "only proofs carry nonces"
    found = side.post("/token", CC, party, headers=prover.header(nonce=nonce))
    assert found.status_code == 200
    later = clock.now() + timedelta(seconds=NONCE_SECONDS)
    with time_machine.travel(later, tick=False):
        again = side.post("/token", CC, party, headers=prover.header(nonce=nonce))
        assert again.status_code == 200
        assert again.headers["DPoP-Nonce"] != nonce
        following = again.headers["DPoP-Nonce"]
    with time_machine.travel(later + timedelta(seconds=NONCE_SECONDS), tick=False):
        refused(side.post("/token", CC, party, headers=prover.header(nonce=nonce)), "use_dpop_nonce")
        ok = side.post("/token", CC, party, headers=prover.header(nonce=following))
        assert ok.status_code == 200


def test_nonces_at_the_resource(side: TokenSide, prover: Prover) -> None:
    """Section 9."""
    party = side.client(dpop_nonce=True)
    nonce = side.post("/token", CC, party, headers=prover.header()).headers["DPoP-Nonce"]
    form = side.code(party, side.user()).form()
    token = side.post("/token", form, party, headers=prover.header(nonce=nonce)).json["access_token"]
    bare = side.http.get("/userinfo", headers=prover.at("/userinfo", token))
    refused(bare, "use_dpop_nonce", 401)
    assert bare.headers["WWW-Authenticate"].startswith('DPoP realm="userinfo", error="use_dpop_nonce"')
    again = prover.at("/userinfo", token, nonce=bare.headers["DPoP-Nonce"])
    assert side.http.get("/userinfo", headers=again).status_code == 200


def test_nonces_of_tenants_differ(side: TokenSide) -> None:
    proofs = dpop.Dpop(lambda: b"k" * 32)
    assert proofs.nonce("a") != proofs.nonce("b")
    assert proofs.nonce("a") == dpop.Dpop(lambda: b"k" * 32).nonce("a"), "in every process"


@pytest.mark.parametrize("scheme", ["DPoP", "dPoP", "DPOP"])
def test_a_bound_token_at_userinfo(side: TokenSide, prover: Prover, scheme: str) -> None:
    """Section 7.1; the scheme in any case."""
    token = bound_token(side, side.client(), prover)
    headers = {**prover.at("/userinfo", token), "Authorization": f"{scheme} {token}"}
    answer = side.http.get("/userinfo", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json["name"] == "Alice Adams"


Presented = Callable[[TokenSide, Prover, str], dict[str, str]]
_AT = "/userinfo"
AT_RESOURCE: dict[str, tuple[Presented, str, str]] = {
    "as Bearer": (lambda s, p, t: {"Authorization": f"Bearer {t}"}, "invalid_token", "token.scheme"),
    "as Bearer with a proof": (
        lambda s, p, t: {"Authorization": f"Bearer {t}", "DPoP": p.proof("GET", _AT, t)},
        "invalid_token",
        "token.scheme",
    ),
    "no proof": (lambda s, p, t: {"Authorization": f"DPoP {t}"}, "invalid_dpop_proof", "dpop.missing"),
    "no ath": (
        lambda s, p, t: {"Authorization": f"DPoP {t}", "DPoP": p.proof("GET", _AT)},
        "invalid_dpop_proof",
        "dpop.token",
    ),
    "another token's ath": (lambda s, p, t: p.at(_AT, t, ath="x"), "invalid_dpop_proof", "dpop.token"),
    "another key": (
        lambda s, p, t: Prover(s.tenant.issuer).at(_AT, t),
        "invalid_token",
        "token.wrong_key",
    ),
    "another method": (lambda s, p, t: p.at(_AT, t, method="POST"), "invalid_dpop_proof", "dpop.method"),
    "another address": (lambda s, p, t: p.at("/token", t), "invalid_dpop_proof", "dpop.uri"),
    "RS256": (
        lambda s, p, t: Prover(s.tenant.issuer, "RS256").at(_AT, t),
        "invalid_dpop_proof",
        "dpop.algorithm",
    ),
}


@pytest.mark.parametrize("case", AT_RESOURCE)
def test_a_bound_token_is_of_no_use_otherwise(side: TokenSide, prover: Prover, case: str) -> None:
    headers_of, error, reason = AT_RESOURCE[case]
    token = bound_token(side, side.client(), prover)
    answer = side.http.get("/userinfo", headers=headers_of(side, prover, token), **elsewhere())
    refused(answer, error, 401)
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith(f'DPoP realm="userinfo", error="{error}"')
    assert f'algs="{" ".join(dpop.ALGORITHMS)}"' in challenge
    assert reasons(side.services, side.tenant, "token.refused")[-1] == reason


def test_a_proof_at_userinfo_is_good_once(side: TokenSide, prover: Prover) -> None:
    token = bound_token(side, side.client(), prover)
    headers = prover.at("/userinfo", token)
    assert side.http.get("/userinfo", headers=headers).status_code == 200
    refused(side.http.get("/userinfo", headers=headers), "invalid_dpop_proof", 401)


def test_a_bearer_token_is_not_taken_as_bound(side: TokenSide, prover: Prover) -> None:
    token = side.tokens(side.client(), side.user())["access_token"]
    refused(side.http.get("/userinfo", headers=prover.at("/userinfo", token)), "invalid_token", 401)


def test_without_a_token_both_schemes_are_named(side: TokenSide) -> None:
    for path, realm in (("/userinfo", "userinfo"), ("/api/v1/me", "api")):
        answer = side.http.get(path)
        assert answer.status_code == 401
        assert answer.headers.getlist("WWW-Authenticate") == [
            f'Bearer realm="{realm}"',
            f'DPoP realm="{realm}", algs="{" ".join(dpop.ALGORITHMS)}"',
        ]


def test_our_own_api_takes_bound_tokens(side: TokenSide, prover: Prover) -> None:
    party = side.client(scope="openid watchword:read")
    token = bound_token(side, party, prover, "openid watchword:read")
    path = "/api/v1/me"
    assert side.http.get(path, headers=prover.at(path, token)).status_code == 200
    as_bearer = side.http.get(path, headers={"Authorization": f"Bearer {token}"})
    assert as_bearer.status_code == 401
    assert as_bearer.headers["WWW-Authenticate"].startswith('DPoP realm="api", error="invalid_token"')
    other = side.http.get(path, headers=Prover(side.tenant.issuer).at(path, token))
    assert other.status_code == 401
    missing = side.http.get(path, headers={"Authorization": f"DPoP {token}"})
    assert missing.status_code == 401
    assert reasons(side.services, side.tenant, "token.refused")[-3:] == [
        "token.scheme",
        "token.wrong_key",
        "dpop.missing",
    ]


def bound_code(side: TokenSide, party: Party, jkt: str) -> Code:
    made = side.code(party, side.user())
    record = dataclasses.replace(made.record, dpop_jkt=jkt)
    code, put = codes.new(side.tenant.id, record)
    side.services.state.execute(put)
    return dataclasses.replace(made, code=code, record=record)


def test_a_code_bound_to_a_key(side: TokenSide, prover: Prover) -> None:
    """Section 10: `dpop_jkt`. Neither another key nor none redeems it; the right one then still does."""
    party = side.client()
    code = bound_code(side, party, prover.jkt)
    other = Prover(side.tenant.issuer).header()
    refused(side.post("/token", code.form(), party, headers=other), "invalid_grant")
    refused(side.post("/token", code.form(), party), "invalid_grant")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "code.wrong_key"
    assert side.post("/token", code.form(), party, headers=prover.header()).status_code == 200


def public_tokens(side: TokenSide, prover: Prover) -> tuple[Party, dict[str, Any]]:
    party = side.client(token_endpoint_auth_method="none")
    form = side.code(party, side.user(), "openid offline_access").form(client_id=party.client_id)
    found: dict[str, Any] = side.post("/token", form, headers=prover.header()).json
    return party, found


def test_a_public_clients_refresh_token_is_bound_to_its_key(side: TokenSide, prover: Prover) -> None:
    """Section 5: a copy of it is of no use, and trying does not end the grant."""
    party, found = public_tokens(side, prover)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": found["refresh_token"],
        "client_id": party.client_id,
    }
    refused(side.post("/token", form), "invalid_grant")
    refused(side.post("/token", form, headers=Prover(side.tenant.issuer).header()), "invalid_grant")
    assert reasons(side.services, side.tenant, "token.refused")[-2:] == ["refresh.wrong_key"] * 2
    good = side.post("/token", form, headers=prover.header())
    assert good.json["token_type"] == "DPoP"
    assert good.json["refresh_token"] != found["refresh_token"], "public clients rotate"


def test_a_confidential_client_may_change_its_key_but_not_do_without(side: TokenSide, prover: Prover) -> None:
    """Section 5: its refresh token is bound to the client; it does not rotate (contracts 5)."""
    party = side.client()
    form = side.code(party, side.user(), "openid offline_access").form()
    token = side.post("/token", form, party, headers=prover.header()).json["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": token}
    refused(side.post("/token", again, party), "invalid_grant")
    other = Prover(side.tenant.issuer)
    for _ in range(2):
        found = side.post("/token", again, party, headers=other.header())
        assert found.json["refresh_token"] == token
        assert side.read(found.json["access_token"]).claims["cnf"] == {"jkt": other.jkt}


def test_a_fapi_client_needs_a_proof_or_a_certificate(side: TokenSide, prover: Prover) -> None:
    key = SigningKeyHandle.generate("ES256")
    party = side.client(
        profile="fapi2-security",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [key.public_jwk]},
    )

    def form() -> dict[str, str]:
        now = clock.timestamp(clock.now())
        claims = {"iss": party.client_id, "sub": party.client_id, "aud": side.tenant.issuer, "exp": now + 60}
        assertion = key.sign({**claims, "jti": str(next(_addresses))}, "JWT")
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {**CC, "client_assertion_type": kind, "client_assertion": assertion}

    refused(side.post("/token", form()), "invalid_dpop_proof")
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "sender.unconstrained"
    assert side.post("/token", form(), headers=prover.header()).json["token_type"] == "DPoP"


def test_the_thumbprint_is_that_of_rfc_7638(prover: Prover) -> None:
    assert prover.jkt == thumbprint(prover.key.public_jwk)
    assert len(unb64url(prover.jkt)) == 32


def test_whatever_comes_as_a_proof_is_refused_in_order(prover: Prover) -> None:
    """Two thousand damaged proofs: each is refused by an error of ours, or was not damaged where it matters."""
    import random

    from app.protocols.oauth.errors import OAuthError

    dice = random.Random(9449)
    proofs = dpop.Dpop(lambda: b"k" * 32)
    whole = prover.proof()
    alphabet = "ABCabc019-_.=,: \x7fä\ud800{"
    refusals = []
    for _ in range(2000):
        damaged = list(whole)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(damaged))
            damaged[at : at + dice.randint(0, 2)] = dice.choice(alphabet) * dice.randint(0, 2)
        try:
            proofs.verify("".join(damaged), tenant_id="t", method="POST", uris=(prover.issuer + "/token",))
        except OAuthError as refusal:
            refusals.append(refusal.error)
    assert set(refusals) <= set(dpop.ERRORS)
    assert len(refusals) > 1900
