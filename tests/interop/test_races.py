"""Races between processes: sixteen requests at once against two web workers, on both servers (contracts 3, 5)."""

import base64
import hashlib
import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from tests.interop import deployment
from tests.live import LiveServer
from tests.person import Person

pytestmark = pytest.mark.interop

CLIENT_ID = deployment.client_id("oauth2.1", "client_secret_basic")
PARALLEL = 16


class RelyingParty:
    """A client that does what the specification says, by hand, so that it can do it sixteen times at once."""

    def __init__(self, server: LiveServer, person: Person) -> None:
        self.server, self.person = server, person
        self.verifier = secrets.token_urlsafe(48)

    def code(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": deployment.CALLBACK,
            "scope": "openid offline_access",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        answer = self.person.walk(f"{self.server.base_url}/authorize?{urlencode(query)}", deployment.CALLBACK)
        return parse_qs(urlsplit(answer).query)["code"][0]

    def silent(self) -> dict[str, list[str]]:
        """What `prompt=none` answers: whether session and consent still stand."""
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": deployment.CALLBACK,
            "scope": "openid offline_access",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
            "prompt": "none",
        }
        url = f"{self.server.base_url}/authorize?{urlencode(query)}"
        answer = self.person.session.get(url, allow_redirects=False, timeout=20)
        return parse_qs(urlsplit(answer.headers["Location"]).query)

    def token(self, **form: str) -> requests.Response:
        """A token request; one that finds SQLite's writers queueing for too long is sent again, as it is told to."""
        auth = (CLIENT_ID, deployment.SECRET)
        for _ in range(5):
            answer = requests.post(f"{self.server.base_url}/token", data=form, auth=auth, timeout=30)
            if answer.status_code != 503:
                break
            time.sleep(int(answer.headers["Retry-After"]))
        return answer

    def redeem(self, code: str) -> requests.Response:
        return self.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=deployment.CALLBACK,
            code_verifier=self.verifier,
        )

    def refresh(self, token: str) -> requests.Response:
        return self.token(grant_type="refresh_token", refresh_token=token)

    def userinfo(self, access_token: str) -> int:
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{self.server.base_url}/userinfo", headers=headers, timeout=10).status_code


def at_once(do: Any, argument: Any) -> list[requests.Response]:
    """Sixteen threads, let go at the same moment."""
    gate = threading.Barrier(PARALLEL)

    def one(_: int) -> requests.Response:
        gate.wait()
        answer: requests.Response = do(argument)
        return answer

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, range(PARALLEL)))


@pytest.fixture
def party(server: LiveServer, alice: Person) -> RelyingParty:
    return RelyingParty(server, alice)


def test_of_sixteen_redemptions_one_wins_and_its_grant_alone_is_revoked(party: RelyingParty) -> None:
    beside = party.redeem(party.code()).json()
    answers = at_once(party.redeem, party.code())
    won = [a.json() for a in answers if a.status_code == 200]
    assert len(won) == 1
    assert {a.json()["error"] for a in answers if a.status_code != 200} == {"invalid_grant"}
    assert {a.status_code for a in answers} == {200, 400}
    assert party.userinfo(won[0]["access_token"]) == 401
    assert party.refresh(won[0]["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.userinfo(beside["access_token"]) == 200
    assert party.refresh(beside["refresh_token"]).status_code == 200
    assert "code" in party.silent()


def test_sixteen_refreshes_within_the_grace_make_one_successor(party: RelyingParty) -> None:
    first = party.redeem(party.code()).json()["refresh_token"]
    answers = at_once(party.refresh, first)
    assert {a.status_code for a in answers} == {200}
    (second,) = {a.json()["refresh_token"] for a in answers}
    assert second != first
    third = party.refresh(second).json()
    assert party.refresh(first).json()["error"] == "invalid_grant"
    assert party.refresh(third["refresh_token"]).json()["error"] == "invalid_grant"
    assert party.userinfo(third["access_token"]) == 401


def test_of_sixteen_uses_of_one_administrators_link_one_counts(server: LiveServer) -> None:
    link = server.watchword("admin", "link").strip().splitlines()[-1]
    answers = at_once(_use_link, link)
    assert sum(answer == "made" for answer in answers) == 1, answers
    found = json.loads(server.watchword("user", "list", "--json"))
    assert len([name for name in found if name.startswith("root-")]) == 1


def _use_link(link: str) -> str:
    from tests.person import Page

    browser = requests.Session()
    page = Page(link, browser.get(link, timeout=30).text)
    form = page.form_with("password")
    if form is None:
        return "gone"
    name = f"root-{secrets.token_hex(4)}"
    given = {"username": name, "password": "a long enough password", "email": f"{name}@example.com"}
    form.fields |= {field: value for field, value in given.items() if field in form.fields}
    form.fields |= {f: "a long enough password" for f in form.fields if "password" in f}
    answer = browser.post(form.action, data=form.fields, timeout=60, allow_redirects=False)
    return "made" if answer.status_code in (200, 303) and browser.cookies else "refused"


def test_every_process_sees_a_change_within_a_second(server: LiveServer) -> None:
    """A client that was deleted is refused by both workers, one second after the command returned."""
    name, secret = f"brief-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    entry = {
        "client_id": name,
        "client_secret": secret,
        "grant_types": ["client_credentials"],
        "response_types": [],
    }
    resource = {"default_resources": [deployment.RESOURCE], "scope": "read"}

    def ask() -> set[int]:
        form = {"grant_type": "client_credentials"}
        # Each on a connection of its own, so that the kernel spreads them over the workers.
        return {
            requests.post(f"{server.base_url}/token", data=form, auth=(name, secret), timeout=10).status_code
            for _ in range(8)
        }

    assert ask() == {401}
    server.apply({"tenants": [{"slug": "default", "clients": [{**entry, **resource}]}]})
    time.sleep(1)
    assert ask() == {200}
    server.apply({"tenants": [{"slug": "default", "clients": [{"client_id": name, "state": "absent"}]}]})
    time.sleep(1)
    assert ask() == {401}


def test_of_sixteen_registrations_with_a_token_for_one_one_wins(server: LiveServer) -> None:
    """RFC 7591 section 3: the database counts the uses of an initial access token."""
    server.apply({"tenants": [{"slug": "default", "settings": {"registration": {"clients": "token"}}}]})
    token = server.watchword("client", "registration-token", "create").strip()

    def register() -> int:
        for _ in range(5):
            answer = requests.post(
                f"{server.base_url}/register",
                json={"redirect_uris": ["https://rp.example/cb"]},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            if answer.status_code != 503:
                break
            time.sleep(int(answer.headers["Retry-After"]))
        return answer.status_code

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = [each.result() for each in [pool.submit(register) for _ in range(PARALLEL)]]
    assert sorted(found) == [201, *[401] * (PARALLEL - 1)]
    assert len(json.loads(server.watchword("client", "list", "--registered", "--json"))) == 1
    server.apply({"tenants": [{"slug": "default", "settings": {"registration": {"clients": "off"}}}]})
