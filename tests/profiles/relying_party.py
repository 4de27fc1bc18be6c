"""A relying party that trusts nothing: makes every check the certification programme makes in every module.

It knows the provider by its issuer alone and verifies tokens with joserfc and Authlib's client side.
"""

import base64
import collections
import dataclasses
import hashlib
import math
import re
import secrets
import string
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet
from werkzeug.test import Client, TestResponse

from tests.profiles.browser import Arrival, Browser, Visit
from tests.profiles.front import Front

ResponseMode = Literal["query", "form_post"]

ID_TOKEN_CLAIMS = frozenset(
    "iss sub aud exp iat auth_time nonce acr amr azp at_hash c_hash s_hash nbf jti sid txn".split()
)
"""What may be in an ID token nobody asked anything more of."""
ERROR_MEMBERS = frozenset({"error", "error_description", "error_uri", "state", "session_state", "iss"})
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]*")
FIFTY_YEARS = 50 * 366 * 86400
STATE_ALPHABET = string.ascii_letters + string.digits + "-._~+/=&%# !\"'<>"
LEAST_BITS = 128


def new_state() -> str:
    """128 characters, as the certification programme sends them, the awkward ones among them."""
    return "".join(secrets.choice(STATE_ALPHABET) for _ in range(128))


def bits_of(text: str) -> float:
    """Shannon's entropy of the characters of a text."""
    counts = collections.Counter(text).values()
    return -sum(n * math.log2(n / len(text)) for n in counts)


class Wire:
    """Requests to the provider that no browser makes."""

    def __init__(self, front: Front) -> None:
        self._client = Client(front.wsgi_app, use_cookies=False)
        self._origin = front.origin

    def get(self, url: str, **headers: str) -> TestResponse:
        """A GET request."""
        return self._open(url, "GET", headers=headers)

    def post(self, url: str, form: dict[str, str], **headers: str) -> TestResponse:
        """A POST request with a form."""
        return self._open(
            url,
            "POST",
            headers=headers,
            data=urlencode(form),
            content_type="application/x-www-form-urlencoded",
        )

    def send(self, method: str, url: str, **options: Any) -> TestResponse:
        """Any request; `options` are those of `werkzeug.test.EnvironBuilder`."""
        return self._open(url, method, **options)

    def _open(self, url: str, method: str, **options: Any) -> TestResponse:
        assert url.startswith(self._origin + "/"), url
        parts = urlsplit(url)
        return self._client.open(
            parts.path,
            method=method,
            base_url=self._origin,
            query_string=parts.query,
            environ_base={"REMOTE_ADDR": "127.0.0.1"},
            buffered=True,
            **options,
        )


@dataclass(frozen=True)
class Callback:
    """An authorization response that passed every check."""

    parameters: dict[str, str]
    state: str | None
    nonce: str | None
    verifier: str | None
    visit: Visit

    @property
    def code(self) -> str:
        """The authorization code."""
        assert "code" in self.parameters, self.parameters
        return self.parameters["code"]

    @property
    def error(self) -> str:
        """The error code."""
        assert "error" in self.parameters, self.parameters
        return self.parameters["error"]


@dataclass(frozen=True)
class Tokens:
    """A token response that passed every check."""

    response: dict[str, Any]
    claims: dict[str, Any]
    """Of the verified ID token."""
    callback: Callback

    @property
    def access_token(self) -> str:
        """The access token."""
        token: str = self.response["access_token"]
        return token

    @property
    def id_token(self) -> str:
        """The ID token as it came."""
        token: str = self.response["id_token"]
        return token


