"""Chains of certificates: whether one leads to a certificate somebody trusts. The only importer of pyOpenSSL.

Nobody is asked whether a certificate was withdrawn meanwhile: neither CRLs nor OCSP.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from app.kernel.errors import ConfigurationError

ENDINGS = (".pem", ".crt", ".cer")
"""Of the files of a folder that are read."""

_UNREADABLE = (crypto.Error, ValueError, TypeError)


def read_anchors(path: Path, setting: str) -> tuple[bytes, ...]:
    """The certificates (DER) of a PEM file, or of the PEM files of a folder. Raises `ConfigurationError`, which names
    `setting`, for what cannot be read, and where there is none."""
    try:
        files = sorted(each for each in path.iterdir() if each.suffix in ENDINGS) if path.is_dir() else [path]
        found = [certificate for each in files for certificate in _of_file(each)]
    except (OSError, ValueError) as fault:
        raise ConfigurationError([f"{setting}: cannot read {path}: {fault}"]) from None
    if not found:
        raise ConfigurationError([f"{setting}: there is no certificate in {path}"])
    return tuple(dict.fromkeys(found))


def leads_to(chain: Sequence[bytes], anchors: Collection[bytes], at: datetime) -> bool:
    """Whether the first certificate of a chain (DER) is one of the anchors, or was issued by one, perhaps by way of the
    others, and all were in force then (RFC 5280 section 6.1).

    An anchor need not have signed itself: manufacturers name intermediate and leaf certificates as well.
    """
    try:
        leaf, *others = (crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain)
        crypto.X509StoreContext(_store(anchors, at), leaf, others).verify_certificate()
    except (crypto.X509StoreContextError, *_UNREADABLE):
        return False
    return True


def _store(anchors: Collection[bytes], at: datetime) -> crypto.X509Store:
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(at)
    for der in anchors:
        try:
            store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, der))
        except _UNREADABLE:
            # One that cannot be read vouches for nobody; it need not take the others away.
            continue
    return store


def _of_file(path: Path) -> list[bytes]:
    return [found.public_bytes(Encoding.DER) for found in x509.load_pem_x509_certificates(path.read_bytes())]
