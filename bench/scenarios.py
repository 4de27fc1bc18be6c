"""What is asked of each server, request by request."""

import base64
import hashlib
import json
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from app.domain import codes, consents, grants, users
from app.domain.codes import CodeRecord
from app.infra.signing import SigningKeyHandle, sign
from app.kernel import clock
from app.kernel.ids import new_token_id
from app.kernel.secrets import b64url
from bench.deployments import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, RESOURCE, Running
from bench.load import Connection, request

VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of request. `prepare` makes that many of them; `weight` is how many, in comparison."""

    name: str
    prepare: Callable[[Running, int], list[bytes]]
    weight: float = 1.0
    expected: int = 200


def basic(client_id: str = CLIENT_ID) -> str:
    """The Authorization header's value."""
    return "Basic " + base64.b64encode(f"{client_id}:{CLIENT_SECRET}".encode()).decode()


def post(running: Running, path: str, form: list[tuple[str, str]], client_id: str = CLIENT_ID) -> bytes:
    """An authenticated form request."""
    return request("POST", running.url + path, form=form, Authorization=basic(client_id))


def answer(running: Running, data: bytes) -> dict[str, str]:
    """Send one request and read its JSON."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    status, _, body = Connection(host, int(port)).send(data)
    if status != 200:
        raise SystemExit(f"{running.name}: {status} {body[:300]!r}")
    found: dict[str, str] = json.loads(body)
    return found


def _same(make: Callable[[Running], bytes]) -> Callable[[Running, int], list[bytes]]:
    return lambda running, count: [make(running)] * count


def _client_credentials(running: Running) -> bytes:
    return post(running, "/token", [("grant_type", "client_credentials"), ("scope", "read")])


def _other_client_credentials(running: Running, count: int) -> list[bytes]:
    """No two with the same words: each is interpreted as if it were the first."""
    form, serial = [("grant_type", "client_credentials"), ("scope", "read")], new_token_id()
    return [
        request(
            "POST", running.url + "/token", form=form, Authorization=basic(), User_Agent=f"bench/{serial}.{n}"
        )
        for n in range(count)
    ]


def _token_exchange(running: Running) -> bytes:
    """A client narrows a token of its own: what an exchange costs besides the token it gives."""
    token = answer(running, _client_credentials(running))["access_token"]
    form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ]
    return post(running, "/token", form)


def _introspection(running: Running) -> bytes:
    token = answer(running, _client_credentials(running))["access_token"]
    return post(running, "/introspect", [("token", token)])


def _codes(client_id: str) -> Callable[[Running, int], list[bytes]]:
    def prepare(running: Running, count: int) -> list[bytes]:
        return [
            post(
                running,
                "/token",
                [
                    ("grant_type", "authorization_code"),
                    ("code", code),
                    ("redirect_uri", REDIRECT_URI),
                    ("code_verifier", VERIFIER),
                ],
                client_id,
            )
            for code in _make_codes(running, count, client_id)
        ]

    return prepare


def _make_codes(running: Running, count: int, client_id: str, *resources: str) -> list[str]:
    """Codes as the authorization endpoint makes them, without anybody signing in."""
    services = running.services
    assert services is not None
    tenant = services.tenants.default()
    scopes, resources = ("offline_access", "openid", "read"), resources or (RESOURCE,)
    moment = clock.now()
    made = []
    with services.tenancy.session(tenant.id, write=True) as session:
        alice = users.find_by_login(session, "alice")
        assert alice is not None
        wanted = {consents.ISSUER: frozenset({"openid", "offline_access"}), RESOURCE: frozenset({"read"})}
        allowed = consents.allow(session, alice.id, client_id, wanted)
        for _ in range(count):
            grant = grants.create(
                session,
                user_id=alice.id,
                client_id=client_id,
                session_id=None,
                scopes=scopes,
                resources=resources,
                auth_time=moment,
                amr=("pwd",),
                acr="1",
                offline=True,
                consents=allowed,
            )
            made.append(
                codes.new(
                    tenant.id,
                    CodeRecord(
                        grant_id=grant.id,
                        client_id=client_id,
                        user_id=alice.id,
                        user_epoch=alice.epoch,
                        redirect_uri=REDIRECT_URI,
                        redirect_uri_given=True,
                        code_challenge=CHALLENGE,
                        nonce=None,
                        scopes=scopes,
                        resources=resources,
                        session_id=None,
                        session_expires_at=None,
                        auth_time=clock.timestamp(moment),
                        amr=("pwd",),
                        acr="1",
                        offline=True,
                        claims_request={},
                        expires_at=clock.timestamp(moment) + 600,
                    ),
                )
            )
    for start in range(0, count, 50):
        services.state.execute(*(put for _, put in made[start : start + 50]))
    return [code for code, _ in made]


def _refreshes(running: Running, count: int) -> list[bytes]:
    tokens = [answer(running, data)["refresh_token"] for data in _codes(CLIENT_ID)(running, count)]
    return [post(running, "/token", [("grant_type", "refresh_token"), ("refresh_token", t)]) for t in tokens]


def _proofs(
    running: Running, count: int, key: SigningKeyHandle, method: str, path: str, **more: str
) -> list[str]:
    """A proof for each request (RFC 9449): a client makes a new one every time, here before the clock starts."""
    head = {"jwk": {name: key.public_jwk[name] for name in ("kty", "crv", "x", "y")}}
    moment = clock.timestamp(clock.now())
    claims = {"htm": method, "htu": running.url + path, "iat": moment, **more}
    return [sign({**claims, "jti": new_token_id()}, key, "dpop+jwt", head) for _ in range(count)]


def _bound_client_credentials(running: Running, count: int) -> list[bytes]:
    form = [("grant_type", "client_credentials"), ("scope", "read")]
    proofs = _proofs(running, count, SigningKeyHandle.generate("ES256"), "POST", "/token")
    return [
        request("POST", running.url + "/token", form=form, Authorization=basic(), DPoP=proof)
        for proof in proofs
    ]


def _userinfo_token(running: Running, key: SigningKeyHandle | None) -> str:
    """A person's access token, bound to the key if there is one."""
    (code,) = _make_codes(running, 1, CLIENT_ID, running.url)
    form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ]
    proof = {} if key is None else {"DPoP": _proofs(running, 1, key, "POST", "/token")[0]}
    made = request("POST", running.url + "/token", form=form, Authorization=basic(), **proof)
    return answer(running, made)["access_token"]


