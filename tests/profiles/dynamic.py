"""Clients that come over the wire: they register, are checked as the programme checks registration, and are deleted."""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.test import TestResponse

from app.domain import tenants
from app.domain.models import Tenant
from app.infra.tenancy import SystemReason
from tests.profiles.conftest import CALLBACK, Provider, Providers, new_provider
from tests.profiles.front import Front
from tests.profiles.relying_party import RelyingParty, Wire

SETTINGS = {"registration": {"clients": "open"}, "profile": "oidc-legacy", "legacy_response_types": True}
"""As "With dynamic_client" in the Config plan and the Dynamic plan want a provider."""
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
REGISTERED = "client_id redirect_uris grant_types response_types token_endpoint_auth_method".split()


def new_key(kid: str = "") -> RSAKey:
    """A client's key, of RS256."""
    return RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(4), "use": "sig", "alg": "RS256"})


def public(*keys: RSAKey) -> dict[str, Any]:
    """Their JWK Set."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


class Host:
    """The host of a relying party, on loopback: keys, request objects, sectors and pictures lie there."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                outer.asked.append(path)
                kind, body = outer.files.get(path, ("text/plain", b"nothing"))
                self.send_response(200 if path in outer.files else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def put(self, path: str, kind: str, content: Any) -> str:
        """Have something lie at a path; gives its address."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.files[path] = (kind, body)
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class DynamicParty(RelyingParty):
    """A client that registered itself. What it was told is in `told`."""

    key: RSAKey = field(default_factory=new_key)
    told: dict[str, Any] = field(default_factory=dict)

    def token(self, form: dict[str, str]) -> TestResponse:
        """Any token request, authenticated as the client is registered."""
        if self.method != "private_key_jwt":
            return super().token(form)
        return self.with_assertion(form, self.assertion())

    def with_assertion(self, form: dict[str, str], assertion: str) -> TestResponse:
        """The same with an assertion of the caller's."""
        proof = {"client_assertion_type": ASSERTION, "client_assertion": assertion}
        return self.wire.post(self.metadata["token_endpoint"], form | proof)

    def assertion(self, **claims: Any) -> str:
        """As the programme makes them: for the token endpoint, good for a minute."""
        now = int(time.time())
        said = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.metadata["token_endpoint"],
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + 60,
            **claims,
        }
        return self.signed(said)

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        """A JWT by the client's key, of RS256."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid, **header}, claims, self.key)

    def with_key(self, key: RSAKey) -> "DynamicParty":
        """The same client with another key."""
        return dataclasses.replace(self, key=key)

    def configuration(self, method: str = "GET", **options: Any) -> TestResponse:
        """A request to the client configuration endpoint, with the client's token."""
        headers = {"Authorization": f"Bearer {self.told['registration_access_token']}"}
        return self.wire.send(method, self.told["registration_client_uri"], headers=headers, **options)


class DynamicProvider:
    """A provider where anybody may register clients."""

    def __init__(self, front: Front) -> None:
        self.provider: Provider = new_provider(front)
        services = front.services
        with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            tenants.update_settings(session.get_one(Tenant, self.provider.tenant.id), SETTINGS)
        services.versions.touch()
        self.wire = Wire(front)
        self.issuer = self.provider.tenant.issuer

    @property
    def metadata(self) -> dict[str, Any]:
        """What it publishes."""
        found: dict[str, Any] = self.wire.get(self.issuer + "/.well-known/openid-configuration").json
        return found

    def ask(self, **members: Any) -> TestResponse:
        """A registration request as the programme sends it; None takes a member out."""
        said = {
            "client_name": f"conformance {secrets.token_hex(4)}",
            "redirect_uris": [CALLBACK],
            "contacts": ["certification@rp.example.com"],
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "private_key_jwt",
            **members,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return self.wire.send("POST", self.metadata["registration_endpoint"], json=said)

    @contextlib.contextmanager
    def client(self, *, key: RSAKey | None = None, **members: Any) -> Iterator[DynamicParty]:
        """A client for as long as it is used, its keys in its registration unless said otherwise."""
        key = key or new_key()
        keys = {} if "jwks_uri" in members else {"jwks": public(key)}
        answer = self.ask(**keys, **members)
        told = check_registration(answer)
        redirect_uri = told["redirect_uris"][0]
        party = DynamicParty(
            self.wire,
            self.issuer,
            told["client_id"],
            told.get("client_secret", ""),
            redirect_uri,
            method=told["token_endpoint_auth_method"],
            key=key,
            told=told,
        )
        yield party
        gone = party.configuration("DELETE")
        assert gone.status_code == 204, gone.text
        assert party.configuration().status_code == 401


Dynamic = Callable[[str], DynamicProvider]


@pytest.fixture(scope="session")
def dynamic_providers(_providers: Providers) -> Dynamic:
    """One behind each front, for the whole run."""
    return functools.cache(lambda name: DynamicProvider(_providers(name).front))


@pytest.fixture
def op(front: Front, dynamic_providers: Dynamic) -> DynamicProvider:
    """The provider under test."""
    return dynamic_providers(front.name)


def check_registration(answer: TestResponse) -> dict[str, Any]:
    """A registration response (RFC 7591 section 3.2.1), with everything the programme looks at."""
    assert answer.status_code == 201, answer.text
    assert answer.mimetype == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    told: dict[str, Any] = answer.json
    assert set(REGISTERED) <= set(told)
    assert ("client_secret" in told) == told["token_endpoint_auth_method"].startswith("client_secret")
    assert ("client_secret_expires_at" in told) == ("client_secret" in told)
    assert ("registration_access_token" in told) == ("registration_client_uri" in told)
    assert told["registration_client_uri"].startswith("https://")
    return told


def digest_of(text: str) -> str:
    """What follows `#` in a request_uri (OpenID Connect Core section 6.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
