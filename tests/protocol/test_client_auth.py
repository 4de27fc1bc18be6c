"""Client authentication (RFC 6749 section 2.3, RFC 7523 section 3, OIDC Core section 9)."""

import base64
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc import jwk, jwt

from app.infra.limits import CLIENT_FAILURES
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from tests.protocol.key_server import KeyServer
from tests.protocol.parties import Party, basic
from tests.protocol.tarpit import Tarpit
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CC = {"grant_type": "client_credentials"}

_numbers = iter(range(1, 250))


def elsewhere() -> dict[str, Any]:
    """Another address for each test that fails on purpose, so that limits do not add up."""
    return {"environ_base": {"REMOTE_ADDR": f"198.51.100.{next(_numbers)}"}}


class Keyed:
    """A client with a key of its own."""

    def __init__(self, side: TokenSide, alg: str = "ES256", **metadata: Any) -> None:
        self.side, self.alg = side, alg
        self.key = SigningKeyHandle.generate(alg)
        metadata.setdefault("jwks", {"keys": [self.key.public_jwk]})
        self.party = side.client(token_endpoint_auth_method="private_key_jwt", **metadata)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = clock.timestamp(clock.now())
        claims = {
            "iss": self.party.client_id,
            "sub": self.party.client_id,
            "aud": self.side.tenant.issuer,
            "jti": secrets.token_urlsafe(8),
            "iat": now,
            "exp": now + 60,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, **changes: Any) -> str:
        return self.key.sign(self.claims(**changes), "JWT")

    def form(self, assertion: str | None = None) -> dict[str, str]:
        return {
            **CC,
            "client_assertion_type": TYPE,
            "client_assertion": assertion or self.assertion(),
        }


# client_secret_basic, client_secret_post, none


def test_secret_in_the_header(side: TokenSide) -> None:
    assert side.post("/token", CC, side.client()).status_code == 200


def test_secret_in_the_body(side: TokenSide) -> None:
    client = side.client(token_endpoint_auth_method="client_secret_post")
    form = {**CC, "client_id": client.client_id, "client_secret": client.secret}
    assert side.post("/token", form).status_code == 200


def test_client_id_beside_the_header_has_to_agree(side: TokenSide) -> None:
    client = side.client()
    assert side.post("/token", {**CC, "client_id": client.client_id}, client).status_code == 200
    refused(side.post("/token", {**CC, "client_id": "another"}, client), "invalid_request")


def test_header_is_form_encoded_first(side: TokenSide) -> None:
    """RFC 6749 section 2.3.1: an id with a colon would otherwise be cut in two."""
    client = side.client(client_id=f"urn:app+{secrets.token_hex(3)}")
    assert side.post("/token", CC, client).status_code == 200


