"""What somebody has for a second factor: authenticator apps, telephones, recovery codes, and browsers that go without.

Passkeys are counted here; what is in one is its factor's business.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, bindparam, case, delete, func, select, update
from sqlalchemy.orm import Session

from app.domain.models import Authenticator, RecoveryCode, TrustedDevice, User
from app.infra.vault import Vault
from app.kernel import clock, ids
from app.kernel.errors import Problem
from app.kernel.secrets import b64url, keyed_hash

PURPOSE = "authenticator"
PASSKEY, TOTP, PHONE = "passkey", "totp", "phone"
MAX_OF_A_KIND = 10
MAX_NAME = 100

RECOVERY_CODES = 10
FEW_LEFT = 3
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Without I, O, 0 and 1, which look like each other. Its 32 characters make a code of 12 worth 60 bits."""
_GROUPS, _GROUP = 3, 4

_COUNTED = (
    select(Authenticator.kind, func.count())
    .where(Authenticator.user_id == bindparam("user_id"), Authenticator.confirmed_at.is_not(None))
    .group_by(Authenticator.kind)
)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What somebody could show, beside what they began with."""

    passkeys: int = 0
    refused_passkeys: int = 0
    """So many of them are of models that are not accepted: asked for like the others, and good for nothing."""
    totp: int = 0
    phones: int = 0
    recovery_codes: int = 0
    mailbox: bool = False
    """Whether mail reaches them at an address that is confirmed."""
    password: bool = False

    @property
    def second_factors(self) -> int:
        """How many they registered. Recovery codes stand in for one; they are none."""
        return self.passkeys + self.totp + self.phones

    @property
    def good_passkeys(self) -> int:
        """How many are accepted."""
        return self.passkeys - self.refused_passkeys


def can_sign_in(held: Holdings, methods: Sequence[str]) -> bool:
    """Whether somebody with these has a way in, of those a tenant has (`authentication.methods`)."""
    return (
        (held.password and "password" in methods)
        or (held.good_passkeys > 0 and "passkey" in methods)
        # Mail signs in where the tenant has that, and sets a password where passwords sign in.
        or (held.mailbox and ("email" in methods or "password" in methods))
    )


def holdings(db: Session, user: User) -> Holdings:
    """Everything somebody has, in one statement for each table; what is accepted of it is `passkey_models`'."""
    rows = db.execute(_COUNTED, {"user_id": user.id})
    counted = {row[0]: row[1] for row in rows}
    return Holdings(
        passkeys=counted.get(PASSKEY, 0),
        totp=counted.get(TOTP, 0),
        phones=counted.get(PHONE, 0),
        recovery_codes=recovery_codes_left(db, user.id) if counted else 0,
        mailbox=bool(user.email and user.email_verified),
        password=user.password_hash is not None,
    )


def of_user(db: Session, user_id: str, kind: str | None = None) -> list[Authenticator]:
    """A person's confirmed authenticators, oldest first."""
    asked = select(Authenticator).where(
        Authenticator.user_id == user_id, Authenticator.confirmed_at.is_not(None)
    )
    if kind is not None:
        asked = asked.where(Authenticator.kind == kind)
    return list(db.scalars(asked.order_by(Authenticator.created_at, Authenticator.id)))


def remove_added_since(db: Session, user_id: str, since: datetime) -> list[Authenticator]:
    """Remove the authenticators and recovery codes that were made at `since` or later. Gives the former which counted,
    detached."""
    added = list(
        db.scalars(
            select(Authenticator).where(Authenticator.user_id == user_id, Authenticator.created_at >= since)
        )
    )
    for row in added:
        db.delete(row)
    db.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.created_at >= since)
        .execution_options(synchronize_session=False)
    )
    db.flush()
    return [row for row in added if row.confirmed_at is not None]


def add_totp(
    db: Session, vault: Vault, tenant_id: str, user_id: str, *, name: str, secret: str, step: int
) -> Authenticator:
    """Keep an authenticator app whose code of time step `step` was just verified, which is used up by that.

    Raises `Problem` (`factor.too_many`).
    """
    _check_room(db, user_id, TOTP)
    row_id = ids.new_id()
    sealed = vault.seal(PURPOSE, secret.encode(), **_place(tenant_id, row_id))
    row = Authenticator(
        id=row_id,
        user_id=user_id,
        kind=TOTP,
        name=named(name),
        secret_sealed=sealed,
        counter=step,
        confirmed_at=clock.now(),
    )
    db.add(row)
    db.flush()
    return row


def totp_secret(vault: Vault, tenant_id: str, row: Authenticator) -> str:
    """The secret an authenticator app shares, in base32."""
    return vault.open(PURPOSE, row.secret_sealed or b"", **_place(tenant_id, row.id)).decode()


