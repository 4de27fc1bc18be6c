"""A passkey in software: answers challenges the way an authenticator does (WebAuthn sections 6.3.3 and 6.5)."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from app.domain import authenticators, users
from app.domain.models import Authenticator
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.secrets import b64url
from app.protocols.login.factors import passkey
from app.web.services import Services

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class SecurityKey:
    """One credential for one relying party."""

    rp_id: str
    origin: str
    handle: bytes = b""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    counter: int = 0

    @property
    def public_key(self) -> bytes:
        """As COSE has it (RFC 9053 section 7.1.1)."""
        numbers = self.key.public_key().public_numbers()
        x, y = (n.to_bytes(32, "big") for n in (numbers.x, numbers.y))
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def attest(self, challenge: str) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`."""
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + self.public_key
        data = self._data(PRESENT | VERIFIED | ATTESTED) + attested
        client = self._client("webauthn.create", challenge)
        said = {"fmt": "none", "attStmt": {}, "authData": data}
        return self._answer(clientDataJSON=b64url(client), attestationObject=b64url(cbor2.dumps(said)))

    def sign(self, challenge: str, *, verified: bool = True, origin: str = "") -> dict[str, Any]:
        """The answer to `navigator.credentials.get`."""
        self.counter += 1
        data = self._data(PRESENT | (VERIFIED if verified else 0))
        client = self._client("webauthn.get", challenge, origin)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            clientDataJSON=b64url(client),
            authenticatorData=b64url(data),
            signature=b64url(signature),
            userHandle=b64url(self.handle),
        )

    def _data(self, flags: int) -> bytes:
        rp = hashlib.sha256(self.rp_id.encode()).digest()
        return rp + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, origin: str = "") -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": origin or self.origin}
        return json.dumps(said).encode()

    def _answer(self, **response: str) -> dict[str, Any]:
        lookup = b64url(self.id)
        return {"id": lookup, "rawId": lookup, "type": "public-key", "response": response}


def new_key(services: Services, tenant: TenantContext) -> SecurityKey:
    """A key nobody registered yet."""
    return SecurityKey(passkey.rp_id(tenant), passkey.origins(tenant)[0])


def registered(services: Services, tenant: TenantContext, user_id: str) -> SecurityKey:
    """The key of somebody."""
    made = new_key(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        made.handle = passkey.handle_of(services.deployment_secrets.pepper(), user)
        session.add(
            Authenticator(
                user_id=user_id,
                kind=authenticators.PASSKEY,
                name="Key",
                lookup=b64url(made.id),
                data={
                    "public_key": b64url(made.public_key),
                    "user_handle": b64url(made.handle),
                    "aaguid": "",
                    "transports": [],
                    "synced": False,
                    "backed_up": False,
                },
                counter=0,
                confirmed_at=clock.now(),
            )
        )
    return made
