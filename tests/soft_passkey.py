"""An authenticator made of software: makes passkeys and shows them, as a browser would hand them on (WebAuthn level 3).

Chromium's virtual one is driven in `tests/browser`; this one says what that one cannot: that a key is synced, that its
answer was made on another origin, that its counter stands still.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from app.kernel.secrets import b64url, unb64url

NO_MODEL = UUID(int=0)
Attest = Callable[[bytes, bytes, ec.EllipticCurvePublicKey], tuple[str, dict[str, Any]]]
"""Makes format and statement of authenticator data, client data and the passkey's key."""
PRESENT, VERIFIED, MAY_SYNC, SYNCED, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


def options_of(html: str) -> dict[str, Any]:
    """What a page asks of the browser."""
    found = re.search(r'data-passkey="([^"]+)"', html)
    assert found, html
    options: dict[str, Any] = json.loads(unescape(found[1]))
    return options


class SoftPasskey:
    """One passkey. `origin` is where the page is that the browser shows, `model` the AAGUID. `attest` signs that it is
    of that model, for its manufacturer; without, it says so itself."""

    def __init__(
        self,
        origin: str,
        *,
        synced: bool,
        verifies: bool,
        model: UUID = NO_MODEL,
        attest: Attest | None = None,
    ) -> None:
        self.origin = origin
        self._attest = attest
        self.model = model
        self.counter = 0
        self.verifies = verifies
        self.backup = MAY_SYNC | SYNCED if synced else 0
        """Whether it may be kept elsewhere as well, and whether it is (section 6.1.3)."""
        self.id = os.urandom(32)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.handle = b""

    @property
    def public_key(self) -> bytes:
        """As COSE has it (RFC 9053 section 7.1.1)."""
        numbers = self._key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})

    def create(self, options: dict[str, Any]) -> str:
        """Answer a request to make one (section 7.1), with an attestation where that is asked for (section 8)."""
        self.handle = unb64url(options["user"]["id"])
        attested = self.model.bytes + len(self.id).to_bytes(2, "big") + self.id + self.public_key
        data = self._authenticator_data(options["rp"]["id"], ATTESTED) + attested
        client = self._client_data("webauthn.create", options["challenge"])
        said: dict[str, Any] = {"fmt": "none", "attStmt": {}, "authData": data}
        if options["attestation"] == "direct":
            itself = "packed", {"alg": -7, "sig": self._sign(data, client)}
            signed = self._attest(data, client, self._key.public_key()) if self._attest else itself
            said["fmt"], said["attStmt"] = signed
        return self._answer(clientDataJSON=client, attestationObject=cbor2.dumps(said))

    def get(self, options: dict[str, Any]) -> str:
        """Answer a request to show it (section 7.2)."""
        data = self._authenticator_data(options["rpId"])
        client = self._client_data("webauthn.get", options["challenge"])
        return self._answer(
            clientDataJSON=client,
            authenticatorData=data,
            signature=self._sign(data, client),
            userHandle=self.handle,
        )

    def _sign(self, data: bytes, client: bytes) -> bytes:
        return self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))

    def _authenticator_data(self, rp_id: str, more: int = 0) -> bytes:
        flags = bytes([PRESENT | (VERIFIED if self.verifies else 0) | self.backup | more])
        return hashlib.sha256(rp_id.encode()).digest() + flags + self.counter.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response: bytes) -> str:
        written = {name: b64url(value) for name, value in response.items()}
        credential_id = b64url(self.id)
        return json.dumps(
            {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": written}
        )
