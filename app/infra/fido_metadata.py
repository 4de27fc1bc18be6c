"""The FIDO Metadata Service's file (version 3): whose certificates vouch for a model, and which models are broken.

The operator puts it there and gives the certificate it has to lead to; nothing is fetched. FIDO's own leads to a public
authority, which has many other customers: so the file has to be signed by whoever is `SIGNER`.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from app.infra import certificate_chains, certificates, jose
from app.infra.certificates import InvalidCertificate
from app.kernel import clock
from app.kernel.errors import ConfigurationError, Problem

MAX_BYTES = 1 << 25
SIGNER = "mds.fidoalliance.org"
BROKEN = frozenset(
    {
        "REVOKED",
        "USER_VERIFICATION_BYPASS",
        "ATTESTATION_KEY_COMPROMISE",
        "USER_KEY_REMOTE_COMPROMISE",
        "USER_KEY_PHYSICAL_COMPROMISE",
    }
)
"""What a report may say of a model that is reason to refuse it (FIDO Metadata Service section 3.1.4). A later one does
not take it back: an update there is says nothing about the authenticator in hand."""

_SETTING = "WATCHWORD_FIDO_METADATA"
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class Model:
    """One model of authenticators."""

    anchors: tuple[bytes, ...]
    """The certificates (DER) its attestation leads to."""
    report: str | None
    """What is wrong with it, one of `BROKEN`."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says."""

    number: int
    next_update: date
    """When the next one is out at the latest."""
    models: Mapping[str, Model]
    """By AAGUID."""


def read(path: Path, root: Path) -> Metadata:
    """Read and verify the file. Raises `ConfigurationError`."""
    anchors = certificate_chains.read_anchors(root, f"{_SETTING}_ROOT")
    try:
        blob = path.read_bytes().strip()
        return _metadata(_verified(blob, anchors))
    except (OSError, Problem, *_UNREADABLE) as fault:
        said = fault.detail if isinstance(fault, Problem) else str(fault) or type(fault).__name__
        raise ConfigurationError([f"{_SETTING}: cannot use {path}: {said}"]) from None


def _verified(blob: bytes, anchors: tuple[bytes, ...]) -> dict[str, Any]:
    """The content, once its signature holds (section 3.2). Raises `ValueError` or `Problem`."""
    claimed = jose.unverified(blob, max_bytes=MAX_BYTES)
    chain = [b64decode(each, validate=True) for each in claimed.header.get("x5c", ())]
    if not chain:
        raise ValueError("it names no certificate it is signed with")
    # A file that is overdue is worth what it was worth the day it was due: the server starts although whoever signed
    # it has a new certificate meanwhile, and `watchword doctor` asks for a newer file.
    due = datetime.combine(_next_update(claimed.claims), time.max, UTC)
    if not certificate_chains.leads_to(chain, anchors, min(due, clock.now())):
        raise ValueError("the certificates it is signed with do not lead to WATCHWORD_FIDO_METADATA_ROOT")
    if not certificates.names(chain[0], "tls_client_auth_san_dns", SIGNER):
        raise ValueError(f"it is signed by somebody else than {SIGNER}")
    members = certificates.public_members(chain[0])
    key = jose.public_key(members) if members is not None else None
    if key is None:
        raise ValueError("it is signed with a key of a kind that is not known here")
    return jose.verify(blob, [key], algorithms=jose.ASYMMETRIC_ALGORITHMS, max_bytes=MAX_BYTES).claims


def _metadata(claims: Mapping[str, Any]) -> Metadata:
    return Metadata(int(claims["no"]), _next_update(claims), dict(_models(claims["entries"])))


def _next_update(claims: Mapping[str, Any]) -> date:
    return date.fromisoformat(claims["nextUpdate"])


def _models(entries: list[dict[str, Any]]) -> Iterator[tuple[str, Model]]:
    known: dict[bytes, bytes] = {}
    for entry in entries:
        # Older kinds of authenticators have identifiers of other kinds, and make no passkeys.
        if "aaguid" not in entry:
            continue
        said = entry.get("metadataStatement", {}).get("attestationRootCertificates", ())
        # Manufacturers name the same few for many models: one copy of each is kept.
        anchors = tuple(known.setdefault(der, der) for der in map(_certificate, said) if der)
        yield str(UUID(entry["aaguid"])), Model(anchors, _report(entry.get("statusReports", ())))


def _certificate(text: str) -> bytes | None:
    """A certificate that can be read. One that cannot vouches for nobody; it need not take the others away."""
    try:
        der = b64decode("".join(text.split()), validate=True)
        certificates.public_members(der)
    except (binascii.Error, InvalidCertificate):
        return None
    return der


def _report(reports: list[dict[str, Any]]) -> str | None:
    return next((str(each["status"]) for each in reversed(reports) if each["status"] in BROKEN), None)
