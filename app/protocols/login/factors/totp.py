"""Authenticator apps: six digits that change every thirty seconds (RFC 6238), by `pyotp`.

A code of the step before or after is taken, as clocks differ (section 5.2); each step is good for one use.
"""

import hmac

import pyotp
from sqlalchemy.orm import Session

from app.domain import authenticators
from app.infra.vault import Vault
from app.kernel import clock

STEP_SECONDS = 30
DRIFT_STEPS = 1
DIGITS = 6
SECRET_CHARACTERS = 32
"""In base32: 160 bits, what RFC 4226 section 4 recommends."""


def new_secret() -> str:
    """A shared secret, in base32."""
    return pyotp.random_base32(length=SECRET_CHARACTERS)


def uri(secret: str, *, account: str, issuer: str) -> str:
    """The `otpauth` address authenticator apps read from the picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def step_of(secret: str, typed: str) -> int | None:
    """The time step whose code was typed, of those that count now; the newest where two have the same code."""
    code = "".join(typed.split())
    now = clock.timestamp(clock.now()) // STEP_SECONDS
    app, found = pyotp.TOTP(secret), None
    for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
        expected = app.at(step * STEP_SECONDS)
        if hmac.compare_digest(expected.encode(), code.encode("utf-8", "replace")):
            found = step
    return found


def verify(db: Session, vault: Vault, tenant_id: str, user_id: str, typed: str) -> str | None:
    """Check a code against every app of the person, and use it up. Gives why it is not good, or None."""
    for row in authenticators.of_user(db, user_id, authenticators.TOTP):
        step = step_of(authenticators.totp_secret(vault, tenant_id, row), typed)
        if step is not None:
            return None if authenticators.use_step(db, row.id, step) else "factor.code_used"
    return "factor.code_wrong"
