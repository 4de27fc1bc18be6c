"""Passkeys (WebAuthn level 3), by `webauthn`.

A challenge is one interaction's, for one purpose: 256 bits, kept five minutes, used up by the first answer to it. The
relying party is the tenant's host, which never changes for as long as its passkeys are to work. The user handle is a
keyed hash, not the subject identifier, which clients know: what an authenticator hands out tells nothing to them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_authentication_credential_json, parse_registration_credential_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.domain import assurance, authenticators, passkey_models
from app.domain.assurance import Method
from app.domain.models import Authenticator, User
from app.domain.tenants import TenantContext
from app.infra.attestation_trust import AttestationTrust
from app.infra.state import Key, Put, StateStore, TakeOnce
from app.kernel.errors import Problem
from app.kernel.secrets import b64url, keyed_hash, lookup_hash, new_secret, unb64url
from app.protocols.login.factors import attestation

KIND = "passkey-challenge"
CHALLENGE_SECONDS = 300
MAX_ANSWER = 8192
MAX_NEW = 32768
"""Characters of an answer; that of a new passkey may hold a chain of certificates."""
ALGORITHMS = (
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
SIGN_IN, SECOND, ENROL = "sign-in", "second", "enrol"
"""What a challenge is for. An answer to one is none to another."""

_TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})
_UNREADABLE = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError)
"""What the library raises for an answer somebody made up."""


@dataclass(frozen=True, slots=True)
class Known:
    """A passkey that was just shown."""

    row_id: str
    user_id: str
    counter: int
    method: Method
    changed: dict[str, Any] | None
    """What is kept of it from now on, where that is something else."""


@dataclass(frozen=True, slots=True)
class New:
    """A passkey that was just made."""

    lookup: str
    counter: int
    data: dict[str, Any]
    method: Method


class Challenges:
    """The challenges people are answering: one of each purpose for each interaction."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def make(self, tenant_id: str, interaction_id: str, purpose: str) -> bytes:
        """A new one, in place of the one before."""
        challenge = unb64url(new_secret())
        self._state.execute(Put(_key(tenant_id, interaction_id, purpose), challenge, CHALLENGE_SECONDS))
        return challenge

    def take(self, tenant_id: str, interaction_id: str, purpose: str) -> bytes | None:
        """Use it up: of any number of callers one gets it. None when there is none any more."""
        found = self._state.execute(TakeOnce(_key(tenant_id, interaction_id, purpose))).results[0]
        return bytes(found) if isinstance(found, bytes) else None


def rp_id(tenant: TenantContext) -> str:
    """The relying party: the host people see."""
    return urlsplit(tenant.issuer).hostname or ""


def origins(tenant: TenantContext) -> list[str]:
    """Where an answer may come from: the tenant's own origin, and those it says are related."""
    own = urlsplit(tenant.issuer)
    return [f"{own.scheme}://{own.netloc}", *tenant.settings.authentication.passkeys.related_origins]


def request_options(tenant: TenantContext, challenge: bytes, rows: Sequence[Authenticator] = ()) -> str:
    """What the browser is asked for, as JSON: one of `rows`, or any passkey of this place."""
    return options_to_json(
        generate_authentication_options(
            rp_id=rp_id(tenant),
            challenge=challenge,
            timeout=CHALLENGE_SECONDS * 1000,
            allow_credentials=[_descriptor(row) for row in rows],
            user_verification=_verification(tenant),
        )
    )


def creation_options(
    tenant: TenantContext,
    challenge: bytes,
    user: User,
    handle: bytes,
    rows: Sequence[Authenticator],
    *,
    alone: bool = False,
) -> str:
    """What the browser is asked to make, as JSON; not on an authenticator that holds one of `rows`.

    One that is all somebody has, `alone`, verifies its user: it takes the place of a password.
    """
    settings = tenant.settings.authentication.passkeys
    username, shown = _names(user)
    return options_to_json(
        generate_registration_options(
            rp_id=rp_id(tenant),
            rp_name=tenant.name,
            user_id=handle,
            user_name=username,
            user_display_name=shown,
            challenge=challenge,
            timeout=CHALLENGE_SECONDS * 1000,
            attestation=AttestationConveyancePreference(
                "none" if settings.attestation == "none" else "direct"
            ),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=_verification(tenant, alone=alone),
            ),
            exclude_credentials=[_descriptor(row) for row in rows],
            supported_pub_key_algs=list(ALGORITHMS),
        )
    )