def _userinfo(running: Running) -> bytes:
    token = _userinfo_token(running, None)
    return request("GET", running.url + "/userinfo", Authorization=f"Bearer {token}")


def _bound_userinfo(running: Running, count: int) -> list[bytes]:
    key = SigningKeyHandle.generate("ES256")
    token = _userinfo_token(running, key)
    ath = b64url(hashlib.sha256(token.encode()).digest())
    return [
        request("GET", running.url + "/userinfo", Authorization=f"DPoP {token}", DPoP=proof)
        for proof in _proofs(running, count, key, "GET", "/userinfo", ath=ath)
    ]


H = Scenario("H: an empty Flask route", _same(lambda r: request("GET", r.url + "/")))

FLOOR = Scenario("the server alone, without Flask", _same(lambda r: request("GET", r.url + "/floor")))

BESIDE = {
    "client credentials, DPoP": ("client credentials, anew", "client credentials"),
    "token exchange": ("client credentials, anew", "client credentials"),
    "UserInfo, DPoP": ("UserInfo, bearer",),
}
"""What costs are compared with: a bound token with a bearer's, an exchange with client credentials. Both are found out
each time, which client credentials are not where they come again word for word: so they are compared with both."""

STATELESS = (
    Scenario("client credentials", _same(_client_credentials)),
    Scenario("client credentials, anew", _other_client_credentials),
    Scenario("client credentials, DPoP", _bound_client_credentials),
    Scenario("token exchange", _same(_token_exchange)),
    Scenario("introspection", _same(_introspection)),
    Scenario("discovery", _same(lambda r: request("GET", r.url + "/.well-known/openid-configuration"))),
    Scenario("jwks", _same(lambda r: request("GET", r.url + "/jwks"))),
)

STATEFUL = (
    Scenario("code to tokens, ES256", _codes(CLIENT_ID), 0.25),
    Scenario("code to tokens, RS256", _codes(CLIENT_ID + "-rs256"), 0.25),
    Scenario("refresh with rotation", _refreshes, 0.25),
    Scenario("UserInfo, bearer", _same(_userinfo), 0.25),
    Scenario("UserInfo, DPoP", _bound_userinfo, 0.25),
)


def of(running: Running) -> tuple[Scenario, ...]:
    """The scenarios a configuration is measured with."""
    if running.configuration == "yardstick":
        return (H, FLOOR)
    return STATELESS if running.configuration == "bare" else STATELESS + STATEFUL


def signature_costs() -> dict[str, float]:
    """Seconds one signature takes, by algorithm, as `issue()` makes it."""
    found = {}
    for alg in ("ES256", "RS256", "EdDSA"):
        key = SigningKeyHandle.generate(alg)
        found[alg] = (
            min(timeit.repeat(partial(sign, {"sub": "x"}, key, typ="at+jwt"), number=200, repeat=5)) / 200
        )
    return found
