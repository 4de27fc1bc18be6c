"""What the attestation of a new passkey proves: that it is of the model it says (WebAuthn section 6.5).

`webauthn` verifies that a statement fits the passkey it comes with. It holds the chain of its certificates against
roots of its own for some formats and against none for others, and does not compare the certificate's model with the
passkey's; both are done here, against the deployment's anchors alone.
"""

from collections.abc import Mapping

from webauthn.helpers import parse_attestation_object
from webauthn.helpers.structs import AttestationFormat
from webauthn.registration.verify_registration_response import VerifiedRegistration

from app.infra import certificate_chains, certificates
from app.infra.attestation_trust import AttestationTrust
from app.infra.certificates import InvalidCertificate
from app.kernel import clock

_WITH_ROOTS = (AttestationFormat.APPLE, AttestationFormat.ANDROID_KEY)
"""Formats for which the library demands a root it knows, whatever the tenant wants: it is told the deployment's."""
_OF_MODELS = (AttestationFormat.PACKED, AttestationFormat.TPM, *_WITH_ROOTS)
"""What says anything of a model: `fido-u2f` knows none, and nobody answers for `android-safetynet` any more."""


def roots_by_format(trust: AttestationTrust) -> Mapping[AttestationFormat, list[bytes]]:
    """What `webauthn` is to accept besides what it knows."""
    pems = [certificates.to_pem(der) for der in trust.roots]
    return dict.fromkeys(_WITH_ROOTS, pems)


def doubt(found: VerifiedRegistration, trust: AttestationTrust) -> str | None:
    """Why a verified statement is no proof of the model, for the log; None: it is one.

    The certificate has to name the model, or one of the anchors that the metadata has for this very model has to vouch
    for it: manufacturers of platforms (`tpm`, `android-key`, `apple`) name none. `packed` has to in any case.
    """
    chain = parse_attestation_object(found.attestation_object).att_stmt.x5c or []
    if found.fmt not in _OF_MODELS:
        return f"{found.fmt} attestation says nothing of the model"
    if not chain:
        return "it attests itself"
    try:
        named = certificates.model(chain[0])
        if named not in (None, found.aaguid):
            return f"its certificate is one of {named}"
        if found.fmt == AttestationFormat.PACKED and (
            named is None or not certificates.attests_authenticators(chain[0])
        ):
            return "its certificate is not one of an authenticator's model"
    except InvalidCertificate as fault:
        return fault.detail
    anchors = trust.anchors_of(found.aaguid)
    if not certificate_chains.leads_to(chain, anchors + trust.roots if named else anchors, clock.now()):
        return "its certificates do not lead to one that is trusted"
    return None