def handle_of(pepper: bytes, user: User) -> bytes:
    """The person's user handle: always the same, and nobody else can make it."""
    return keyed_hash(pepper, f"passkey user handle\0{user.tenant_id}\0{user.id}")


def check_new(
    tenant: TenantContext,
    challenge: bytes,
    answer: str,
    handle: bytes,
    trust: AttestationTrust,
    *,
    alone: bool = False,
) -> New:
    """The passkey of an answer. Raises `Problem`: `passkey.invalid`, `passkey.not_allowed`, `passkey.compromised`."""
    settings = tenant.settings.authentication.passkeys
    try:
        credential = parse_registration_credential_json(answer[:MAX_NEW])
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id(tenant),
            expected_origin=origins(tenant),
            require_user_verification=_verification(tenant, alone=alone)
            is UserVerificationRequirement.REQUIRED,
            supported_pub_key_algs=list(ALGORITHMS),
            pem_root_certs_bytes_by_fmt=attestation.roots_by_format(trust),
        )
        doubt = attestation.doubt(found, trust)
    except _UNREADABLE as fault:
        raise Problem(
            "passkey.invalid", "This passkey could not be added.", detail=str(fault)[:200]
        ) from None
    aaguid = found.aaguid.lower()
    model = {"aaguid": aaguid, "attested": doubt is None}
    reason = passkey_models.refusal(settings, model, trust.report_on)
    if reason is None and settings.allowed_aaguids and found.fmt == AttestationFormat.NONE:
        # Browsers leave an attestation out where people want that. Nothing is claimed of the model then.
        reason = passkey_models.NOT_ALLOWED
    if reason is not None:
        detail = f"{aaguid}: {trust.report_on(aaguid) or doubt or 'not on the list'}"
        raise Problem(reason, "Passkeys of this kind are not accepted here.", detail=detail)
    synced = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    transports = [t.value for t in credential.response.transports or () if t.value in _TRANSPORTS]
    return New(
        b64url(found.credential_id),
        found.sign_count,
        {
            "public_key": b64url(found.credential_public_key),
            "user_handle": b64url(handle),
            **model,
            "transports": transports,
            "synced": synced,
            "backed_up": found.credential_backed_up,
            "verifies": found.user_verified,
        },
        assurance.passkey(synced=synced, verified=found.user_verified),
    )


def accepted_signals(
    tenant: TenantContext, user: User, handle: bytes, rows: Sequence[Authenticator]
) -> dict[str, Any]:
    """What the browser may tell whoever keeps somebody's passkeys: that these are all, and whose they are (section
    5.1.10, signal methods)."""
    whose = {"rpId": rp_id(tenant), "userId": b64url(handle)}
    username, shown = _names(user)
    return {
        "signalAllAcceptedCredentials": {**whose, "allAcceptedCredentialIds": [row.lookup for row in rows]},
        "signalCurrentUserDetails": {**whose, "name": username, "displayName": shown},
    }


def unknown_signals(tenant: TenantContext, answer: str) -> dict[str, Any]:
    """That the passkey of an answer is nobody's: whoever keeps it need not offer it again. Only of a host that is one
    tenant's, as it may be another's of the same host."""
    lookup = _named(answer)
    if lookup is None:
        return {}
    return {"signalUnknownCredential": {"rpId": rp_id(tenant), "credentialId": lookup}}


def find(db: Session, answer: str) -> Authenticator | None:
    """The passkey an answer names, whoever has it."""
    lookup = _named(answer)
    if lookup is None:
        return None
    return db.scalar(
        select(Authenticator).where(
            Authenticator.lookup == lookup,
            Authenticator.kind == authenticators.PASSKEY,
            Authenticator.confirmed_at.is_not(None),
        )
    )


