"""A bounded load of whole sign-ins at a live server, and a book of everything the server has acknowledged.

What is in the book has to be true afterwards, whatever was killed meanwhile.
"""

import base64
import hashlib
import itertools
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from tests.interop import deployment
from tests.live import LiveServer
from tests.person import PageFailure, Person
from tests.servers import wait_until

SHOPPERS = 3
PAUSE_SECONDS = 0.1
OPERATOR_PAUSE_SECONDS = 0.5
SCOPE = "openid offline_access"
CLIENT = {
    "client_id": deployment.client_id("oauth2.1", "client_secret_post"),
    "client_secret": deployment.SECRET,
}


class Outage(Exception):
    """No answer, or one that says to try later: nothing was acknowledged."""


@dataclass
class Book:
    """What the server has acknowledged."""

    codes: list[str] = field(default_factory=list)
    token_ids: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    revoked: list[tuple[str, str]] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Load:
    """Shoppers that sign in, redeem, refresh and revoke, and an operator who makes people and rotates keys."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.book = Book()
        self.turns = 0
        self._redeemed = itertools.count()
        self._stopping = threading.Event()
        jobs: list[Callable[[], None]] = [self._shop] * SHOPPERS + [self._operate]
        self._threads = [threading.Thread(target=self._guarded, args=(job,)) for job in jobs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(90)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for(self, turns: int, *, seconds: float = 90.0) -> None:
        """Until so many more turns were acknowledged."""
        goal = self.turns + turns
        wait_until(lambda: self.turns >= goal or bool(self.book.faults), seconds=seconds, what="the load")
        assert not self.book.faults, self.book.faults

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as fault:
            self.book.faults.append(repr(fault))

    def _shop(self) -> None:
        person = Person(deployment.USERNAME, deployment.PASSWORD)
        while not self._stopping.is_set():
            try:
                self._turn(person)
                self.turns += 1
            except (Outage, PageFailure, requests.RequestException) as outage:
                if isinstance(outage, PageFailure) and outage.status != 503:
                    raise
            self._stopping.wait(PAUSE_SECONDS)

    def _turn(self, person: Person) -> None:
        verifier = secrets.token_urlsafe(32)
        code = self._authorize(person, verifier)
        redeemed = self.post(
            "/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=deployment.CALLBACK,
            code_verifier=verifier,
        )
        assert redeemed.status_code == 200, f"a code was lost: {redeemed.text}"
        tokens = self._note(redeemed.json())
        self.book.codes.append(code)
        kind = next(self._redeemed) % 3
        if kind == 0:
            tokens = self.refresh(tokens["refresh_token"])
        if kind == 1:
            self.revoke(tokens)
        else:
            self.book.live.append(tokens["refresh_token"])

    def _authorize(self, person: Person, verifier: str) -> str:
        digest = hashlib.sha256(verifier.encode("ascii")).digest()
        asked = {
            "client_id": CLIENT["client_id"],
            "response_type": "code",
            "redirect_uri": deployment.CALLBACK,
            "scope": SCOPE,
            "state": "s",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        arrived = person.walk(f"{self.server.base_url}/authorize?{urlencode(asked)}", deployment.CALLBACK)
        answer = parse_qs(urlsplit(arrived).query)
        if "error" in answer:
            assert answer["error"] == ["temporarily_unavailable"], answer
            raise Outage
        return answer["code"][0]

    def refresh(self, token: str) -> dict[str, Any]:
        """Refresh; the answer has to be tokens."""
        answer = self.post("/token", grant_type="refresh_token", refresh_token=token)
        assert answer.status_code == 200, f"a live refresh token was refused: {answer.text}"
        return self._note(answer.json())

    def revoke(self, tokens: dict[str, Any]) -> None:
        """Take a refresh token back, and with it what came of it."""
        answer = self.post("/revoke", token=tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        self.book.revoked.append((tokens["refresh_token"], tokens["access_token"]))

    def post(self, path: str, **form: str) -> requests.Response:
        """A request of the client; raises `Outage` when the server says to try later."""
        answer = self.server.post(path, data=CLIENT | form)
        self.book.statuses[answer.status_code] += 1
        if answer.status_code == 503:
            raise Outage
        return answer

    def _note(self, tokens: dict[str, Any]) -> dict[str, Any]:
        payload = tokens["access_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.book.token_ids.append(claims["jti"])
        return tokens

    def _operate(self) -> None:
        while not self._stopping.is_set():
            name = f"user-{secrets.token_hex(6)}"
            user = json.dumps({"username": name, "email": f"{name}@example.com"})
            if self._accepted("user", "create", "-", stdin=user):
                self.book.users.append(name)
            if self._accepted("keys", "rotate"):
                try:
                    self.book.keys |= published_keys(self.server)
                except (Outage, requests.RequestException):
                    continue
            self._stopping.wait(OPERATOR_PAUSE_SECONDS)

    def _accepted(self, *arguments: str, stdin: str = "") -> bool:
        try:
            self.server.watchword(*arguments, stdin=stdin)
        except AssertionError:
            return False
        return True


def published_keys(server: LiveServer) -> set[str]:
    """The key ids of the JWKS."""
    answer = server.get("/jwks")
    if answer.status_code != 200:
        raise Outage
    return {key["kid"] for key in answer.json()["keys"]}