def test_scheme_is_case_insensitive(side: TokenSide) -> None:
    client = side.client()
    value = client.basic["Authorization"].replace("Basic", "bAsIc")
    assert side.post("/token", CC, headers={"Authorization": value}).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no-colon").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"a%zz:secret").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:secret").decode(),
        "Basic " + base64.b64encode(b"a%00b:secret").decode(),
        "Basic " + base64.b64encode(b"nobody:" + b"x" * 5000).decode(),
        "Basic \xe9\xe8",
        "Bearer abc",
        "Digest username=x",
        "",
    ],
)
def test_malformed_header_is_invalid_client_with_a_challenge(side: TokenSide, authorization: str) -> None:
    """RFC 6749 section 5.2: 401, and the scheme to use."""
    answer = side.post("/token", CC, headers={"Authorization": authorization}, **elsewhere())
    refused(answer, "invalid_client", 401)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_wrong_secret_and_unknown_client_look_the_same(side: TokenSide) -> None:
    client, where = side.client(), elsewhere()
    wrong = side.post("/token", CC, headers=basic(client.client_id, "wrong"), **where)
    unknown = side.post("/token", CC, headers=basic("nobody", "wrong"), **where)
    for answer in (wrong, unknown):
        refused(answer, "invalid_client", 401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert wrong.data == unknown.data


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_only_the_registered_method_counts(side: TokenSide, method: str) -> None:
    """A secret that leaked into one place must not be good in another."""
    client = side.client(token_endpoint_auth_method=method)
    form = {**CC, "client_id": client.client_id, "client_secret": client.secret}
    if method == "client_secret_post":
        answer = side.post("/token", CC, client, **elsewhere())
    else:
        answer = side.post("/token", form, **elsewhere())
    refused(answer, "invalid_client", 401)


def test_confidential_client_may_not_come_without_credentials(side: TokenSide) -> None:
    client = side.client()
    refused(side.post("/token", {**CC, "client_id": client.client_id}, **elsewhere()), "invalid_client", 401)


def test_public_client_may_not_come_with_a_secret(side: TokenSide) -> None:
    client = side.client(token_endpoint_auth_method="none")
    answer = side.post("/token", CC, headers=basic(client.client_id, "anything"), **elsewhere())
    refused(answer, "invalid_client", 401)


def test_no_credentials_at_all(side: TokenSide) -> None:
    refused(side.post("/token", CC, **elsewhere()), "invalid_client", 401)


@pytest.mark.parametrize("two", ["header and body", "header and assertion", "body and assertion"])
def test_two_methods_in_one_request_are_refused(side: TokenSide, two: str) -> None:
    """RFC 6749 section 2.3: one method per request, even when every one of them is right."""
    client, keyed = side.client(), Keyed(side)
    in_body = {"client_id": client.client_id, "client_secret": client.secret}
    assertion = {"client_assertion_type": TYPE, "client_assertion": keyed.assertion()}
    form = {**CC, **(in_body if "body" in two else {}), **(assertion if "assertion" in two else {})}
    refused(side.post("/token", form, client if "header" in two else None), "invalid_request")


def test_secret_of_every_printable_character(side: TokenSide) -> None:
    """Appendix A.2 allows them all; a chosen secret takes argon2id once and a keyed hash from then on."""
    secret = "".join(chr(c) for c in range(0x20, 0x7F))
    party = _chosen(side, secret)
    assert side.post("/token", CC, party).status_code == 200
    assert side.post("/token", CC, party).status_code == 200
    wrong = Party(party.client_id, secret + "x")
    refused(side.post("/token", CC, wrong, **elsewhere()), "invalid_client", 401)


# Limits


def test_guessing_is_ended_with_429_even_for_the_right_secret(side: TokenSide) -> None:
    """Contracts 25; another address is not concerned."""
    client, where = side.client(), elsewhere()
    for _ in range(CLIENT_FAILURES.most):
        refused(
            side.post("/token", CC, headers=basic(client.client_id, "no"), **where), "invalid_client", 401
        )
    for headers in (basic(client.client_id, "no"), client.basic):
        answer = side.post("/token", CC, headers=headers, **where)
        assert answer.status_code == 429
        assert answer.json["error"] == "temporarily_unavailable"
        assert 1 <= int(answer.headers["Retry-After"]) <= CLIENT_FAILURES.window_seconds
    assert side.post("/token", CC, client, **elsewhere()).status_code == 200


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_every_endpoint_that_authenticates_counts(side: TokenSide, path: str) -> None:
    where = elsewhere()
    answers = [side.post(path, {**CC, "token": "x"}, headers=basic("who", "no"), **where) for _ in range(21)]
    assert [a.status_code for a in answers] == [401] * 20 + [429]


def test_guessing_at_a_chosen_secret_costs_no_hash_once_it_is_limited(
    side: TokenSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few guesses a second keep every core busy hashing."""
    party, where = _chosen(side, "x" * 40), elsewhere()
    guess = Party(party.client_id, "wrong-" * 8)
    hashed = []
    verify = side.services.passwords.verify
    monkeypatch.setattr(side.services.passwords, "verify", lambda *a: hashed.append(1) or verify(*a))
    for _ in range(CLIENT_FAILURES.most):
        refused(side.post("/token", CC, guess, **where), "invalid_client", 401)
    assert len(hashed) == CLIENT_FAILURES.most
    assert side.post("/token", CC, guess, **where).status_code == 429
    assert len(hashed) == CLIENT_FAILURES.most


# private_key_jwt and client_secret_jwt


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_assertion_signed_with_a_registered_key(side: TokenSide, alg: str) -> None:
    """RFC 7523 section 2.2. `client_id` may be left out."""
    keyed = Keyed(side, alg)
    assert side.post("/token", keyed.form()).status_code == 200
    assert side.post("/token", {**keyed.form(), "client_id": keyed.party.client_id}).status_code == 200
    refused(side.post("/token", {**keyed.form(), "client_id": "other"}), "invalid_request")


def test_assertion_signed_with_the_secret(side: TokenSide) -> None:
    """OIDC Core section 9, `client_secret_jwt`."""
    client = side.client(token_endpoint_auth_method="client_secret_jwt")
    now = clock.timestamp(clock.now())
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": side.tenant.issuer,
        "jti": "1",
        "exp": now + 60,
    }
    token = jwt.encode({"alg": "HS256"}, claims, jwk.OctKey.import_key(client.secret))
    form = {**CC, "client_assertion_type": TYPE, "client_assertion": token}
    assert side.post("/token", form).status_code == 200
    forged = jwt.encode({"alg": "HS256"}, {**claims, "jti": "2"}, jwk.OctKey.import_key("x" * 40))
    refused(side.post("/token", {**form, "client_assertion": forged}, **elsewhere()), "invalid_client", 401)


def test_public_key_is_no_secret(side: TokenSide) -> None:
    """The classic confusion: an HS256 assertion made with the public key."""
    keyed = Keyed(side, "RS256")
    key = jwk.OctKey.import_key(str(keyed.key.public_jwk["n"]))
    forged = jwt.encode({"alg": "HS256"}, keyed.claims(), key)
    refused(side.post("/token", keyed.form(forged), **elsewhere()), "invalid_client", 401)


def test_registered_algorithm_is_the_only_one(side: TokenSide) -> None:
    wrong = Keyed(side, "RS256", token_endpoint_auth_signing_alg="ES256")
    refused(side.post("/token", wrong.form(), **elsewhere()), "invalid_client", 401)
    right = Keyed(side, "EdDSA", token_endpoint_auth_signing_alg="Ed25519")
    assert side.post("/token", right.form()).status_code == 200


Change = Callable[[TokenSide], dict[str, Any]]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: {"aud": "https://other.example"}, id="aud of another server"),
        pytest.param(lambda s: {"aud": None}, id="no aud"),
        pytest.param(lambda s: {"aud": []}, id="empty aud"),
        pytest.param(lambda s: {"aud": [s.tenant.issuer, "https://other.example"]}, id="aud of two servers"),
        pytest.param(lambda s: {"aud": f"{s.tenant.issuer}/token"}, id="token endpoint as aud"),
        pytest.param(lambda s: {"aud": f"{s.tenant.issuer}/"}, id="issuer with a slash"),
        pytest.param(lambda s: {"aud": {"x": 1}}, id="aud an object"),
        pytest.param(lambda s: {"iss": "someone"}, id="iss of another"),
        pytest.param(lambda s: {"iss": None}, id="no iss"),
        pytest.param(lambda s: {"sub": None}, id="no sub"),
        pytest.param(lambda s: {"sub": 7, "iss": 7}, id="sub a number"),
        pytest.param(lambda s: {"exp": None}, id="no exp"),
        pytest.param(lambda s: {"exp": clock.timestamp(clock.now()) - 300}, id="expired"),
        pytest.param(lambda s: {"exp": clock.timestamp(clock.now()) + 3600}, id="lives an hour"),
        pytest.param(lambda s: {"exp": "soon"}, id="exp is text"),
        pytest.param(lambda s: {"exp": True}, id="exp is true"),
        pytest.param(lambda s: {"exp": 10**40}, id="exp is no date"),
        pytest.param(lambda s: {"nbf": clock.timestamp(clock.now()) + 61}, id="nbf in a minute"),
        pytest.param(lambda s: {"iat": clock.timestamp(clock.now()) + 61}, id="iat in a minute"),
        pytest.param(lambda s: {"jti": None}, id="no jti"),
        pytest.param(lambda s: {"jti": ""}, id="empty jti"),
        pytest.param(lambda s: {"jti": "x" * 300}, id="huge jti"),
        pytest.param(lambda s: {"jti": 5}, id="jti a number"),
    ],
)
def test_assertion_with_wrong_claims_is_refused(side: TokenSide, change: Change) -> None:
    """RFC 7523 section 3, rfc7523bis: the audience is the issuer and nothing else."""
    keyed = Keyed(side)
    answer = side.post("/token", keyed.form(keyed.assertion(**change(side))), **elsewhere())
    refused(answer, "invalid_client", 401)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_clock_ten_seconds_ahead_is_tolerated(side: TokenSide, claim: str) -> None:
    keyed = Keyed(side)
    ahead = keyed.assertion(**{claim: clock.timestamp(clock.now()) + 10})
    assert side.post("/token", keyed.form(ahead)).status_code == 200


def test_one_element_audience_is_the_same_as_text(side: TokenSide) -> None:
    keyed = Keyed(side)
    assert side.post("/token", keyed.form(keyed.assertion(aud=[side.tenant.issuer]))).status_code == 200


def test_legacy_client_may_name_the_token_endpoint(side: TokenSide) -> None:
    """Customary in OpenID Connect; only clients of the legacy profile."""
    keyed = Keyed(side, profile="oidc-legacy")
    for aud in (f"{side.tenant.issuer}/token", side.tenant.issuer, [f"{side.tenant.issuer}/token", "x"]):
        assert side.post("/token", keyed.form(keyed.assertion(aud=aud))).status_code == 200
    other = keyed.assertion(aud="https://other.example/token")
    refused(side.post("/token", keyed.form(other), **elsewhere()), "invalid_client", 401)


def test_assertion_is_good_once(side: TokenSide) -> None:
    """RFC 7523 section 3, item 7; of 16 at once one is the first."""
    keyed = Keyed(side)
    assertion, where = keyed.assertion(), elsewhere()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: side.post("/token", keyed.form(assertion), **where), range(16)))
    assert sorted(a.status_code for a in answers)[:2] == [200, 401]
    assert sum(a.status_code == 200 for a in answers) == 1


def test_same_jti_of_another_client_is_another(side: TokenSide) -> None:
    for keyed in (Keyed(side), Keyed(side)):
        assert side.post("/token", keyed.form(keyed.assertion(jti="shared"))).status_code == 200


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.e30.", "é.é.é", "." * 500, "x" * 20_000])
def test_what_is_no_jwt_is_refused(side: TokenSide, assertion: str) -> None:
    keyed = Keyed(side)
    refused(side.post("/token", keyed.form(assertion), **elsewhere()), "invalid_client", 401)


def test_unsecured_assertion_is_refused(side: TokenSide) -> None:
    import json

    keyed = Keyed(side)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, keyed.claims())
    )
    refused(side.post("/token", keyed.form(f"{head}.{body}."), **elsewhere()), "invalid_client", 401)


def test_assertion_of_another_clients_key_is_refused(side: TokenSide) -> None:
    victim, thief = Keyed(side), Keyed(side)
    forged = thief.key.sign(victim.claims(), "JWT")
    refused(side.post("/token", thief.form(forged), **elsewhere()), "invalid_client", 401)


@pytest.mark.parametrize("kind", [None, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "jwt"])
def test_assertion_type_has_to_be_jwt_bearer(side: TokenSide, kind: str | None) -> None:
    keyed = Keyed(side)
    form = {**keyed.form(), "client_assertion_type": kind or ""}
    refused(side.post("/token", form, **elsewhere()), "invalid_client", 401)


def test_type_without_assertion_is_invalid_request(side: TokenSide) -> None:
    refused(side.post("/token", {**CC, "client_assertion_type": TYPE}), "invalid_request")


# jwks_uri


def test_keys_are_fetched_and_again_for_an_unknown_kid(side: TokenSide) -> None:
    """A client that swaps its keys is known by the new ones, without our knocking at its door for every request."""
    from datetime import timedelta

    import time_machine

    from tests.protocol.key_server import KeyServer

    first, second, third = (SigningKeyHandle.generate("ES256") for _ in range(3))
    with KeyServer({"keys": [first.public_jwk]}) as server:
        keyed = Keyed(_allowing(side), jwks=None, jwks_uri=server.url)
        keyed.key = first
        for _ in range(3):
            assert keyed.side.post("/token", keyed.form()).status_code == 200
        assert server.asked == 1
        server.document, keyed.key = {"keys": [second.public_jwk]}, second
        with time_machine.travel(clock.now() + timedelta(seconds=31), tick=True):
            assert keyed.side.post("/token", keyed.form()).status_code == 200
            assert server.asked == 2
            server.document, keyed.key = {"keys": [third.public_jwk]}, third
            where = elsewhere()
            for _ in range(3):
                refused(keyed.side.post("/token", keyed.form(), **where), "invalid_client", 401)
            assert server.asked == 2
        with time_machine.travel(clock.now() + timedelta(seconds=62), tick=True):
            assert keyed.side.post("/token", keyed.form()).status_code == 200
            assert server.asked == 3


def test_keys_that_cannot_be_fetched_refuse_the_client(side: TokenSide) -> None:
    """Also where the address is one that must not be reached (contracts 19): the client learns nothing of it."""
    for uri in ("http://127.0.0.1:9/jwks", "https://169.254.169.254/latest/meta-data"):
        keyed = Keyed(side, jwks=None, jwks_uri=uri)
        refused(side.post("/token", keyed.form(), **elsewhere()), "invalid_client", 401)


def test_publishers_that_never_answer_hold_few_threads(side: TokenSide) -> None:
    """Clients say where their keys are: so many are waited for, another client is refused at once, and may try again as
    soon as there is room."""
    import dataclasses

    from app.infra.fetch import Fetcher
    from app.protocols.oauth.client_keys import AT_ONCE, ClientKeys

    keys = ClientKeys(Fetcher(("127.0.0.1/32",)))
    shelf, tenant = {"keys": [SigningKeyHandle.generate("ES256").public_jwk]}, side.tenant.id
    some = side.services.clients.get(tenant, side.client().client_id)
    assert some is not None
    with Tarpit() as tarpit, KeyServer(shelf) as server, ThreadPoolExecutor() as pool:
        slow = [
            dataclasses.replace(some, client_id=str(n), jwks=None, jwks_uri=tarpit.url)
            for n in range(AT_ONCE)
        ]
        quick = dataclasses.replace(some, client_id="quick", jwks=None, jwks_uri=server.url)
        waiting = [pool.submit(keys.get, tenant, each) for each in slow]
        tarpit.wait_for(AT_ONCE)
        found = keys.get(tenant, quick)
        were_waiting = [not each.done() for each in waiting]
        tarpit.release()
        assert [each.result() for each in waiting] == [()] * AT_ONCE
        assert (found, were_waiting, server.asked) == ((), [True] * AT_ONCE, 0)
        assert len(keys.get(tenant, quick)) == 1


def _allowing(side: TokenSide) -> TokenSide:
    """The same tenant, served by an application that may fetch from this machine."""
    import dataclasses

    from app import create_app
    from app.infra.fetch import Fetcher
    from app.protocols.oauth.client_keys import ClientKeys
    from tests.conftest import Http

    fetcher = Fetcher(("127.0.0.1/32",))
    services = dataclasses.replace(side.services, fetcher=fetcher, client_keys=ClientKeys(fetcher))
    app = create_app(services.settings, services=services)
    return TokenSide(services, side.tenant, Http(app, side.tenant))


def _chosen(side: TokenSide, secret: str) -> Party:
    """A client whose secret somebody chose."""
    from app.domain import clients

    party = Party(f"client-{secrets.token_hex(3)}", secret)
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        clients.create(
            session,
            party.client_id,
            {"grant_types": ["client_credentials"], "scope": "", "response_types": []},
            secret_hash=side.services.client_secrets.choose(secret),
        )
    side.services.versions.touch()
    return party
