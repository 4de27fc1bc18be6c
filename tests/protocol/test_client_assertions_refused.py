"""Client assertions that are refused (RFC 7523 section 3): at every endpoint, each with its reason on record.

Who has not shown that they hold the client's key is told nothing but that authentication failed, in the very words an
unknown client hears.
"""

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwk, jwt

from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from tests.protocol.banks import reasons
from tests.protocol.browserless import request
from tests.protocol.test_client_auth import TYPE, Keyed, elsewhere
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

FAILED = "Client authentication failed."
Make = Callable[[Keyed], str]


def at(seconds: int) -> int:
    return clock.timestamp(clock.now()) + seconds


def claim(**changes: Any) -> Make:
    return lambda keyed: keyed.assertion(**changes)


def of_type(typ: str) -> Make:
    return lambda keyed: keyed.key.sign(keyed.claims(), typ)


def unsecured(keyed: Keyed) -> str:
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, keyed.claims())
    )
    return f"{head}.{body}."


def by_hmac(keyed: Keyed) -> str:
    return jwt.encode({"alg": "HS256"}, keyed.claims(), jwk.OctKey.import_key(str(keyed.key.public_jwk["x"])))


def tampered(keyed: Keyed) -> str:
    head, _, signature = keyed.assertion().split(".")
    body = keyed.assertion(exp=at(120)).split(".")[1]
    return f"{head}.{body}.{signature}"


UNPROVEN: dict[str, tuple[Make, str]] = {
    "no JWT": (lambda k: "x", "client.assertion_invalid"),
    "algorithm none": (unsecured, "client.assertion_invalid"),
    "algorithm of secrets": (by_hmac, "client.assertion_invalid"),
    "algorithm of another key": (
        lambda k: SigningKeyHandle.generate("RS256").sign(k.claims(), "JWT"),
        "client.assertion_invalid",
    ),
    "another key": (
        lambda k: SigningKeyHandle.generate("ES256").sign(k.claims(), "JWT"),
        "client.assertion_invalid",
    ),
    "another client's key": (lambda k: Keyed(k.side).key.sign(k.claims(), "JWT"), "client.assertion_invalid"),
    "tampered": (tampered, "client.assertion_invalid"),
    "another owner": (lambda k: k.assertion(sub="somebody", iss="somebody"), "client.unknown"),
}
SIGNED: dict[str, tuple[Make, str]] = {
    "type of an access token": (of_type("at+jwt"), "client.assertion_invalid"),
    "type of a proof": (of_type("dpop+jwt"), "client.assertion_invalid"),
    "type of a request": (of_type("application/oauth-authz-req+jwt"), "client.assertion_invalid"),
    "type of a logout token": (of_type("LOGOUT+jwt"), "client.assertion_invalid"),
    "another audience": (claim(aud="https://other.example"), "client.assertion_audience"),
    "no audience": (claim(aud=None), "client.assertion_audience"),
    "two audiences": (
        lambda k: k.assertion(aud=[k.side.tenant.issuer, "https://other.example"]),
        "client.assertion_audience",
    ),
    "the endpoint as audience": (
        lambda k: k.assertion(aud=k.side.tenant.issuer + "/token"),
        "client.assertion_audience",
    ),
    "expired": (lambda k: k.assertion(exp=at(-300)), "client.assertion_times"),
    "no end": (claim(exp=None), "client.assertion_times"),
    "too long a life": (lambda k: k.assertion(exp=at(3600)), "client.assertion_times"),
    "not yet": (lambda k: k.assertion(nbf=at(61)), "client.assertion_times"),
    "issued later": (lambda k: k.assertion(iat=at(61)), "client.assertion_times"),
    "no jti": (claim(jti=None), "client.assertion_invalid"),
    "jti no text": (claim(jti=7), "client.assertion_invalid"),
}
PATHS = ("/token", "/par", "/introspect", "/revoke", "/device_authorization")
MORE = {"grant_type": "client_credentials", "token": "x", "scope": "read"}


def ask(keyed: Keyed, path: str, assertion: str) -> Any:
    more = request(keyed.party.client_id, scope="openid") if path == "/par" else MORE
    form = {**more, "client_assertion_type": TYPE, "client_assertion": assertion}
    form.pop("client_id", None)
    return keyed.side.post(path, form, **elsewhere())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", [*UNPROVEN, *SIGNED])
def test_refused_at_every_endpoint(side: TokenSide, case: str, path: str) -> None:
    keyed = Keyed(side)
    make, reason = {**UNPROVEN, **SIGNED}[case]
    answer = ask(keyed, path, make(keyed))
    refused(answer, "invalid_client", 401)
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-1] == reason
    if case in UNPROVEN:
        assert answer.json["error_description"] == FAILED


@pytest.mark.parametrize("path", PATHS)
def test_replayed(side: TokenSide, path: str) -> None:
    """Whichever endpoint it was first used at."""
    keyed = Keyed(side)
    assertion = keyed.assertion()
    assert ask(keyed, "/token", assertion).status_code == 200
    refused(ask(keyed, path, assertion), "invalid_client", 401)


def test_who_is_nobody_hears_the_same(side: TokenSide) -> None:
    """Neither whether there is such a client, nor how it authenticates."""
    keyed, nobody = Keyed(side), secrets.token_hex(4)
    other = SigningKeyHandle.generate("ES256")
    unreachable = Keyed(side, jwks=None, jwks_uri="http://127.0.0.1:9/jwks")
    answers = [
        ask(keyed, "/token", other.sign(keyed.claims(), "JWT")),
        ask(keyed, "/token", other.sign(keyed.claims(iss=nobody, sub=nobody), "JWT")),
        ask(unreachable, "/token", unreachable.assertion()),
        ask(keyed, "/token", _for(side.client().client_id, keyed)),
        ask(keyed, "/token", _for(side.client(token_endpoint_auth_method="none").client_id, keyed)),
    ]
    assert len({answer.data for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {401}
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-5:] == [
        "client.assertion_invalid",
        "client.unknown",
        "client.keys_unavailable",
        "client.method_not_allowed",
        "client.method_not_allowed",
    ]


def _for(client_id: str, keyed: Keyed) -> str:
    return keyed.assertion(iss=client_id, sub=client_id)


@pytest.mark.parametrize("case", ["two ways", "no assertion", "another client named"])
def test_requests_that_authenticate_in_no_way_are_on_record(side: TokenSide, case: str) -> None:
    """They are no guesses, and do not count as such."""
    keyed = Keyed(side)
    form: dict[str, str] = {**MORE, "client_assertion_type": TYPE}
    headers: dict[str, str] = {}
    if case != "no assertion":
        form["client_assertion"] = keyed.assertion()
    if case == "two ways":
        headers = side.client().basic
    elif case == "another client named":
        form["client_id"] = "another"
    refused(side.post("/token", form, headers=headers), "invalid_request")
    assert (
        reasons(side.services, side.tenant, "client.authentication.fail")[-1]
        == {
            "two ways": "client.two_methods",
            "no assertion": "request.parameter_missing",
            "another client named": "client.id_mismatch",
        }[case]
    )
