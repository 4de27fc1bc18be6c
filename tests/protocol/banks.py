"""A client with a key of its own: pushes and signs requests, proves keys, reads signed answers."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import TestResponse

from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.signing import SigningKeyHandle
from app.kernel import clock
from app.web.services import Services
from tests.conftest import Http
from tests.protocol import parties
from tests.protocol.browserless import CHALLENGE, REDIRECT_URI, VERIFIER, Answer, Person, answer_of, request

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Bank:
    """One confidential client that signs, and the person at its counter."""

    services: Services
    tenant: TenantContext
    http: Http
    client_id: str
    key: SigningKeyHandle
    proof_key: SigningKeyHandle = field(default_factory=lambda: SigningKeyHandle.generate("ES256"))

    @classmethod
    def open(cls, services: Services, tenant: TenantContext, http: Http, **metadata: Any) -> "Bank":
        """Register one. `alg` is what its key is of."""
        key = SigningKeyHandle.generate(metadata.pop("alg", "ES256"))
        said = {
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [key.public_jwk]},
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access read write",
            **metadata,
        }
        said = {name: value for name, value in said.items() if value is not None}
        party = parties.new_client(services, tenant, **said)
        return cls(services, tenant, http, party.client_id, key)

    def assertion(self, key: SigningKeyHandle | None = None, **changes: Any) -> dict[str, str]:
        """Client authentication for one request."""
        now = clock.timestamp(clock.now())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.tenant.issuer,
            "jti": secrets.token_urlsafe(8),
            "iat": now,
            "exp": now + 60,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION,
            "client_assertion": (key or self.key).sign(claims, "JWT"),
        }

    def asked(self, **changes: Any) -> dict[str, Any]:
        """The parameters of a good request; None takes one out."""
        return request(self.client_id, **changes)

    def object(
        self,
        *,
        signed_by: SigningKeyHandle | None = None,
        typ: str | None = "oauth-authz-req+jwt",
        about: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A request object; `about` are the claims that are no parameters."""
        now = clock.timestamp(clock.now())
        usual = {
            "iss": self.client_id,
            "aud": self.tenant.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": secrets.token_urlsafe(8),
        }
        claims = {**self.asked(**changes), **usual, **(about or {})}
        claims = {name: value for name, value in claims.items() if value is not None}
        return (signed_by or self.key).sign(claims, typ or "JWT")

    def push(
        self, form: dict[str, Any] | None = None, *, proof: bool = False, **changes: Any
    ) -> TestResponse:
        """Send a request to the pushing endpoint."""
        asked = self.asked(**changes) if form is None else form
        return self.post("/par", {**self.assertion(), **asked}, proof=proof)

    def pushed(self, form: dict[str, Any] | None = None, **changes: Any) -> str:
        """The name of a request that was accepted."""
        answer = self.push(form, **changes)
        assert answer.status_code == 201, answer.text
        assert answer.json is not None
        return str(answer.json["request_uri"])

    def go(self, person: Person, request_uri: str, **beside: str) -> TestResponse:
        """Send the person's browser with it; gives the first page, or the answer."""
        query = {"client_id": self.client_id, "request_uri": request_uri, **beside}
        return person.follow(self.http.get("/authorize", query=query))

    def through(self, person: Person, request_uri: str) -> Answer:
        """Whatever pages come, sign in and allow."""
        response = self.go(person, request_uri)
        for _ in range(4):
            if 'id="sign-in"' in response.text:
                response = person.sign_in(response)
            elif 'id="allow"' in response.text:
                response = person.allow(response)
            else:
                break
        return answer_of(response)

    def proof(
        self, path: str, *, key: SigningKeyHandle | None = None, token: str = "", **changes: Any
    ) -> str:
        """A DPoP proof for a POST to one of our endpoints."""
        key = key or self.proof_key
        claims = {
            "jti": secrets.token_urlsafe(8),
            "htm": "POST",
            "htu": self.tenant.issuer + path,
            "iat": clock.timestamp(clock.now()),
            **changes,
        }
        if token:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        public = {k: v for k, v in key.public_jwk.items() if k in ("kty", "crv", "x", "y", "n", "e")}
        return key.sign(claims, "dpop+jwt", {"jwk": public})

    def redeem(self, code: str, *, proof: bool = True, **changes: Any) -> TestResponse:
        """Present a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
            **self.assertion(),
            **changes,
        }
        form = {name: value for name, value in form.items() if value is not None}
        return self.post("/token", form, proof=proof)

    def refresh(
        self, token: str, *, proof: bool = True, key: SigningKeyHandle | None = None, **changes: Any
    ) -> TestResponse:
        """Present a refresh token, with a proof of `key`."""
        form = {"grant_type": "refresh_token", "refresh_token": token, **self.assertion(), **changes}
        return self.post("/token", form, proof=proof, key=key)

    def post(
        self,
        path: str,
        form: dict[str, Any],
        *,
        proof: bool = False,
        key: SigningKeyHandle | None = None,
        **about: Any,
    ) -> TestResponse:
        """A form to one of our endpoints, with a proof of `key` or the bank's own; `about` are claims of the proof."""
        headers = {"DPoP": self.proof(path, key=key, **about)} if proof else {}
        return self.http.post(path, form=form, headers=headers)

    def read(self, token: str) -> jose.Verified:
        """Header and claims of a token of ours, verified."""
        return jose.verify(
            token, self.services.keyring.verification_keys(self.tenant.id), algorithms=jose.SIGNING_ALGORITHMS
        )

    def jarm(self, answer: Answer) -> dict[str, Any]:
        """What a signed answer says; there is nothing beside it."""
        assert set(answer.parameters) == {"response"}, answer.parameters
        return dict(self.read(answer.parameters["response"]).claims)


def reasons(services: Services, tenant: TenantContext, event: str) -> list[str]:
    """Why what was refused, as the audit's stream has it, oldest first."""
    stream = services.state.read_stream([tenant.id], "audit", f"t{secrets.token_hex(4)}", count=1000)
    found = [json.loads(entry.entry) for entry in stream.get(tenant.id, ())]
    return [entry["reason"] for entry in found if entry["event"] == event]


__all__ = ["CHALLENGE", "REDIRECT_URI", "VERIFIER", "Bank", "reasons"]
