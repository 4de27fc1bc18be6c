"""What `watchword doctor` says of the models of passkeys: whether tenants get the proof they ask for."""

from collections.abc import Iterator
from typing import Literal

from sqlalchemy import select

from app.domain import authenticators, passkey_models
from app.domain.models import Authenticator
from app.domain.tenants import TenantContext
from app.infra.attestation_trust import AttestationTrust
from app.kernel import clock
from app.web.services import Services

Said = tuple[Literal["good", "advice"], str]
"""What a tenant decides never makes the deployment broken."""

_ANCHORS = "WATCHWORD_ATTESTATION_ROOTS or WATCHWORD_FIDO_METADATA"


def look(services: Services) -> Iterator[Said]:
    """Everything there is to say; nothing where nobody asks."""
    trust = services.attestation_trust
    yield from _anchors(trust)
    for tenant in services.tenants.all():
        yield from _tenant(services, tenant)


def _anchors(trust: AttestationTrust) -> Iterator[Said]:
    if trust.roots:
        yield _good(f"Certificates of manufacturers that prove their models: {len(trust.roots)}.")
    if trust.metadata is None:
        return
    models, due = trust.metadata.models.values(), trust.metadata.next_update
    if due < clock.now().date():
        yield _advice(
            f"The FIDO metadata are out of date: the next were due on {due}. What was reported of a model since is not "
            "known here. Put the newer file at WATCHWORD_FIDO_METADATA and start the server again."
        )
        return
    broken = sum(model.report is not None for model in models)
    yield _good(
        f"The FIDO metadata (number {trust.metadata.number}, good until {due}) know {len(models)} models, {broken} of "
        "them reported as broken."
    )


def _tenant(services: Services, tenant: TenantContext) -> Iterator[Said]:
    asked = tenant.settings.authentication.passkeys
    if asked.attestation == "none":
        return
    if asked.attestation == "verified" and not services.attestation_trust.is_on:
        yield _advice(
            f"Tenant {tenant.slug} wants proof of their models, and there is nothing to prove them with: none is "
            f"accepted. Set {_ANCHORS}."
        )
    if asked.attestation == "direct" and asked.allowed_aaguids:
        yield _advice(
            f"The models tenant {tenant.slug} accepts are what authenticators claim to be, which anybody may make one "
            f"claim. With {_ANCHORS}, `attestation: verified` wants proof."
        )
    count, people = _refused(services, tenant)
    if count:
        yield _advice(
            f"{count} passkeys of {people} people of tenant {tenant.slug} are refused by its settings: their models "
            "are not listed, not proved, or reported as broken. These people need another way in, or a new passkey."
        )


def _good(sentence: str) -> Said:
    return "good", sentence


def _advice(sentence: str) -> Said:
    return "advice", sentence


def _refused(services: Services, tenant: TenantContext) -> tuple[int, int]:
    """How many passkeys, and how many people have one."""
    asked, report = tenant.settings.authentication.passkeys, services.attestation_trust.report_on
    held = select(Authenticator.user_id, Authenticator.data).where(
        Authenticator.kind == authenticators.PASSKEY, Authenticator.confirmed_at.is_not(None)
    )
    with services.tenancy.session(tenant.id) as db:
        owners = [
            user_id
            for user_id, data in db.execute(held)
            if passkey_models.refusal(asked, data, report) is not None
        ]
    return len(owners), len(set(owners))