def use_step(db: Session, authenticator_id: str, step: int) -> bool:
    """Use up a time step of an authenticator app, and all before it: of any number of callers one gets True."""
    done = db.execute(
        update(Authenticator)
        .where(Authenticator.id == authenticator_id, Authenticator.counter < step)
        .values(counter=step, last_used_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    return _changed(done)


def add_phone(db: Session, user_id: str, *, number: str, name: str = "") -> Authenticator:
    """Keep a telephone that was just shown to be the person's. The same number again is the same row.

    Raises `Problem` (`factor.too_many`).
    """
    for row in of_user(db, user_id, PHONE):
        if row.data.get("number") == number:
            return row
    _check_room(db, user_id, PHONE)
    row = Authenticator(
        user_id=user_id,
        kind=PHONE,
        name=named(name) or masked(number),
        data={"number": number},
        confirmed_at=clock.now(),
    )
    db.add(row)
    db.flush()
    return row


def was_used(db: Session, authenticator_id: str) -> None:
    """Write down that an authenticator was shown just now."""
    db.execute(
        update(Authenticator)
        .where(Authenticator.id == authenticator_id)
        .values(last_used_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def describe(db: Session, authenticator_id: str, data: dict[str, Any]) -> None:
    """Write down what is public of an authenticator, as it is now."""
    db.execute(
        update(Authenticator)
        .where(Authenticator.id == authenticator_id)
        .values(data=data)
        .execution_options(synchronize_session=False)
    )


def rename(db: Session, user_id: str, authenticator_id: str, name: str) -> Authenticator:
    """Call one something else. Raises `Problem` (`factor.unknown`, 404; `factor.name`)."""
    row = db.scalar(
        select(Authenticator).where(
            Authenticator.id == authenticator_id,
            Authenticator.user_id == user_id,
            Authenticator.confirmed_at.is_not(None),
        )
    )
    if row is None:
        raise Problem("factor.unknown", "There is no such second factor.", status=404)
    if not (called := named(name)):
        raise Problem("factor.name", "A name is wanted.")
    row.name = called
    return row


def remove(db: Session, user_id: str, authenticator_id: str) -> Authenticator:
    """Take one away. With the last of them go the recovery codes and every trusted device.

    The person's row is held until the end of the transaction, so that of two who take one away each the second sees
    what the first left. Raises `Problem` (`factor.unknown`, 404).
    """
    db.execute(select(User.id).where(User.id == user_id).with_for_update())
    row = db.scalar(
        select(Authenticator).where(Authenticator.id == authenticator_id, Authenticator.user_id == user_id)
    )
    if row is None:
        raise Problem("factor.unknown", "There is no such second factor.", status=404)
    db.delete(row)
    db.flush()
    if not of_user(db, user_id):
        db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        forget_devices(db, user_id)
    return row


def masked(number: str) -> str:
    """A telephone number as its owner knows it again."""
    return f"…{number[-3:]}"


def new_recovery_codes(db: Session, pepper: bytes, user_id: str) -> list[str]:
    """Ten new codes in place of all the person had. They are never shown again."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["-".join(_random_group() for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]
    db.add_all(RecoveryCode(user_id=user_id, code_hash=_hash(pepper, user_id, code)) for code in codes)
    db.flush()
    return codes


def use_recovery_code(db: Session, pepper: bytes, user_id: str, typed: str) -> bool:
    """Use a code up: of any number of callers one gets True. Case and hyphens do not matter."""
    code = _canonical(typed)
    if code is None:
        return False
    done = db.execute(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == _hash(pepper, user_id, code),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    return _changed(done)


def recovery_codes_left(db: Session, user_id: str) -> int:
    """How many codes are unused."""
    return (
        db.scalar(
            select(func.count(case((RecoveryCode.used_at.is_(None), 1)))).where(
                RecoveryCode.user_id == user_id
            )
        )
        or 0
    )


def trust_device(
    db: Session, user_id: str, device_id: str, *, user_agent: str, amr: tuple[str, ...], days: int
) -> TrustedDevice:
    """Let a browser go without the person's second factor for so many days."""
    forget_devices(db, user_id, device_id=device_id)
    row = TrustedDevice(
        user_id=user_id,
        device_id=device_id,
        user_agent=user_agent[:500],
        amr=list(amr),
        expires_at=clock.now() + timedelta(days=days),
    )
    db.add(row)
    db.flush()
    return row


def is_trusted(db: Session, user: User, device_id: str) -> bool:
    """Whether a browser may go without the person's second factor. A new password ends that."""
    row = db.scalar(
        select(TrustedDevice).where(
            TrustedDevice.user_id == user.id,
            TrustedDevice.device_id == device_id,
            TrustedDevice.expires_at > clock.now(),
        )
    )
    if row is None:
        return False
    changed: datetime | None = user.password_changed_at
    return changed is None or row.created_at >= changed


def trusted_devices(db: Session, user_id: str) -> list[TrustedDevice]:
    """The browsers somebody trusts, newest first."""
    return list(
        db.scalars(
            select(TrustedDevice)
            .where(TrustedDevice.user_id == user_id, TrustedDevice.expires_at > clock.now())
            .order_by(TrustedDevice.created_at.desc(), TrustedDevice.id)
        )
    )


def forget_devices(
    db: Session, user_id: str, *, trusted_id: str | None = None, device_id: str | None = None
) -> int:
    """Trust one browser no more, or none of them. Gives how many it were."""
    asked = delete(TrustedDevice).where(TrustedDevice.user_id == user_id)
    if trusted_id is not None:
        asked = asked.where(TrustedDevice.id == trusted_id)
    if device_id is not None:
        asked = asked.where(TrustedDevice.device_id == device_id)
    done: Any = db.execute(asked)
    return int(done.rowcount)


def _check_room(db: Session, user_id: str, kind: str) -> None:
    if len(of_user(db, user_id, kind)) >= MAX_OF_A_KIND:
        raise Problem("factor.too_many", "You have as many of these as one may have.", status=409)


def named(name: str) -> str:
    """A name as it is kept: printable, on one line, not endless."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME]


def _random_group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(_GROUP))


def _canonical(typed: str) -> str | None:
    letters = "".join(c for c in typed.upper() if c.isalnum())
    if len(letters) != _GROUPS * _GROUP or not set(letters) <= set(ALPHABET):
        return None
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


def _hash(pepper: bytes, user_id: str, code: str) -> str:
    return b64url(keyed_hash(pepper, f"recovery code\0{user_id}\0{code}"))


def _changed(done: Any) -> bool:
    return isinstance(done, CursorResult) and done.rowcount == 1


def _place(tenant_id: str, row_id: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": "authenticators", "column": "secret_sealed", "row": row_id}
