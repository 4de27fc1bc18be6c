"""Signing compact JWTs with key objects already in memory (docs/decisions/0002-signing-fast-path.md).

JWS section 7.1 is three base64url segments; a general library spends more on it than the signature costs.
Verification, where the care is needed, goes through `infra.jose`.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from app.infra import json_text
from app.kernel.secrets import b64url

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

ED25519 = "EdDSA"
"""The name Ed25519 signatures carry in `alg`: today's libraries know the polymorphic one (RFC 8037 section 3.1)."""
SIGNING_ALGORITHMS = ("RS256", "PS256", "ES256", ED25519, "Ed25519")
"""What we sign with. A key belongs to one name of `alg`: relying parties compare it with the one in the JWKS."""
STANDING_ALGORITHMS = ("RS256", "ES256", ED25519)
"""The JWKS publishes a current and a next key of each of these; of the others once something asked for one."""

RSA_BITS = 2048
"""112 bits of strength (NIST SP 800-57) are enough for keys that rotate; 3072 bits cost three times as much to sign."""

_COORDINATE_BYTES = 32
_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def canonical_algorithm(alg: str) -> str:
    """One name for both of an algorithm: `Ed25519` (RFC 9864) makes the same signatures as `EdDSA`."""
    return ED25519 if alg == "Ed25519" else alg


class SigningKeyHandle:
    """A private key ready to sign: import happens once, never in a request."""

    __slots__ = ("_headers", "_sign", "alg", "kid", "private_key", "public_jwk")

    def __init__(self, alg: str, private_key: PrivateKey) -> None:
        self._sign = _signer(alg, private_key)
        self.alg = alg
        self.private_key = private_key
        self.public_jwk = public_jwk(alg, private_key)
        self.kid = self.public_jwk["kid"]
        self._headers: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"SigningKeyHandle({self.alg}, {self.kid})"

    @classmethod
    def generate(cls, alg: str) -> "SigningKeyHandle":
        """A new key of one of `SIGNING_ALGORITHMS`. RSA takes some 100 ms: not inside a transaction."""
        return cls(alg, _GENERATORS[alg]())

    @classmethod
    def from_der(cls, alg: str, der: bytes) -> "SigningKeyHandle":
        """The key of `to_der`. `der` has to come out of the vault: RSA's slow consistency check is left out."""
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        return cls(alg, cast(PrivateKey, key))

    def to_der(self) -> bytes:
        """The private key as unencrypted PKCS #8: for sealing only."""
        return self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, claims: Mapping[str, Any], typ: str, extra_header: Mapping[str, Any] | None = None) -> str:
        """See `sign`."""
        head = self._header(typ, extra_header) if extra_header else self._plain_header(typ)
        return self._signed(head, json_text.encode(claims))

    def sign_encoded(self, claims: bytes, typ: str) -> str:
        """As `sign`, of claims that are JSON already."""
        return self._signed(self._plain_header(typ), claims)

    def _signed(self, head: bytes, claims: bytes) -> str:
        signing_input = head + base64.urlsafe_b64encode(claims).rstrip(b"=")
        signature = base64.urlsafe_b64encode(self._sign(signing_input)).rstrip(b"=")
        return (signing_input + b"." + signature).decode("ascii")

    def _plain_header(self, typ: str) -> bytes:
        cached = self._headers.get(typ)
        if cached is None:
            cached = self._headers[typ] = self._header(typ, {})
        return cached

    def _header(self, typ: str, extra: Mapping[str, Any]) -> bytes:
        header = {**extra, "alg": self.alg, "typ": typ, "kid": self.kid}
        return b64url(_encode_json(header).encode("ascii")).encode("ascii") + b"."


def sign(
    claims: Mapping[str, Any],
    key: SigningKeyHandle,
    typ: str,
    extra_header: Mapping[str, Any] | None = None,
) -> str:
    """The compact JWS of `claims` (RFC 7515 section 7.1), its header naming the algorithm, `typ` and `kid`.

    Raises `TypeError` for what JSON cannot hold.
    """
    return key.sign(claims, typ, extra_header)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638 section 3.2; RFC 8037 section 2 for OKP)."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}[
        jwk["kty"]
    ]
    canonical = _encode_json({name: jwk[name] for name in members})
    return b64url(hashlib.sha256(canonical.encode("ascii")).digest())


def at_hash(token: str, alg: str) -> str:
    """The left half of the token's hash (OpenID Connect Core section 3.1.3.6); also `c_hash`.

    SHA-256 for every algorithm we sign with but Ed25519, whose own hash is SHA-512.
    """
    digest = hashlib.sha512 if canonical_algorithm(alg) == ED25519 else hashlib.sha256
    whole = digest(token.encode("ascii")).digest()
    return b64url(whole[: len(whole) // 2])


def public_jwk(alg: str, private_key: PrivateKey) -> dict[str, Any]:
    """The public half as it stands in the JWKS: `kid` is its thumbprint, `use` is `sig`."""
    jwk = _public_members(private_key)
    return {"kid": thumbprint(jwk), "use": "sig", "alg": alg, **jwk}


def _public_members(key: PrivateKey) -> dict[str, Any]:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        x, y = (b64url(c.to_bytes(_COORDINATE_BYTES)) for c in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw)}


def _integer(number: int) -> str:
    return b64url(number.to_bytes((number.bit_length() + 7) // 8))


def _signer(alg: str, key: PrivateKey) -> Callable[[bytes], bytes]:
    """How bytes are signed, with everything that does not depend on them prepared."""
    if alg == "RS256" and isinstance(key, rsa.RSAPrivateKey):
        pkcs1, sha256, rsa_sign = padding.PKCS1v15(), SHA256(), key.sign
        return lambda data: rsa_sign(data, pkcs1, sha256)
    if alg == "PS256" and isinstance(key, rsa.RSAPrivateKey):
        # RFC 7518 section 3.5: the salt is as long as the hash.
        pss, pss_hash, pss_sign = padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), SHA256(), key.sign
        return lambda data: pss_sign(data, pss, pss_hash)
    if alg == "ES256" and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        ecdsa, ec_sign = ec.ECDSA(SHA256()), key.sign
        return lambda data: _raw_signature(ec_sign(data, ecdsa))
    if canonical_algorithm(alg) == ED25519 and isinstance(key, Ed25519PrivateKey):
        return key.sign
    raise ValueError(f"this key is not one of {alg}")


def _raw_signature(der: bytes) -> bytes:
    """R and S side by side (RFC 7518 section 3.4) of a DER signature."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(_COORDINATE_BYTES) + s.to_bytes(_COORDINATE_BYTES)


_GENERATORS: dict[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "PS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    ED25519: Ed25519PrivateKey.generate,
    "Ed25519": Ed25519PrivateKey.generate,
}
