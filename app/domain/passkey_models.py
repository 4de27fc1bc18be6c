"""Which models of passkeys a tenant accepts: asked when one is added, and whenever it is shown."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from app.domain import authenticators
from app.domain.authenticators import Holdings
from app.domain.models import Authenticator, User
from app.domain.tenant_settings import PasskeySettings

Report = Callable[[str], str | None]
"""What is known to be wrong with a model, by its AAGUID."""

NOT_ALLOWED, COMPROMISED = "passkey.not_allowed", "passkey.compromised"


def refusal(settings: PasskeySettings, data: Mapping[str, Any], report: Report) -> str | None:
    """The reason why a passkey of which this is on record (`Authenticator.data`) is not accepted, or None.

    A tenant that does not ask for the model gets no answer about it.
    """
    model = str(data.get("aaguid", ""))
    if settings.attestation == "none":
        return None
    if settings.allowed_aaguids and model not in settings.allowed_aaguids:
        return NOT_ALLOWED
    if settings.attestation == "verified" and not data.get("attested"):
        return NOT_ALLOWED
    return COMPROMISED if report(model) is not None else None


def holdings(db: Session, settings: PasskeySettings, user: User, report: Report) -> Holdings:
    """`authenticators.holdings`, which passkeys are refused among it. One statement more where models are asked for."""
    held = authenticators.holdings(db, user)
    if settings.attestation == "none" or not held.passkeys:
        return held
    rows = authenticators.of_user(db, user.id, authenticators.PASSKEY)
    return replace(held, refused_passkeys=len(rows) - len(accepted(settings, rows, report)))


def accepted(settings: PasskeySettings, rows: Iterable[Authenticator], report: Report) -> list[Authenticator]:
    """Those of some authenticators that count: passkeys that are accepted, and whatever is none."""
    return [
        row
        for row in rows
        if row.kind != authenticators.PASSKEY or refusal(settings, row.data, report) is None
    ]
