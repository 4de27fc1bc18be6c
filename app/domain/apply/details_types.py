"""Types of authorization details of the file (RFC 9396)."""

from typing import Any

from app.domain.apply.changes import TenantScope, differing
from app.domain.apply.document import Path
from app.domain.apply.schema import DetailsTypeEntry
from app.domain.authorization_details import schema_fault, words_fault
from app.domain.models import AuthorizationDetailsType, Resource
from app.kernel.uris import canonical_resource

_MEMBERS = ("resource", "schema", "words", "always_ask")


class DetailsTypes:
    """Makes a tenant's types of authorization details what the file says."""

    name = "details_type"
    section = "authorization_details_types"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope

    def load(self, entries: list[DetailsTypeEntry] | None) -> dict[str, AuthorizationDetailsType]:
        """The rows by type: those the entries name, or all."""
        names = None if entries is None else [entry.type for entry in entries]
        rows = self.scope.rows(AuthorizationDetailsType, AuthorizationDetailsType.type, names)
        return {row.type: row for row in rows}

    def key(self, entry: DetailsTypeEntry) -> str:
        """By what the rows are found."""
        return entry.type

    def create(self, entry: DetailsTypeEntry, path: Path) -> None:
        """Add a type."""
        row = AuthorizationDetailsType(
            tenant_id=self.scope.tenant.id,
            type=entry.type,
            **{"schema": {}, "words": {}} | self._wanted(entry),
        )
        if self._is_sound(row, path):
            self.scope.session.add(row)
            self.scope.session.flush()
            self.scope.note("create", self.name, row.type, row.type)

    def update(self, row: AuthorizationDetailsType, entry: DetailsTypeEntry, path: Path) -> None:
        """Change what the entry says of a type."""
        changed = differing(row, self._wanted(entry))
        if changed and self._is_sound(row, path):
            self.scope.note("update", self.name, row.type, row.type, changed)

    def delete(self, row: AuthorizationDetailsType, path: Path) -> None:
        """Delete a type; tokens are issued without its details from then on."""
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.type, row.type)

    def prunable(self, row: AuthorizationDetailsType) -> bool:
        """Whether `--prune` may delete it."""
        return True

    def _wanted(self, entry: DetailsTypeEntry) -> dict[str, Any]:
        wanted = {name: getattr(entry, "schema_" if name == "schema" else name) for name in _MEMBERS}
        wanted = {k: v for k, v in wanted.items() if entry.said("schema_" if k == "schema" else k)}
        if wanted.get("resource") is not None:
            wanted["resource"] = canonical_resource(wanted["resource"]) or wanted["resource"]
        return wanted

    def _is_sound(self, row: AuthorizationDetailsType, path: Path) -> bool:
        faults = [
            ("schema", schema_fault(row.schema)),
            ("words", words_fault(row.words)),
            ("resource", self._resource_fault(row.resource)),
        ]
        found = [(member, fault) for member, fault in faults if fault is not None]
        for member, fault in found:
            self.scope.fault((*path, member), fault)
        return not found

    def _resource_fault(self, resource: str | None) -> str | None:
        if resource is None or self.scope.rows(Resource, Resource.identifier, [resource]):
            return None
        return f"there is no resource {resource} in tenant {self.scope.tenant.slug}"
