"""Sealing anew, with the first master key, everything that older ones sealed (`watchword keys rewrap`).

What is sealed where is a tuple of `Sealed` handed in by the wiring. Once `rewrap` has gone through, the old
master keys may be taken out of the configuration.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Select, column, select, table, update
from sqlalchemy.orm import Session

from app.infra.key_tables import DeploymentSecret
from app.infra.tenancy import SystemReason, Tenancy
from app.infra.vault import DeploymentSecrets, Vault

BATCH_ROWS = 500


class Sealed(Protocol):
    """A place of sealed values."""

    def rewrap_after(self, session: Session, vault: Vault, tenant_id: str, after: Any) -> tuple[Any, int]:
        """Go through the next rows in order. Gives the last one seen (None: that was all) and how many changed."""
        ...


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of envelopes, and what `Vault.seal` was given for them besides the tenant."""

    purpose: str
    model: type[Any]
    column: str
    row: str
    """The column whose value identifies the row; with the tenant it is unique."""

    def rewrap_after(self, session: Session, vault: Vault, tenant_id: str, after: Any) -> tuple[Any, int]:
        """See `Sealed`."""
        row, column = getattr(self.model, self.row), getattr(self.model, self.column)
        changed, found = 0, _next_rows(session, select(row, column), row, after)
        for name, old in found:
            if not old or vault.is_current(old):
                continue
            new = vault.rewrap(self.purpose, old, **_place(self.model, self.column, tenant_id, name))
            # Only over what was read: a value somebody replaced meanwhile is sealed with the first key already.
            session.execute(update(self.model).where(row == name, column == old).values({self.column: new}))
            changed += 1
        return _last(found), changed


@dataclass(frozen=True, slots=True)
class SealedMember:
    """A JSON column of which one member is an envelope in base64, and another names it.

    `only` picks the rows that are of this kind, by column and value.
    """

    purpose: str
    model: type[Any]
    column: str
    row: str
    """The column the rows are gone through by."""
    sealed_member: str
    name_member: str
    only: tuple[str, str]

    def rewrap_after(self, session: Session, vault: Vault, tenant_id: str, after: Any) -> tuple[Any, int]:
        """See `Sealed`."""
        row, column = getattr(self.model, self.row), getattr(self.model, self.column)
        kind, wanted = self.only
        rows = select(row, column).where(getattr(self.model, kind) == wanted)
        changed, found = 0, _next_rows(session, rows, row, after)
        for identity, payload in found:
            old = b64decode(payload[self.sealed_member])
            if vault.is_current(old):
                continue
            place = _place(self.model, self.column, tenant_id, payload[self.name_member])
            new = b64encode(vault.rewrap(self.purpose, old, **place)).decode("ascii")
            new_payload = {**payload, self.sealed_member: new}
            session.execute(update(self.model).where(row == identity).values({self.column: new_payload}))
            changed += 1
        return _last(found), changed


def _next_rows(session: Session, wanted: Select[Any], row: Any, after: Any) -> Sequence[Any]:
    wanted = wanted.order_by(row).limit(BATCH_ROWS)
    return session.execute(wanted if after is None else wanted.where(row > after)).all()


def _last(found: Sequence[Any]) -> Any:
    return found[-1][0] if len(found) == BATCH_ROWS else None


def _place(model: type[Any], column: str, tenant_id: str, name: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": model.__tablename__, "column": column, "row": name}


DEPLOYMENT_COLUMN = SealedColumn(
    DeploymentSecrets.PURPOSE, DeploymentSecret, DeploymentSecrets.COLUMN, "name"
)


def rewrap(tenancy: Tenancy, vault: Vault, columns: Sequence[Sealed]) -> int:
    """Rewrap the deployment's secrets and `columns` of every tenant. Gives how many values were sealed anew.

    Safe beside a running server, and to repeat. Raises `SealError` for a value that no configured key opens.
    """
    with tenancy.system(SystemReason.REWRAP, write=True) as session:
        _, changed = DEPLOYMENT_COLUMN.rewrap_after(session, vault, "", None)
        tenants = session.scalars(select(table("tenants", column("id")))).all()
    for tenant_id in tenants:
        changed += sum(_rewrap_tenant(tenancy, vault, tenant_id, each) for each in columns)
    return changed


def _rewrap_tenant(tenancy: Tenancy, vault: Vault, tenant_id: str, sealed: Sealed) -> int:
    total, first = 0, True
    after: Any = None
    while first or after is not None:
        with tenancy.session(tenant_id, write=True) as session:
            after, changed = sealed.rewrap_after(session, vault, tenant_id, after)
        total, first = total + changed, False
    return total
