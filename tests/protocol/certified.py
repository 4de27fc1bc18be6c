"""Certificates for tests: an authority, what it issues, and certificates nobody issued."""

import base64
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from app.infra.signing import public_jwk
from app.kernel import clock


def name(common_name: str) -> x509.Name:
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example, Inc")
    return x509.Name([organization, x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Certified:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def field(self) -> str:
        """As `Client-Cert` (RFC 9440)."""
        return f":{base64.b64encode(self.der).decode()}:"

    @property
    def escaped(self) -> str:
        """As nginx's `$ssl_client_escaped_cert`."""
        return quote(self.pem, safe="")

    @property
    def jwk(self) -> dict[str, Any]:
        """With the whole certificate."""
        return {**public_jwk("ES256", self.key), "x5c": [base64.b64encode(self.der).decode()]}

    def write(self, folder: Path, stem: str) -> tuple[str, str]:
        """Files of the certificate and the key, for whoever opens a TLS connection with them."""
        certificate, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        certificate.write_text(self.pem)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(certificate), str(key)


class Authority:
    """Issues certificates to clients."""

    def __init__(self, common_name: str = "Clients") -> None:
        self.root = certified(common_name, ca=True)

    def issue(self, common_name: str = "client", **members: Any) -> Certified:
        return certified(common_name, issuer=self.root, **members)


def certified(
    common_name: str = "client",
    *,
    issuer: Certified | None = None,
    alternatives: tuple[x509.GeneralName, ...] = (),
    starts: int = -60,
    ends: int = 86_400,
    ca: bool = False,
) -> Certified:
    """A certificate, self-signed unless somebody issues it. Times in seconds from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() + timedelta(seconds=starts))
        .not_valid_after(clock.now() + timedelta(seconds=ends))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return Certified(builder.sign(issuer.key if issuer else key, SHA256()), key)


EVERY_ALTERNATIVE = (
    x509.DNSName("client.example.com"),
    x509.UniformResourceIdentifier("spiffe://example.com/client"),
    x509.IPAddress(ip_address("2001:db8::7")),
    x509.RFC822Name("client@example.com"),
)
