"""Trusted issuers of the file."""

from typing import Any

from app.domain import trusted_issuers
from app.domain.apply.changes import TenantScope
from app.domain.apply.document import Path
from app.domain.apply.schema import TrustedIssuerEntry
from app.domain.models import Client, TrustedIssuer
from app.kernel.errors import Problem


class Issuers:
    """Makes a tenant's trusted issuers what the file says."""

    name = "trusted_issuer"
    section = "trusted_issuers"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope

    def load(self, entries: list[TrustedIssuerEntry] | None) -> dict[str, TrustedIssuer]:
        """The rows by issuer: those the entries name, or all."""
        names = None if entries is None else [entry.issuer for entry in entries]
        return {row.issuer: row for row in self.scope.rows(TrustedIssuer, TrustedIssuer.issuer, names)}

    def key(self, entry: TrustedIssuerEntry) -> str:
        """By what the rows are found."""
        return entry.issuer

    def create(self, entry: TrustedIssuerEntry, path: Path) -> None:
        """Trust an issuer."""
        definition = self._definition({}, entry, path)
        if definition is None:
            return
        row = TrustedIssuer(tenant_id=self.scope.tenant.id, issuer=entry.issuer, definition=definition)
        self.scope.session.add(row)
        self.scope.session.flush()
        self.scope.note("create", self.name, row.issuer, row.issuer)

    def update(self, row: TrustedIssuer, entry: TrustedIssuerEntry, path: Path) -> None:
        """Change what the entry says of an issuer."""
        definition = self._definition(row.definition, entry, path)
        if definition is None:
            return
        before = row.definition
        changed = sorted(k for k in before.keys() | definition.keys() if before.get(k) != definition.get(k))
        if changed:
            row.definition = definition
            self.scope.note("update", self.name, row.issuer, row.issuer, changed)

    def delete(self, row: TrustedIssuer, path: Path) -> None:
        """Trust an issuer no longer; what was issued for its tokens lives on until it expires."""
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.issuer, row.issuer)

    def prunable(self, row: TrustedIssuer) -> bool:
        """Whether `--prune` may delete it."""
        return True

    def _definition(
        self, stored: dict[str, Any], entry: TrustedIssuerEntry, path: Path
    ) -> dict[str, Any] | None:
        """The stored members with those of the entry over them; null returns a member to its default."""
        if not trusted_issuers.is_web_uri(entry.issuer):
            self.scope.fault((*path, "issuer"), "an https URI is wanted (http only for a loopback address)")
            return None
        merged = {k: v for k, v in {**stored, **entry.definition}.items() if v is not None}
        try:
            definition = trusted_issuers.validate(merged)
        except Problem as refusal:
            self.scope.fault(path, refusal)
            return None
        named = {rule["client"] for rule in definition.get("rules", []) if rule.get("client")}
        known = (
            {row.client_id for row in self.scope.rows(Client, Client.client_id, named)} if named else set()
        )
        for client_id in sorted(named - known):
            self.scope.fault(
                (*path, "rules"), f"there is no client {client_id} in tenant {self.scope.tenant.slug}"
            )
        return definition
