"""Sealing anew, with the first master key, everything that older ones sealed (`watchword keys rewrap`).

What is sealed where is a tuple of `SealedColumn` handed in by the wiring. Once `rewrap` has gone through, the old
master keys may be taken out of the configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import column, select, table, update
from sqlalchemy.orm import Session

from app.infra.key_tables import DeploymentSecret
from app.infra.tenancy import SystemReason, Tenancy
from app.infra.vault import DeploymentSecrets, Vault

BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of envelopes, and what `Vault.seal` was given for them besides the tenant."""

    purpose: str
    model: type[Any]
    column: str
    row: str
    """The column whose value identifies the row; with the tenant it is unique."""

    def rewrap_after(
        self, session: Session, vault: Vault, tenant_id: str, after: str | None
    ) -> tuple[str | None, int]:
        """Go through the next rows in order. Gives the last one seen (None: that was all) and how many changed."""
        row, column = getattr(self.model, self.row), getattr(self.model, self.column)
        wanted = select(row, column).order_by(row).limit(BATCH_ROWS)
        found = session.execute(wanted.where(row > after) if after is not None else wanted).all()
        changed = 0
        for name, old in found:
            if not old or vault.is_current(old):
                continue
            place = {
                "tenant": tenant_id,
                "table": self.model.__tablename__,
                "column": self.column,
                "row": name,
            }
            new = vault.rewrap(self.purpose, old, **place)
            # Only over what was read: a value somebody replaced meanwhile is sealed with the first key already.
            session.execute(update(self.model).where(row == name, column == old).values({self.column: new}))
            changed += 1
        return (found[-1][0] if len(found) == BATCH_ROWS else None), changed


DEPLOYMENT_COLUMN = SealedColumn(
    DeploymentSecrets.PURPOSE, DeploymentSecret, DeploymentSecrets.COLUMN, "name"
)


def rewrap(tenancy: Tenancy, vault: Vault, columns: Sequence[SealedColumn]) -> int:
    """Rewrap the deployment's secrets and `columns` of every tenant. Gives how many values were sealed anew.

    Safe beside a running server, and to repeat. Raises `SealError` for a value that no configured key opens.
    """
    with tenancy.system(SystemReason.REWRAP, write=True) as session:
        _, changed = DEPLOYMENT_COLUMN.rewrap_after(session, vault, "", None)
        tenants = session.scalars(select(table("tenants", column("id")))).all()
    for tenant_id in tenants:
        changed += sum(_rewrap_tenant(tenancy, vault, tenant_id, each) for each in columns)
    return changed


def _rewrap_tenant(tenancy: Tenancy, vault: Vault, tenant_id: str, sealed: SealedColumn) -> int:
    total, first = 0, True
    after: str | None = None
    while first or after is not None:
        with tenancy.session(tenant_id, write=True) as session:
            after, changed = sealed.rewrap_after(session, vault, tenant_id, after)
        total, first = total + changed, False
    return total