def check(
    tenant: TenantContext, challenge: bytes, answer: str, row: Authenticator, *, names_itself: bool
) -> Known:
    """Whether an answer is the passkey's. With `names_itself` nobody said before who they are, so that the user handle
    has to (WebAuthn section 7.2, step 6). Raises `Problem`: `passkey.invalid`, `passkey.cloned`."""
    settings = tenant.settings.authentication.passkeys
    try:
        credential = parse_authentication_credential_json(answer[:MAX_ANSWER])
        handle = credential.response.user_handle
        expected = unb64url(row.data["user_handle"])
        if handle != expected and (names_itself or handle):
            raise ValueError("another user handle")
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=rp_id(tenant),
            expected_origin=origins(tenant),
            credential_public_key=unb64url(row.data["public_key"]),
            # The counter is looked at below, where a copy can be told from an answer that is no good.
            credential_current_sign_count=0,
            require_user_verification=settings.user_verification == "required",
        )
    except _UNREADABLE as fault:
        raise Problem("passkey.invalid", "This passkey was not accepted.", detail=str(fault)[:200]) from None
    counter = found.new_sign_count
    if (counter or row.counter) and counter <= row.counter:
        raise Problem("passkey.cloned", "This passkey was not accepted.", detail="the counter went back")
    if names_itself and row.data.get("verifies") and not found.user_verified:
        # It can ask for a PIN or a finger, and browsers let it: whoever does without is not known to be its owner.
        raise Problem(
            "passkey.unverified", "This passkey was not accepted.", detail="its user was not verified"
        )
    synced = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    if synced != bool(row.data.get("synced")):
        # Steps 17 to 19: a key that one device keeps does not become one that goes elsewhere, nor the other way round.
        raise Problem(
            "passkey.invalid", "This passkey was not accepted.", detail="backup eligibility changed"
        )
    verifies = found.user_verified or bool(row.data.get("verifies"))
    kept = {**row.data, "backed_up": found.credential_backed_up, "verifies": verifies}
    method = assurance.passkey(synced=synced, verified=found.user_verified)
    return Known(row.id, row.user_id, counter, method, None if kept == row.data else kept)


def used(db: Session, known: Known) -> None:
    """Write down that it was used. Raises `Problem` (`passkey.cloned`) where its counter was passed meanwhile."""
    if known.counter == 0:
        authenticators.was_used(db, known.row_id)
    elif not authenticators.use_step(db, known.row_id, known.counter):
        raise Problem("passkey.cloned", "This passkey was not accepted.", detail="the counter went back")
    if known.changed is not None:
        authenticators.describe(db, known.row_id, known.changed)


def _named(answer: str) -> str | None:
    """The credential id an answer names."""
    try:
        lookup = json.loads(answer[:MAX_ANSWER])["id"]
    except _UNREADABLE:
        return None
    is_one = isinstance(lookup, str) and lookup.isascii() and 0 < len(lookup) <= 1400
    return lookup if is_one else None


def _names(user: User) -> tuple[str, str]:
    """What authenticators call somebody: the user name, and a name people have."""
    name = user.claims.get("name")
    return user.username, name if isinstance(name, str) and name else user.username


def _descriptor(row: Authenticator) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=unb64url(row.lookup or ""))


def _verification(tenant: TenantContext, *, alone: bool = False) -> UserVerificationRequirement:
    said = UserVerificationRequirement(tenant.settings.authentication.passkeys.user_verification)
    # Who says that it is not wanted has it nowhere.
    is_raised = alone and said is UserVerificationRequirement.PREFERRED
    return UserVerificationRequirement.REQUIRED if is_raised else said


def _key(tenant_id: str, interaction_id: str, purpose: str) -> Key:
    return Key(tenant_id, KIND, f"{lookup_hash(interaction_id)}:{purpose}")
