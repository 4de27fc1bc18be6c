"""The Back-Channel Logout plan of the certification programme, and OpenID Connect Back-Channel Logout 1.0 beyond it.

The receiver is a real one on loopback, and a worker in a process of its own delivers.
"""

import contextlib
import dataclasses
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from joserfc import jwt

from app.infra import heartbeat
from tests.live import ROOT, WATCHWORD, environment
from tests.profiles.browser import BUTTONS, Browser
from tests.profiles.conftest import SIGNED_OUT, Provider
from tests.profiles.front import Front
from tests.profiles.relying_party import RelyingParty, Tokens, new_state
from tests.profiles.test_rp_initiated_logout import NOT_SIGNED_IN
from tests.receiver import Received, Receiver
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(180)

EVENT = "http://schemas.openid.net/event/backchannel-logout"
PROMPT_SECONDS = 3.0
"""The plan waits for the redirect and the logout token together. An idle machine takes a quarter of a second."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture(scope="module")
def _workers() -> Iterator[Callable[[Front], None]]:
    """One worker process for each front, which differ in their issuers: started when first asked for."""
    with contextlib.ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}

        def work_for(front: Front) -> None:
            for name, process in list(running.items()):
                if name != front.name:
                    # Both stand on one database, and a worker delivers whatever is due in it.
                    process.terminate()
                    process.wait(30)
                    del running[name]
            if front.name not in running:
                settings = dataclasses.replace(front.services.settings, fetch_allow=("127.0.0.1",))
                started = time.monotonic()
                process = subprocess.Popen(
                    [*WATCHWORD, "worker"],
                    env=environment(settings),
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                running[front.name] = process
                stack.callback(process.wait, 30)
                stack.callback(process.terminate)
                wait_until(lambda: _is_working(front, started), seconds=60, what="starting a worker")

        yield work_for


def _is_working(front: Front, started: float) -> bool:
    age = heartbeat.age_seconds(front.services.state)
    return age is not None and age < time.monotonic() - started - 1


@pytest.fixture(autouse=True)
def worker(front: Front, _workers: Callable[[Front], None], receiver: Receiver) -> None:
    """The worker delivers, and what came before is forgotten."""
    _workers(front)
    receiver.received.clear()


@pytest.fixture
def party(provider: Provider, receiver: Receiver) -> RelyingParty:
    """A client that wants to be told."""
    return provider.client(
        "back-channel",
        backchannel_logout_uri=receiver.url("/back-channel?kept=1"),
        backchannel_logout_session_required=True,
    )


@pytest.fixture
def sibling(provider: Provider, receiver: Receiver) -> RelyingParty:
    """Another one, with pairwise subjects and ID tokens of another algorithm."""
    return provider.client(
        "back-channel-pairwise",
        backchannel_logout_uri=receiver.url("/sibling"),
        subject_type="pairwise",
        sector_identifier_uri="https://rp.example.com/sector.json",
        id_token_signed_response_alg="ES256",
    )


def sign_out(party: RelyingParty, browser: Browser, id_token: str) -> None:
    """At the client's request, and back there with the state."""
    state = new_state()
    visit = browser.open(
        party.metadata["end_session_endpoint"],
        {"id_token_hint": id_token, "post_logout_redirect_uri": SIGNED_OUT, "state": state},
        press=BUTTONS,
    )
    assert visit.arrival is not None
    assert visit.arrival.query == {"state": state}


def one(receiver: Receiver, path: str) -> Received:
    """What comes to a path, promptly."""
    wait_until(lambda: bool(receiver.got(path)), seconds=30, what=f"a logout token at {path}")
    (found,) = receiver.got(path)
    return found


def checked(party: RelyingParty, token: str, alg: str = "RS256") -> dict[str, Any]:
    """Section 2.6, step by step."""
    decoded = jwt.decode(token, party.keys(), algorithms=[alg])  # steps 2 and 3: as an ID token's
    assert decoded.header["typ"] == "logout+jwt"
    assert decoded.header["alg"] == alg
    claims: dict[str, Any] = decoded.claims
    now = time.time()
    assert claims["iss"] == party.issuer  # step 4
    assert claims["aud"] == party.client_id
    assert abs(claims["iat"] - now) < 60
    assert now < claims["exp"] <= claims["iat"] + 120  # section 4: two minutes at most
    assert claims["sub"]  # step 5
    assert claims["sid"]
    assert claims["events"] == {EVENT: {}}  # step 6
    assert "nonce" not in claims  # step 7
    assert claims["jti"]  # step 8
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti", "sub", "sid", "events"}
    return claims


def test_oidcc_backchannel_discovery_endpoint_verification(party: RelyingParty) -> None:
    """Both members true, in both documents, and an end_session_endpoint over https."""
    for name in ("openid-configuration", "oauth-authorization-server"):
        document = party.wire.get(f"{party.issuer}/.well-known/{name}").json
        assert document["backchannel_logout_supported"] is True
        assert document["backchannel_logout_session_supported"] is True
        assert document["end_session_endpoint"].startswith("https://")


