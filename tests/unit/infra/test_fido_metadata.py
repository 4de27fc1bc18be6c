"""FIDO's file of models: believed when it is signed by whom it should be, and read for what it says."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.infra import certificate_chains, fido_metadata
from app.infra.attestation_trust import configured
from app.infra.fido_metadata import Metadata
from app.kernel import clock
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings
from tests.manufacturer import YESTERDAY, Certified, Manufacturer, authority, blob, entry, signer, written

MODEL, OTHER = UUID(int=0xE1), UUID(int=0xE2)

Read = Callable[[bytes], Metadata]


@pytest.fixture(scope="module")
def root() -> Certified:
    """Which the operator gives."""
    return authority("Example Root")


@pytest.fixture
def read(root: Certified, tmp_path: Path) -> Read:
    def reading(content: bytes) -> Metadata:
        files = written(tmp_path, blob=content, root=root.pem)
        return fido_metadata.read(files["blob"], files["root"])

    return reading


def test_models_have_anchors_and_reports(read: Read, root: Certified) -> None:
    maker = Manufacturer()
    older: dict[str, Any] = {"aaid": "4e4e#4005", "statusReports": []}
    bare: dict[str, Any] = {"aaguid": str(OTHER).upper(), "statusReports": []}
    found = read(blob(signer(root), entry(MODEL, maker.root, maker.between), older, bare))
    assert (found.number, found.next_update) == (7, date(2059, 1, 1))
    assert found.models[str(MODEL)] == fido_metadata.Model((maker.root.der, maker.between.der), None)
    assert found.models[str(OTHER)] == fido_metadata.Model((), None)


@pytest.mark.parametrize("report", sorted(fido_metadata.BROKEN))
def test_what_was_reported_is_not_taken_back_by_an_update(read: Read, root: Certified, report: str) -> None:
    """FIDO Metadata Service section 3.1.4."""
    reports = ("FIDO_CERTIFIED_L1", report, "UPDATE_AVAILABLE", "FIDO_CERTIFIED_L1")
    assert read(blob(signer(root), entry(MODEL, reports=reports))).models[str(MODEL)].report == report


def test_certificates_are_read_as_they_are_written(read: Read, root: Certified) -> None:
    """With line breaks; and one that is none takes nothing from the others."""
    maker = Manufacturer()
    said = entry(MODEL, maker.root)
    (text,) = said["metadataStatement"]["attestationRootCertificates"]
    said["metadataStatement"]["attestationRootCertificates"] = [f"{text[:64]}\n {text[64:]} ", "AAAA", "?"]
    assert read(blob(signer(root), said)).models[str(MODEL)].anchors == (maker.root.der,)


def test_an_overdue_file_is_read_as_on_the_day_it_was_due(read: Read, root: Certified) -> None:
    """Its signer's certificate has ended since: the server starts all the same."""
    content = blob(signer(root, times=YESTERDAY), next_update="2026-01-01")
    assert read(content).next_update == date(2026, 1, 1)
    with pytest.raises(ConfigurationError, match="do not lead to"):
        read(blob(signer(root, times=YESTERDAY)))


def _patched(root: Certified) -> bytes:
    """The content of one file, the signature of another."""
    by = signer(root)
    one, other = blob(by, entry(MODEL)), blob(by, entry(OTHER))
    return b".".join([*one.split(b".")[:2], other.split(b".")[2]])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: blob(signer(authority("Example Root"))), "do not lead to"),
        (lambda root: blob(signer(root, "www.example.com")), "signed by somebody else"),
        (_patched, "the signature is not"),
        (lambda root: blob(signer(root), alg="none"), "algorithm"),
        (lambda root: blob(signer(root), alg="HS256"), "algorithm"),
        (lambda root: blob(signer(root), x5c=[]), "names no certificate"),
        (lambda root: blob(signer(root), x5c="AAAA"), "cannot use"),
        (lambda root: blob(signer(root), x5c=[7]), "cannot use"),
        (lambda root: blob(signer(root), next_update="soon"), "cannot use"),
        (lambda root: blob(signer(root), {"aaguid": "none"}), "cannot use"),
        (lambda root: blob(signer(root), {"aaguid": str(MODEL), "statusReports": [{}]}), "cannot use"),
        (lambda root: b"", "cannot use"),
        (lambda root: b"a.b.c", "cannot use"),
        (lambda root: b"\xff" * 100, "cannot use"),
    ],
)
def test_what_is_not_to_be_believed_keeps_the_server_from_starting(
    read: Read, root: Certified, make: Callable[[Certified], bytes], says: str
) -> None:
    """Section 3.2: the signature, its chain, and who signed."""
    with pytest.raises(ConfigurationError, match="WATCHWORD_FIDO_METADATA") as fault:
        read(make(root))
    assert says in fault.value.faults[0]


def test_roots_are_a_file_or_a_folder(tmp_path: Path) -> None:
    one, other = authority("One"), authority("Other")
    folder = tmp_path / "roots"
    folder.mkdir()
    (folder / "a.pem").write_bytes(one.pem + other.pem)
    (folder / "b.crt").write_bytes(other.pem)
    (folder / "README").write_text("not a certificate")
    assert configured(Settings(attestation_roots=folder)).roots == (one.der, other.der)
    assert configured(Settings(attestation_roots=folder / "b.crt")).roots == (other.der,)
    assert not configured(Settings()).is_on


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\xff"])
def test_roots_that_cannot_be_read_keep_the_server_from_starting(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = tmp_path / "roots"
    folder.mkdir()
    if content is not None:
        (folder / "a.pem").write_bytes(content)
    for path in (folder, folder / "a.pem"):
        with pytest.raises(ConfigurationError, match="WATCHWORD_ATTESTATION_ROOTS"):
            configured(Settings(attestation_roots=path))


def test_chains_lead_to_anchors_of_any_rank() -> None:
    """RFC 5280 section 6.1; WebAuthn section 7.1: an attestation certificate may be an anchor itself."""
    maker, now = Manufacturer(), clock.now()
    leaf = maker.batch(MODEL)
    for anchor in (maker.root, maker.between, leaf):
        assert certificate_chains.leads_to(leaf.chain, [b"none", anchor.der], now)
    assert not certificate_chains.leads_to(leaf.chain, [], now)
    assert not certificate_chains.leads_to([], [maker.root.der], now)
    assert not certificate_chains.leads_to([b"none"], [maker.root.der], now)
    assert not certificate_chains.leads_to(leaf.chain[::-1], [leaf.der], now)
