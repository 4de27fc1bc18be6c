"""Certificates that are shown to us: read from what carries them, and what is in them.

Nothing here says that a certificate is to be trusted: whoever ended TLS checked its chain, or
`infra.certificate_chains` does, or nobody did.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import b64url

MAX_BYTES = 16_384

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the library finds in a certificate only when it looks closer."""
_MODEL = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
"""`id-fido-gen-ce-aaguid`."""
_FIELD = re.compile(r":([A-Za-z0-9+/]+={0,2}):")


class InvalidCertificate(Problem):
    """Something that is no certificate, or one that cannot be read."""

    def __init__(self, detail: str) -> None:
        super().__init__("client.certificate_malformed", "The certificate cannot be read.", detail=detail)


@dataclass(frozen=True, slots=True)
class Presented:
    """A certificate somebody showed in a TLS handshake, and has the private key of."""

    der: bytes
    is_verified: bool
    """Whether whoever ended TLS found that an authority of the deployment issued it, and that it is in force."""

    @property
    def thumbprint(self) -> str:
        """What tokens are bound to it by: `x5t#S256` (RFC 8705 section 3.1)."""
        return b64url(hashlib.sha256(self.der).digest())


def of_field(value: str) -> bytes:
    """The certificate of a `Client-Cert` field: a byte sequence between colons (RFC 9440 section 2.1).

    Raises `InvalidCertificate`.
    """
    found = _FIELD.fullmatch(value.strip()) if len(value) <= MAX_BYTES else None
    if found is None:
        raise InvalidCertificate("no byte sequence between colons")
    try:
        return _checked(base64.b64decode(found[1], validate=True))
    except binascii.Error as fault:
        raise InvalidCertificate(str(fault)) from None


def of_escaped(value: str) -> bytes:
    """The certificate of nginx's `$ssl_client_escaped_cert`: PEM, percent-encoded. Raises `InvalidCertificate`."""
    return of_pem(unquote_to_bytes(value) if len(value) <= 2 * MAX_BYTES else b"")


def of_pem(text: bytes) -> bytes:
    """The one certificate of a PEM text. Raises `InvalidCertificate`."""
    found = _PEM.fullmatch(text.strip())
    if found is None:
        raise InvalidCertificate("not one certificate in PEM")
    try:
        return _checked(base64.b64decode(b"".join(found[1].split()), validate=True))
    except binascii.Error as fault:
        raise InvalidCertificate(str(fault)) from None


def to_pem(der: bytes) -> bytes:
    """A certificate in PEM. Raises `InvalidCertificate`."""
    return _load(der).public_bytes(Encoding.PEM)


def of_x5c(value: object) -> bytes | None:
    """The certificate of a JWK, the first of its `x5c` (RFC 7517 section 4.7); None when it has none to read."""
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        return None
    try:
        return _checked(base64.b64decode(value[0], validate=True))
    except (binascii.Error, ValueError, InvalidCertificate):
        return None


def is_in_force(der: bytes) -> bool:
    """Whether now is within the certificate's time."""
    certificate = _load(der)
    try:
        return certificate.not_valid_before_utc <= clock.now() <= certificate.not_valid_after_utc
    except ValueError:
        return False


def names(der: bytes, member: str, value: str) -> bool:
    """Whether the certificate's subject is what a client registered (RFC 8705 section 2.1.2), as the member says."""
    certificate = _load(der)
    try:
        if member == "tls_client_auth_subject_dn":
            return _comparable(certificate.subject) == _comparable(_parse_name(value))
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except _UNREADABLE:
        return False
    if member == "tls_client_auth_san_dns":
        return value.lower() in {name.lower() for name in alternatives.get_values_for_type(x509.DNSName)}
    if member == "tls_client_auth_san_uri":
        return value in alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    if member == "tls_client_auth_san_email":
        return value in alternatives.get_values_for_type(x509.RFC822Name)
    if member == "tls_client_auth_san_ip":
        return ipaddress.ip_address(value) in alternatives.get_values_for_type(x509.IPAddress)
    return False


def public_members(der: bytes) -> dict[str, str] | None:
    """The certificate's public key as the members of a JWK; None for a key of a kind we do not know."""
    try:
        key = _load(der).public_key()
    except _UNREADABLE:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url(point.x.to_bytes(32)),
            "y": b64url(point.y.to_bytes(32)),
        }
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return None


def model(der: bytes) -> str | None:
    """The AAGUID of the authenticators a certificate is for (WebAuthn section 8.2.1); None when it names none.

    Raises `InvalidCertificate` for one that cannot be read, or names it in another way than that.
    """
    try:
        found = _load(der).extensions.get_extension_for_oid(_MODEL)
    except x509.ExtensionNotFound:
        return None
    except _UNREADABLE as fault:
        raise InvalidCertificate(str(fault)[:200]) from None
    value = found.value.value if isinstance(found.value, x509.UnrecognizedExtension) else b""
    # An octet string of 16 bytes.
    if found.critical or len(value) != 18 or value[:2] != b"\x04\x10":
        raise InvalidCertificate("a malformed AAGUID")
    return str(UUID(bytes=value[2:]))


def attests_authenticators(der: bytes) -> bool:
    """Whether a certificate is of the kind `packed` attestation asks for (WebAuthn section 8.2.1): version 3, of the
    unit "Authenticator Attestation", and no authority's."""
    certificate = _load(der)
    try:
        units = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except _UNREADABLE:
        return False
    named = [unit.value for unit in units] == ["Authenticator Attestation"]
    return named and certificate.version is x509.Version.v3 and not basic.ca


def is_distinguished_name(text: str) -> bool:
    """Whether a text is a distinguished name (RFC 4514) that certificates can be compared with."""
    try:
        return bool(_comparable(_parse_name(text)))
    except ValueError:
        return False


_NAMES = {
    "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    "E": x509.NameOID.EMAIL_ADDRESS,
    "SN": x509.NameOID.SURNAME,
}


def _parse_name(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text, _NAMES)


def _comparable(name: x509.Name) -> list[frozenset[tuple[str, str]]]:
    """A name without what does not distinguish it: the kinds of its strings, and outer spaces."""
    return [frozenset((part.oid.dotted_string, str(part.value).strip()) for part in rdn) for rdn in name.rdns]


def _checked(der: bytes) -> bytes:
    _load(der)
    return der


def _load(der: bytes) -> x509.Certificate:
    if len(der) > MAX_BYTES:
        raise InvalidCertificate(f"{len(der)} bytes")
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as fault:
        raise InvalidCertificate(str(fault)[:200]) from None


def _integer(number: int) -> str:
    return b64url(number.to_bytes((number.bit_length() + 7) // 8))
