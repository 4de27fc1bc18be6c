"""Makers of authenticators: certificates that vouch for models, attestation signed with them, and the FIDO metadata."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from app.kernel import clock
from app.kernel.secrets import b64url

AAGUID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
UNIT = "Authenticator Attestation"
SIGNER = "mds.fidoalliance.org"
ALWAYS = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC))
YESTERDAY = (datetime(2020, 1, 1, tzinfo=UTC), clock.now() - timedelta(days=1))
Statement = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Certified:
    """A certificate and its key, with those between it and a root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple["Certified", ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain(self) -> list[bytes]:
        """As a statement carries it: without the root."""
        return [self.der, *(each.der for each in self.above)]

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def packed(self, data: bytes, client: bytes, public: ec.EllipticCurvePublicKey) -> Statement:
        """WebAuthn section 8.2."""
        signature = self.sign(data + hashlib.sha256(client).digest())
        return "packed", {"alg": -7, "sig": signature, "x5c": self.chain}

    def tpm(self, data: bytes, client: bytes, public: ec.EllipticCurvePublicKey) -> Statement:
        """Section 8.3: the key is described, and that description certified."""
        numbers = public.public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        # TPMT_PUBLIC: ECC, named by SHA-256, no policy, no scheme, on P-256.
        area = bytes.fromhex("0023 000b 00060472 0000 0010 0010 0003 0010") + _sized(x) + _sized(y)
        name = b"\x00\x0b" + hashlib.sha256(area).digest()
        signed = hashlib.sha256(data + hashlib.sha256(client).digest()).digest()
        info = b"\xffTCG\x80\x17" + _sized(b"") + _sized(signed) + bytes(17 + 8) + _sized(name) + _sized(b"")
        statement = {"ver": "2.0", "alg": -7, "x5c": self.chain, "sig": self.sign(info)}
        return "tpm", {**statement, "certInfo": info, "pubArea": area}


def issued(
    names: Mapping[x509.ObjectIdentifier, str],
    by: Certified | None = None,
    *,
    ca: bool = False,
    times: tuple[datetime, datetime] = ALWAYS,
    more: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Certified:
    """A certificate of these names, by somebody or self-signed. `more`: extensions, and whether they are critical."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names.items()])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(times[0])
        .not_valid_after(times[1])
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    above = (by, *by.above) if by and by.above else (by,) if by and not _is_root(by) else ()
    return Certified(builder.sign(by.key if by else key, hashes.SHA256()), key, above)


def authority(name: str, by: Certified | None = None) -> Certified:
    """One that issues others."""
    return issued({x509.NameOID.COMMON_NAME: name}, by, ca=True)


@dataclass
class Manufacturer:
    """Makes authenticators, each batch with a certificate that leads to the root over an intermediate one."""

    name: str = "Example Keys"
    root: Certified = field(init=False)
    between: Certified = field(init=False)

    def __post_init__(self) -> None:
        self.root = authority(f"{self.name} Root")
        self.between = authority(f"{self.name} Batches", self.root)

    def batch(
        self,
        model: UUID | None,
        *,
        unit: str = UNIT,
        by: Certified | None = None,
        ca: bool = False,
        times: tuple[datetime, datetime] = ALWAYS,
        critical: bool = False,
    ) -> Certified:
        """The certificate of a batch of authenticators of a model, as `packed` attestation wants it (8.2.1)."""
        more = [(x509.UnrecognizedExtension(AAGUID, b"\x04\x10" + model.bytes), critical)] if model else []
        names = {
            x509.NameOID.COUNTRY_NAME: "SE",
            x509.NameOID.ORGANIZATION_NAME: self.name,
            x509.NameOID.ORGANIZATIONAL_UNIT_NAME: unit,
            x509.NameOID.COMMON_NAME: f"{self.name} Batch",
        }
        return issued(names, by or self.between, ca=ca, times=times, more=more)

    def tpm(self) -> Certified:
        """The certificate of the attestation key of a TPM (8.3.1), which names no model."""
        said = (("2.23.133.2.1", "id:53544D20"), ("2.23.133.2.2", "Model"), ("2.23.133.2.3", "id:13"))
        parts = [x509.NameAttribute(x509.ObjectIdentifier(oid), value) for oid, value in said]
        alternative = x509.SubjectAlternativeName([x509.DirectoryName(x509.Name(parts))])
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.23.133.8.3")])
        return issued({}, self.between, more=[(alternative, True), (usage, False)])


def signer(root: Certified, name: str = SIGNER, times: tuple[datetime, datetime] = ALWAYS) -> Certified:
    """Who signs FIDO's file."""
    alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
    between = authority("Example Extended Validation", root)
    return issued({x509.NameOID.COMMON_NAME: name}, between, times=times, more=[(alternative, False)])


def entry(
    model: UUID, *anchors: Certified, reports: Sequence[str] = ("FIDO_CERTIFIED_L1",)
) -> dict[str, Any]:
    """What the file says of a model."""
    return {
        "aaguid": str(model),
        "metadataStatement": {
            "description": "Example Key",
            "attestationRootCertificates": [_base64(each.der) for each in anchors],
        },
        "statusReports": [{"status": each, "effectiveDate": "2026-01-01"} for each in reports],
        "timeOfLastStatusChange": "2026-01-01",
    }


def blob(by: Certified, *entries: dict[str, Any], next_update: str = "2059-01-01", **header: Any) -> bytes:
    """The file (FIDO Metadata Service section 3.1.7)."""
    head = {"alg": "ES256", "typ": "JWT", "x5c": [_base64(der) for der in by.chain], **header}
    body = {"legalHeader": "...", "no": 7, "nextUpdate": next_update, "entries": list(entries)}
    said = b".".join(b64url(json.dumps(part).encode()).encode() for part in (head, body))
    r, s = decode_dss_signature(by.sign(said))
    return said + b"." + b64url(r.to_bytes(32, "big") + s.to_bytes(32, "big")).encode()


def written(folder: Path, **files: bytes) -> dict[str, Path]:
    """Files for settings to name."""
    found = {name: folder / f"{name}.pem" for name in files}
    for name, content in files.items():
        found[name].write_bytes(content)
    return found


def _is_root(found: Certified) -> bool:
    return found.certificate.issuer == found.certificate.subject


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value
