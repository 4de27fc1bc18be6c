"""Protected resources of the file, and their scopes."""

from typing import Any

from pydantic import ValidationError

from app.domain.apply.changes import TenantScope, differing
from app.domain.apply.document import Path
from app.domain.apply.schema import ResourceEntry, ScopeEntry
from app.domain.apply.sentences import sentence_of
from app.domain.claims import OPENID_SCOPES, ClaimRule
from app.domain.models import Resource, ResourceScope
from app.domain.resources import API_SCOPES
from app.kernel.uris import canonical_resource

_MEMBERS = ("name", "access_token_format", "access_token_seconds", "claims", "include")


class Resources:
    """Makes a tenant's resources what the file says."""

    name = "resource"
    section = "resources"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope

    def load(self, entries: list[ResourceEntry] | None) -> dict[str, Resource]:
        """The rows by canonical identifier: those the entries name, or all."""
        names = None if entries is None else [self.key(entry) for entry in entries]
        return {row.identifier: row for row in self.scope.rows(Resource, Resource.identifier, names)}

    def key(self, entry: ResourceEntry) -> str:
        """By what the rows are found."""
        return canonical_resource(entry.identifier) or entry.identifier

    def create(self, entry: ResourceEntry, path: Path) -> None:
        """Add a resource."""
        if canonical_resource(entry.identifier) is None:
            self.scope.fault(
                (*path, "identifier"), "an absolute URI without a fragment is wanted (RFC 8707 section 2)"
            )
            return
        row = Resource(
            tenant_id=self.scope.tenant.id,
            identifier=self.key(entry),
            **{"name": entry.identifier, "include": [], "claims": []} | self._wanted(entry, path),
        )
        self.scope.session.add(row)
        self.scope.session.flush()
        self._set_scopes(row, entry, path)
        self.scope.note("create", self.name, row.id, row.identifier)

    def update(self, row: Resource, entry: ResourceEntry, path: Path) -> None:
        """Change what the entry says of a resource."""
        changed = differing(row, self._wanted(entry, path))
        if entry.said("scopes") and self._set_scopes(row, entry, path):
            changed.append("scopes")
        if changed:
            self.scope.note("update", self.name, row.id, row.identifier, changed)

    def delete(self, row: Resource, path: Path) -> None:
        """Delete a resource; no more tokens are issued for it."""
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.id, row.identifier)

    def prunable(self, row: Resource) -> bool:
        """Whether `--prune` may delete it."""
        return True

    def _wanted(self, entry: ResourceEntry, path: Path) -> dict[str, Any]:
        wanted = {name: getattr(entry, name) for name in _MEMBERS if entry.said(name)}
        if wanted.get("name", "") is None:
            wanted["name"] = entry.identifier
        if "claims" in wanted:
            wanted["claims"] = self._claims(entry, path)
        return wanted

    def _claims(self, entry: ResourceEntry, path: Path) -> list[Any]:
        rules = []
        for index, rule in enumerate(entry.claims):
            try:
                rules.append(ClaimRule.model_validate(rule).model_dump(mode="json", exclude_unset=True))
            except ValidationError as fault:
                for error in fault.errors():
                    self.scope.fault((*path, "claims", index, *error["loc"]), sentence_of(error))
        return rules

    def _set_scopes(self, resource: Resource, entry: ResourceEntry, path: Path) -> bool:
        held = {
            row.name: row for row in self.scope.rows(ResourceScope, ResourceScope.resource_id, [resource.id])
        }
        changed = False
        for index, wanted in enumerate(entry.scopes):
            if wanted.name in OPENID_SCOPES:
                self.scope.fault((*path, "scopes", index, "name"), f"{wanted.name} belongs to OpenID Connect")
                continue
            if wanted.name in API_SCOPES:
                self.scope.fault(
                    (*path, "scopes", index, "name"), f"{wanted.name} belongs to this server's own API"
                )
                continue
            row = held.pop(wanted.name, None)
            if row is None:
                self.scope.session.add(
                    ResourceScope(
                        tenant_id=self.scope.tenant.id,
                        resource_id=resource.id,
                        name=wanted.name,
                        **_scope_values(wanted),
                    )
                )
            changed |= row is None or bool(differing(row, _scope_values(wanted)))
        for row in held.values():
            self.scope.session.delete(row)
        self.scope.session.flush()
        return changed or bool(held)


def _scope_values(entry: ScopeEntry) -> dict[str, Any]:
    return {
        "description": entry.description,
        "descriptions": entry.descriptions,
        "sensitive": entry.sensitive,
        "max_age_seconds": entry.max_age_seconds,
    }