@dataclass(frozen=True)
class RelyingParty:
    """One registered client."""

    wire: Wire
    issuer: str
    client_id: str
    secret: str
    redirect_uri: str
    response_mode: ResponseMode = "query"
    method: str = "client_secret_basic"

    def answering_by(self, mode: ResponseMode) -> "RelyingParty":
        """The same client, which has its answers sent another way."""
        return dataclasses.replace(self, response_mode=mode)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the provider publishes."""
        answer = self.wire.get(self.issuer + "/.well-known/openid-configuration")
        assert answer.status_code == 200
        assert answer.mimetype == "application/json"
        found: dict[str, Any] = answer.json
        assert found["issuer"] == self.issuer
        return found

    def keys(self) -> KeySet:
        """The provider's published keys, unsuitable ones refused."""
        answer = self.wire.get(self.metadata["jwks_uri"])
        assert answer.status_code == 200
        published = answer.json
        kids = [key["kid"] for key in published["keys"]]
        assert len(kids) == len(set(kids))
        for key in published["keys"]:
            assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key), key
        return KeySet.import_key_set(published)

    def request(self, **changes: Any) -> dict[str, str]:
        """The parameters of an authorization request; None takes one out."""
        parameters = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": "openid",
            "state": new_state(),
            "nonce": secrets.token_urlsafe(16),
            "response_mode": None if self.response_mode == "query" else self.response_mode,
            **changes,
        }
        return {name: str(value) for name, value in parameters.items() if value is not None}

    def visit(self, browser: Browser, *, post: bool = False, **changes: Any) -> Visit:
        """Send the browser to the authorization endpoint; nothing is checked."""
        parameters = self.request(**changes)
        return browser.open(self.metadata["authorization_endpoint"], parameters, post=post)

    def authorize(
        self, browser: Browser, *, post: bool = False, verifier: str | None = None, **changes: Any
    ) -> Callback:
        """Send the browser away and take the checked answer."""
        if verifier is not None:
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            changes |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        parameters = self.request(**changes)
        visit = browser.open(self.metadata["authorization_endpoint"], parameters, post=post)
        arrived = visit.arrival
        assert arrived is not None, f"{visit.response.status}:\n{visit.response.text[:3000]}"
        found = self._received(arrived)
        assert found.get("state") == parameters.get("state")
        assert found["iss"] == self.issuer
        if "error" in found:
            check_error_members(found)
        else:
            assert set(found) <= {"code", "state", "iss", "session_state"}
            assert bits_of(found["code"]) >= LEAST_BITS
        return Callback(found, parameters.get("state"), parameters.get("nonce"), verifier, visit)

    def _received(self, arrived: Arrival) -> dict[str, str]:
        """The parameters, which are in the one place the response mode says."""
        assert arrived.uri == self.redirect_uri
        assert arrived.fragment == ""
        if self.response_mode == "form_post":
            assert arrived.method == "POST"
            assert arrived.content_type == "application/x-www-form-urlencoded"
            assert arrived.query == {}
            return arrived.body
        assert arrived.method == "GET"
        assert arrived.body == {}
        return arrived.query

    def redeem(self, callback: Callback) -> TestResponse:
        """Present the code at the token endpoint."""
        form = {
            "grant_type": "authorization_code",
            "code": callback.code,
            "redirect_uri": self.redirect_uri,
        }
        return self.token(form | ({"code_verifier": callback.verifier} if callback.verifier else {}))

    def refresh(self, refresh_token: str, **more: str) -> TestResponse:
        """Present a refresh token."""
        return self.token({"grant_type": "refresh_token", "refresh_token": refresh_token, **more})

    def token(self, form: dict[str, str]) -> TestResponse:
        """Any token request, authenticated as the client is registered."""
        endpoint = self.metadata["token_endpoint"]
        if self.method == "client_secret_post":
            return self.wire.post(
                endpoint, form | {"client_id": self.client_id, "client_secret": self.secret}
            )
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}".encode()
        return self.wire.post(endpoint, form, Authorization="Basic " + base64.b64encode(pair).decode())

    def tokens(self, browser: Browser, **changes: Any) -> Tokens:
        """The whole flow, everything checked."""
        callback = self.authorize(browser, **changes)
        return self.checked(self.redeem(callback), callback)

    def checked(self, answer: TestResponse, callback: Callback) -> Tokens:
        """A token response (OIDC Core sections 3.1.3.3 and 3.1.3.7)."""
        response = check_token_response(answer)
        claims = self.read_id_token(response["id_token"], nonce=callback.nonce)
        assert claims["at_hash"] == half_hash(response["access_token"])
        return Tokens(response, claims, callback)

    def read_id_token(self, token: str, *, nonce: str | None = None) -> dict[str, Any]:
        """The claims of an ID token, verified with the published keys and held to the programme's rules."""
        decoded = jwt.decode(token, self.keys(), algorithms=["RS256"])
        assert decoded.header["alg"] == "RS256"
        assert decoded.header["kid"] in {key.kid for key in self.keys().keys}
        options = {"iss": {"value": self.issuer}, "aud": {"value": self.client_id}}
        params = {"client_id": self.client_id} | ({"nonce": nonce} if nonce else {})
        CodeIDToken(decoded.claims, decoded.header, options=options, params=params).validate(leeway=5)
        claims: dict[str, Any] = decoded.claims
        now = time.time()
        assert now < claims["exp"] < now + FIFTY_YEARS
        assert abs(now - claims["iat"]) < 300
        assert claims.get("nonce") == nonce
        assert claims["sub"]
        assert len(claims["sub"]) <= 255
        assert claims["acr"] != ""
        assert claims["auth_time"] <= now + 5
        return claims

    def userinfo(self, access_token: str) -> dict[str, Any]:
        """UserInfo by GET, which has to succeed."""
        answer = self.wire.get(self.metadata["userinfo_endpoint"], Authorization=f"Bearer {access_token}")
        assert answer.status_code == 200, answer.text
        assert answer.mimetype == "application/json"
        found: dict[str, Any] = answer.json
        return found


def check_error_members(found: dict[str, str]) -> None:
    """Only the members an error may have, no code beside it, a description of allowed characters."""
    assert set(found) <= ERROR_MEMBERS, found
    assert DESCRIPTION.fullmatch(found.get("error_description", ""))


def check_error(answer: TestResponse, error: str, status: int = 400) -> None:
    """An error response of the token endpoint (RFC 6749 section 5.2)."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    check_error_members(answer.json)
    assert answer.json["error"] == error


def check_token_response(answer: TestResponse) -> dict[str, Any]:
    """A successful token response (RFC 6749 section 5.1)."""
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    found: dict[str, Any] = answer.json
    assert found["token_type"].lower() == "bearer"
    assert isinstance(found["expires_in"], int)
    assert found["expires_in"] > 0
    assert bits_of(found["access_token"]) >= LEAST_BITS
    return found


def half_hash(token: str) -> str:
    """`at_hash` for RS256, computed from the words of OIDC Core section 3.1.3.6."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode("ascii")).digest()[:16]).rstrip(b"=").decode()
