"""Roles and groups of the file."""

from app.domain.apply.changes import TenantScope, differing
from app.domain.apply.document import Path
from app.domain.apply.schema import GroupEntry, RoleEntry
from app.domain.models import Group, GroupRole, Role


class Roles:
    """Makes a tenant's roles what the file says."""

    name = "role"
    section = "roles"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope

    def load(self, entries: list[RoleEntry] | None) -> dict[str, Role]:
        """The rows by name: those the entries name, or all."""
        names = None if entries is None else [entry.name for entry in entries]
        return {row.name: row for row in self.scope.rows(Role, Role.name, names)}

    def key(self, entry: RoleEntry) -> str:
        """By what the rows are found."""
        return entry.name

    def create(self, entry: RoleEntry, path: Path) -> None:
        """Add a role."""
        row = Role(
            tenant_id=self.scope.tenant.id,
            name=entry.name,
            description=entry.description,
            permissions=_each_once(entry.permissions),
        )
        self.scope.session.add(row)
        self.scope.session.flush()
        self.scope.note("create", self.name, row.id, row.name)

    def update(self, row: Role, entry: RoleEntry, path: Path) -> None:
        """Change what the entry says of a role."""
        wanted = {
            name: value
            for name, value in (
                ("description", entry.description),
                ("permissions", _each_once(entry.permissions)),
            )
            if entry.said(name)
        }
        if row.builtin:
            if any(getattr(row, name) != value for name, value in wanted.items()):
                self.scope.fault(path, f"the role {row.name} is built in and cannot be changed")
            return
        if changed := differing(row, wanted):
            self.scope.note("update", self.name, row.id, row.name, changed)

    def delete(self, row: Role, path: Path) -> None:
        """Delete a role; whoever has it loses it."""
        if row.builtin:
            self.scope.fault(path, f"the role {row.name} is built in and cannot be deleted")
            return
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.id, row.name)

    def prunable(self, row: Role) -> bool:
        """Whether `--prune` may delete it."""
        return not row.builtin


class Groups:
    """Makes a tenant's groups what the file says."""

    name = "group"
    section = "groups"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope

    def load(self, entries: list[GroupEntry] | None) -> dict[str, Group]:
        """The rows by name: those the entries name, or all."""
        names = None if entries is None else [entry.name for entry in entries]
        return {row.name: row for row in self.scope.rows(Group, Group.name, names)}

    def key(self, entry: GroupEntry) -> str:
        """By what the rows are found."""
        return entry.name

    def create(self, entry: GroupEntry, path: Path) -> None:
        """Add a group."""
        row = Group(tenant_id=self.scope.tenant.id, name=entry.name, description=entry.description)
        self.scope.session.add(row)
        self.scope.session.flush()
        self._set_roles(row, entry, path)
        self.scope.note("create", self.name, row.id, row.name)

    def update(self, row: Group, entry: GroupEntry, path: Path) -> None:
        """Change what the entry says of a group."""
        changed = differing(row, {"description": entry.description} if entry.said("description") else {})
        if entry.said("roles") and self._set_roles(row, entry, path):
            changed.append("roles")
        if changed:
            self.scope.note("update", self.name, row.id, row.name, changed)

    def delete(self, row: Group, path: Path) -> None:
        """Delete a group; its members lose what they had through it."""
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.id, row.name)

    def prunable(self, row: Group) -> bool:
        """Whether `--prune` may delete it."""
        return True

    def _set_roles(self, group: Group, entry: GroupEntry, path: Path) -> bool:
        roles = {row.name: row.id for row in self.scope.rows(Role)}
        wanted = known_names(self.scope, entry.roles, roles, (*path, "roles"), "role")
        held = {row.role_id: row for row in self.scope.rows(GroupRole, GroupRole.group_id, [group.id])}
        names = {role_id: name for name, role_id in roles.items()}
        for role_id in sorted(wanted - held.keys()):
            self.scope.session.add(
                GroupRole(tenant_id=self.scope.tenant.id, group_id=group.id, role_id=role_id)
            )
            self.scope.record("role.assigned", group.id, group.name, role=names[role_id])
        for role_id in sorted(held.keys() - wanted):
            self.scope.session.delete(held[role_id])
            self.scope.record("role.withdrawn", group.id, group.name, role=names[role_id])
        self.scope.session.flush()
        return wanted != held.keys()


def known_names(
    scope: TenantScope, names: list[str], known: dict[str, str], path: Path, what: str
) -> set[str]:
    """The ids of what the file names, noting those the tenant does not have."""
    for index, name in enumerate(names):
        if name not in known:
            scope.fault((*path, index), f"there is no {what} {name} in tenant {scope.tenant.slug}")
    return {known[name] for name in names if name in known}


def _each_once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
