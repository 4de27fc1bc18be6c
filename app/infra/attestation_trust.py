"""Whom this deployment believes about the model of a passkey: the operator's certificates and the FIDO metadata."""

from dataclasses import dataclass

from app.infra import certificate_chains, fido_metadata
from app.infra.fido_metadata import Metadata
from app.kernel.settings import Settings


@dataclass(frozen=True, slots=True)
class AttestationTrust:
    """Read once, at the start."""

    roots: tuple[bytes, ...] = ()
    """Certificates (DER) that vouch for every model whose name their authenticators' certificates carry."""
    metadata: Metadata | None = None

    @property
    def is_on(self) -> bool:
        """Whether anything can be proved."""
        return bool(self.roots or self.metadata)

    def anchors_of(self, aaguid: str) -> tuple[bytes, ...]:
        """The certificates that vouch for this model and not for every other."""
        model = self.metadata.models.get(aaguid) if self.metadata else None
        return model.anchors if model else ()

    def report_on(self, aaguid: str) -> str | None:
        """What is known to be wrong with a model: one of `fido_metadata.BROKEN`, or None."""
        model = self.metadata.models.get(aaguid) if self.metadata else None
        return model.report if model else None


def configured(settings: Settings) -> AttestationTrust:
    """What the settings name. Raises `ConfigurationError` for files that cannot be read, or are not to be believed."""
    roots, blob, root = settings.attestation_roots, settings.fido_metadata, settings.fido_metadata_root
    return AttestationTrust(
        certificate_chains.read_anchors(roots, "WATCHWORD_ATTESTATION_ROOTS") if roots else (),
        fido_metadata.read(blob, root) if blob and root else None,
    )