def test_oidcc_backchannel_rp_initiated_logout(
    party: RelyingParty, browser: Browser, receiver: Receiver
) -> None:
    """Sign in, sign out, back at the client; a logout token that names this sign-in; a silent request fails."""
    tokens = party.tokens(browser)
    assert tokens.claims["sid"]
    started = time.monotonic()
    sign_out(party, browser, tokens.id_token)
    got = one(receiver, "/back-channel")
    assert got.at - started < PROMPT_SECONDS
    claims = checked(party, got.token)
    assert claims["sid"] == tokens.claims["sid"]
    assert claims["sub"] == tokens.claims["sub"]
    callback = party.authorize(browser, prompt="none")
    assert callback.error in NOT_SIGNED_IN


def test_the_request_of_section_2_5(party: RelyingParty, browser: Browser, receiver: Receiver) -> None:
    """A POST of a form with the one parameter, to the address as it is registered; nothing else of us comes along."""
    sign_out(party, browser, party.tokens(browser).id_token)
    got = one(receiver, "/back-channel")
    assert got.method == "POST"
    assert got.query == [("kept", "1")]
    assert [name for name, _ in got.form] == ["logout_token"]
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
    assert not {"cookie", "authorization", "referer", "origin"} & set(got.headers)


def test_every_client_of_the_session_and_no_other(
    party: RelyingParty, sibling: RelyingParty, provider: Provider, browser: Browser, receiver: Receiver
) -> None:
    """Section 2.5: all that took part are told, each in its own words; who only signed in elsewhere is not."""
    mine = party.tokens(browser)
    callback = sibling.authorize(browser)
    answer = sibling.redeem(callback).json
    theirs = jwt.decode(answer["id_token"], sibling.keys(), algorithms=["ES256"]).claims
    provider.client("back-channel-elsewhere", backchannel_logout_uri=receiver.url("/elsewhere")).tokens(
        provider.browser()
    )
    sign_out(party, browser, mine.id_token)
    first = checked(party, one(receiver, "/back-channel").token)
    second = checked(sibling, one(receiver, "/sibling").token, alg="ES256")
    assert (first["sub"], first["sid"]) == (mine.claims["sub"], mine.claims["sid"])
    assert (second["sub"], second["sid"]) == (theirs["sub"], theirs["sid"])
    assert first["sub"] != second["sub"], "pairwise"
    assert first["jti"] != second["jti"]
    time.sleep(1)
    assert receiver.got("/elsewhere") == []


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "Ed25519"])
def test_signed_like_the_clients_id_tokens(
    provider: Provider, browser: Browser, receiver: Receiver, alg: str
) -> None:
    """Section 2.6, step 3: id_token_signed_response_alg counts for both."""
    party = provider.client(
        f"back-channel-{alg}",
        backchannel_logout_uri=receiver.url(f"/{alg}"),
        id_token_signed_response_alg=alg,
    )
    id_token = party.redeem(party.authorize(browser)).json["id_token"]
    assert jwt.decode(id_token, party.keys(), algorithms=[alg]).header["alg"] == alg
    sign_out(party, browser, id_token)
    checked(party, one(receiver, f"/{alg}").token, alg=alg)


def test_signing_in_again_is_another_session(
    party: RelyingParty, browser: Browser, receiver: Receiver
) -> None:
    """A token names the session it is of, so that one that arrives late ends no later one."""
    seen = []
    for _ in range(2):
        tokens = party.tokens(browser)
        sign_out(party, browser, tokens.id_token)
        claims = checked(party, one(receiver, "/back-channel").token)
        assert claims["sid"] == tokens.claims["sid"]
        seen.append(claims)
        receiver.received.clear()
    assert seen[0]["sid"] != seen[1]["sid"]
    assert seen[0]["sub"] == seen[1]["sub"]


def test_refresh_tokens_end_unless_they_are_for_offline_access(
    party: RelyingParty, browser: Browser, receiver: Receiver
) -> None:
    """Section 2.7."""
    bound = party.tokens(browser, scope="openid")
    offline = party.tokens(browser, scope="openid offline_access", prompt="consent")
    sign_out(party, browser, bound.id_token)
    one(receiver, "/back-channel")
    refused = party.refresh(bound.response["refresh_token"])
    assert refused.status_code == 400
    assert refused.json["error"] == "invalid_grant"
    assert party.refresh(offline.response["refresh_token"]).status_code == 200
    for tokens, status in ((bound, 401), (offline, 200)):
        answer = party.wire.get(
            party.metadata["userinfo_endpoint"], Authorization=f"Bearer {tokens.access_token}"
        )
        assert answer.status_code == status


def test_a_logout_token_is_good_for_nothing_else(
    party: RelyingParty, browser: Browser, receiver: Receiver
) -> None:
    """Section 4, cross-JWT confusion: it is no hint and no access token, and no assertion of anybody."""
    tokens = party.tokens(browser)
    sign_out(party, browser, tokens.id_token)
    token = one(receiver, "/back-channel").token
    again: Tokens = party.tokens(browser)
    visit = browser.open(party.metadata["end_session_endpoint"], {"id_token_hint": token}, press=())
    assert visit.response.status_code == 400
    callback = party.authorize(browser, prompt="none", id_token_hint=token)
    assert "error" in callback.parameters
    answer = party.wire.get(party.metadata["userinfo_endpoint"], Authorization=f"Bearer {token}")
    assert answer.status_code == 401
    asked = {"token": token}
    wire, endpoint = party.wire, party.metadata["introspection_endpoint"]
    form = asked | {"client_id": party.client_id, "client_secret": party.secret}
    assert wire.post(endpoint, form).json.get("active") is not True
    assert again.claims["sid"]
