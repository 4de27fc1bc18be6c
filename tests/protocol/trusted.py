"""An issuer outside this server, as tests imitate one: its keys, its tokens, and how a tenant comes to trust it."""

import secrets
from typing import Any

from joserfc import jwk, jwt
from joserfc.jws import JWSRegistry

from app.domain.models import TrustedIssuer
from app.domain.tenants import TenantContext
from app.domain.trusted_issuers import validate
from app.kernel import clock
from app.web.services import Services


class Issuer:
    """Signs tokens the way a CI system or a cluster does."""

    def __init__(self, issuer: str, alg: str = "ES256") -> None:
        self.issuer = issuer
        self.alg = alg
        self.key = self.new_key("k1")

    def new_key(self, kid: str) -> Any:
        if self.alg.startswith(("RS", "PS")):
            return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": self.alg})
        return jwk.ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": self.alg})

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def token(
        self, audience: Any, *, header: dict[str, Any] | None = None, key: Any = None, **claims: Any
    ) -> str:
        """A good token for `audience`; None takes a claim out."""
        now = clock.timestamp(clock.now())
        key = key or self.key
        said = {
            "iss": self.issuer,
            "sub": "repo:example/app:ref:refs/heads/main",
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        head = {"alg": self.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        algorithms = [head["alg"]] if head["alg"] in JWSRegistry.algorithms else None
        return jwt.encode(head, said, key, algorithms=algorithms)

    def trusted_by(self, services: Services, tenant: TenantContext, **definition: Any) -> None:
        """Have the tenant trust it, with its keys in place unless said otherwise."""
        said = {"jwks": self.jwks, **definition}
        said = {name: value for name, value in said.items() if value is not None}
        with services.tenancy.session(tenant.id, write=True) as session:
            session.merge(TrustedIssuer(tenant_id=tenant.id, issuer=self.issuer, definition=validate(said)))
        services.versions.touch()
