"""A client's DPoP key, for tests: proofs that hold, and every kind that does not."""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from app.infra.signing import SigningKeyHandle, thumbprint
from app.kernel import clock
from app.kernel.secrets import b64url

_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


@dataclass
class Prover:
    """A key that makes proofs for the addresses of one issuer."""

    issuer: str
    alg: str = "ES256"
    key: SigningKeyHandle = field(init=False)

    def __post_init__(self) -> None:
        self.key = SigningKeyHandle.generate(self.alg)

    @property
    def jwk(self) -> dict[str, Any]:
        return {name: value for name, value in self.key.public_jwk.items() if name in _MEMBERS}

    @property
    def jkt(self) -> str:
        return thumbprint(self.jwk)

    def claims(
        self, method: str = "POST", path: str = "/token", token: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        claims = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": self.issuer + path,
            "iat": clock.timestamp(clock.now()),
            "ath": None if token is None else b64url(hashlib.sha256(token.encode()).digest()),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], *, typ: str = "dpop+jwt", jwk: Any = ...) -> str:
        header = {} if jwk is None else {"jwk": self.jwk if jwk is ... else jwk}
        return self.key.sign(claims, typ, header)

    def proof(
        self, method: str = "POST", path: str = "/token", token: str | None = None, **changes: Any
    ) -> str:
        return self.sign(self.claims(method, path, token, **changes))

    def header(self, path: str = "/token", **changes: Any) -> dict[str, str]:
        return {"DPoP": self.proof("POST", path, **changes)}

    def at(self, path: str, token: str, method: str = "GET", **changes: Any) -> dict[str, str]:
        """The headers that present a token."""
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, path, token, **changes)}
