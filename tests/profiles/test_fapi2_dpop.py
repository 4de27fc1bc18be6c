"""FAPI 2.0 Security Profile, final: the modules about proofs of possession (DPoP) at each of the three places."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.kernel.secrets import b64url, unb64url
from app.protocols.oauth import dpop
from tests.profiles.bank import Bank, code_of, is_refused, only, tokens_of
from tests.protocol.browserless import Person
from tests.protocol.prover import Prover

PROFILE = "fapi2-security"
Make = Callable[[Prover, str], str]


def at(seconds: int) -> int:
    return clock.timestamp(clock.now()) + seconds


def prover_of(bank: Bank) -> Prover:
    prover = Prover(bank.tenant.issuer)
    prover.key = bank.proof_key
    return prover


@only(binding="dpop")
@pytest.mark.parametrize("seconds", [-10, 10])
def test_dpop_proof_times(person: Person, first: Bank, seconds: int) -> None:
    """check-dpop-proof-nbf-exp, ensure-dpopproof-with-iat-10seconds-before and -after: at all three places."""
    times = {"iat": at(seconds), "nbf": at(-10), "exp": at(60)}
    pushed = first.post("/par", {**first.assertion(), **first.asked()}, proof=True, **times)
    assert pushed.status_code == 201
    code = first.through(person, pushed.json["request_uri"]).parameters["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": first.asked()["redirect_uri"],
        "code_verifier": "v" * 43,
    }
    answer = first.post("/token", {**form, **first.assertion()}, proof=True, **times)
    assert answer.status_code == 200, answer.text
    assert first.userinfo(answer.json["access_token"], **times).status_code == 200


@only(binding="dpop")
def test_ensure_mismatched_dpop_jkt_fails(first: Bank) -> None:
    other = SigningKeyHandle.generate("ES256").kid
    is_refused(first.push(proof=True, dpop_jkt=other), "invalid_request", "invalid_dpop_proof")


@only(binding="dpop")
@pytest.mark.parametrize("how", ["proof", "dpop_jkt"])
def test_code_is_bound_to_the_key(person: Person, first: Bank, how: str) -> None:
    """ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt and -dpop-jkt; the same key is fine
    (ensure-dpopproof-at-par-endpoint-binding-success, ensure-dpop-auth-code-binding-success)."""
    asked = {"proof": True} if how == "proof" else {"dpop_jkt": first.proof_key.kid}
    code, own = code_of(first, person, **asked), first.proof_key
    first.proof_key = SigningKeyHandle.generate("ES256")
    is_refused(first.redeem(code), "invalid_grant", "invalid_dpop_proof", "invalid_request")
    first.proof_key = own
    assert first.redeem(code).status_code == 200


def claim(**changes: Any) -> Make:
    def make(prover: Prover, token: str) -> str:
        said = {name: at(v) if isinstance(v, int) else v for name, v in changes.items()}
        return prover.proof("GET", "/userinfo", token, **said)

    return make


def header(change: Callable[[dict[str, Any]], Any]) -> Make:
    """A good signature over another header."""

    def make(prover: Prover, token: str) -> str:
        head, body, _ = prover.proof("GET", "/userinfo", token).split(".")
        said = json.loads(unb64url(head))
        change(said)
        signed = f"{b64url(json.dumps(said).encode())}.{body}"
        return f"{signed}.{b64url(prover.key._sign(signed.encode()))}"

    return make


def without(name: str) -> Make:
    return header(lambda said: said.pop(name))


def bad_signature(prover: Prover, token: str) -> str:
    return prover.proof("GET", "/userinfo", token)[:-8] + "AAAAAAAA"


def with_rs256(prover: Prover, token: str) -> str:
    return Prover(prover.issuer, "RS256").proof("GET", "/userinfo", token)


def private_key_in_header(prover: Prover, token: str) -> str:
    return header(lambda said: said["jwk"].update(d="AAAA"))(prover, token)


REFUSED: dict[str, Make] = {
    "malformed JWT": lambda p, t: "not.a.jwt",
    "no JWT": lambda p, t: "proof",
    "missing typ": without("typ"),
    "invalid typ": header(lambda said: said.update(typ="JWT")),
    "missing alg": without("alg"),
    "missing jwk": without("jwk"),
    "RS256": with_rs256,
    "alg none": header(lambda said: said.update(alg="none")),
    "bad signature": bad_signature,
    "private key in jwk": private_key_in_header,
    "no jti": claim(jti=None),
    "no htm": claim(htm=None),
    "no htu": claim(htu=None),
    "no iat": claim(iat=None),
    "no ath": lambda p, t: p.proof("GET", "/userinfo"),
    "wrong htm": claim(htm="POST"),
    "other htu": claim(htu="https://other.example/userinfo"),
    "other path": lambda p, t: p.proof("GET", "/token", t),
    "iat an hour ago": claim(iat=-3600),
    "iat in an hour": claim(iat=3600),
    "wrong ath": lambda p, t: p.proof("GET", "/userinfo", t + "x"),
    "other key": lambda p, t: Prover(p.issuer).proof("GET", "/userinfo", t),
    "two proofs": lambda p, t: ",".join(p.proof("GET", "/userinfo", t) for _ in range(2)),
}


@only(authentication="private_key_jwt", binding="dpop")
def test_dpop_negative(person: Person, first: Bank) -> None:
    """dpop-negative-tests: each is refused at the resource, with a challenge, and the token stays good."""
    token, prover = tokens_of(first, person)["access_token"], prover_of(first)
    for name, make in REFUSED.items():
        answer = first.userinfo(token, proof=make(prover, token))
        assert answer.status_code in (400, 401), name
        assert answer.json["error"] in ("invalid_dpop_proof", "invalid_token"), name
        assert answer.headers["WWW-Authenticate"].startswith("DPoP "), name
    assert first.userinfo(token).status_code == 200


@only(binding="dpop")
def test_dpop_negative_replay_and_schemes(person: Person, first: Bank) -> None:
    """A proof is good once; without one, and as Bearer, the token is not."""
    token, prover = tokens_of(first, person)["access_token"], prover_of(first)
    assert first.userinfo(token, proof=False).status_code in (400, 401)
    assert first.userinfo(token, scheme="Bearer", proof=False).status_code == 401
    assert first.userinfo(token, scheme="Bearer").status_code == 401
    proof = prover.proof("GET", "/userinfo", token)
    assert first.userinfo(token, proof=proof).status_code == 200
    assert first.userinfo(token, proof=proof).status_code in (400, 401)


def with_htu(change: Callable[[str], str]) -> Make:
    return lambda p, t: p.proof("GET", "/userinfo", t, htu=change(p.issuer + "/userinfo"))


def origin_in_capitals(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.upper()}://{host.upper()}{slash}{path}"


ACCEPTED: dict[str, Make] = {
    "more claims": claim(extra="claim", another="one"),
    "htu with a query and a fragment": with_htu(lambda url: url + "?a=b#c"),
    "scheme and host in capitals": with_htu(origin_in_capitals),
    "default port spelled out": with_htu(lambda url: url.replace(".example.org/", ".example.org:443/")),
}


@only(authentication="private_key_jwt", binding="dpop")
def test_dpop_proofs_that_are_fine(person: Person, first: Bank) -> None:
    """More claims, a query and a fragment in `htu`, capitals, a default port that is spelled out."""
    token, prover = tokens_of(first, person)["access_token"], prover_of(first)
    for name, make in ACCEPTED.items():
        assert first.userinfo(token, proof=make(prover, token)).status_code == 200, name


@only(binding="dpop")
@pytest.mark.parametrize("alg", dpop.ALGORITHMS)
def test_every_algorithm_of_proofs(person: Person, first: Bank, alg: str) -> None:
    first.proof_key = SigningKeyHandle.generate(alg)
    token = tokens_of(first, person)["access_token"]
    assert first.userinfo(token).status_code == 200
