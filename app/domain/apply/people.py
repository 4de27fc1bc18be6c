"""People of the file."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import or_, select, union

from app.domain import profile, users
from app.domain.access.rbac import SUPER_ADMIN
from app.domain.apply.access import known_names
from app.domain.apply.changes import TenantScope
from app.domain.apply.document import Path
from app.domain.apply.schema import UserEntry
from app.domain.claims import PROTECTED_CLAIMS
from app.domain.models import Group, GroupRole, Role, User, UserGroup, UserRole
from app.domain.tenant_settings import ProfileAttribute, TenantSettings
from app.kernel import clock
from app.kernel.errors import Problem

_ELSEWHERE = frozenset({"email", "email_verified", "roles", "groups", "permissions", "updated_at"})
_PROFILE_FAULTS = {
    "type": "the tenant's profile wants {attribute.type} here",
    "choice": "the tenant's profile wants one of {attribute.choices} here",
    "length": "this is longer than the tenant's profile allows",
}
_NOT_TEXT = {"address": dict, "phone_number_verified": bool}


class People:
    """Makes a tenant's people what the file says."""

    name = "user"
    section = "users"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope
        self._roles: dict[str, str] | None = None
        self._groups: dict[str, str] | None = None
        self._attributes: dict[str, ProfileAttribute] | None = None

    def load(self, entries: list[UserEntry] | None) -> dict[str, User]:
        """The rows by compared user name: those the entries name, or all."""
        names = None if entries is None else [self.key(entry) for entry in entries]
        return {row.username_key: row for row in self.scope.rows(User, User.username_key, names)}

    def key(self, entry: UserEntry) -> str:
        """By what the rows are found."""
        return users.normalize(entry.username)

    def create(self, entry: UserEntry, path: Path) -> None:
        """Add a person."""
        try:
            row = User(
                tenant_id=self.scope.tenant.id,
                username=users.check_username(entry.username),
                username_key=self.key(entry),
                claims={},
            )
        except Problem as refusal:
            self.scope.fault((*path, "username"), refusal)
            return
        row.claims = self._claims({}, entry, path)
        self._set_email(row, entry, path)
        self._set_password(row, entry, path)
        if self._is_taken(row):
            self.scope.fault(path, "this user name or e-mail address is somebody else's")
            return
        self.scope.session.add(row)
        self.scope.session.flush()
        self._set_access(row, entry, path)
        self.scope.note("create", self.name, row.id, row.username, user_id=row.id)

    def update(self, row: User, entry: UserEntry, path: Path) -> None:
        """Change what the entry says of a person, but never the password."""
        changed = []
        if entry.said("claims") and (claims := self._claims(row.claims, entry, path)) != row.claims:
            row.claims = claims
            changed.append("claims")
        before = (row.email, row.email_verified)
        self._set_email(row, entry, path)
        if (row.email, row.email_verified) != before:
            changed.append("email")
            if self._is_taken(row):
                self.scope.fault((*path, "email"), "this e-mail address is somebody else's")
                return
        changed += self._set_access(row, entry, path)
        if changed:
            self.scope.note("update", self.name, row.id, row.username, changed, user_id=row.id)

    def delete(self, row: User, path: Path) -> None:
        """Delete a person and take back what was issued to them."""
        self.scope.run.revocations.revoke_user(self.scope.session, self.scope.tenant.id, row.id)
        self.scope.session.delete(row)
        self.scope.note("delete", self.name, row.id, row.username, user_id=row.id)

    def prunable(self, row: User) -> bool:
        """Whether `--prune` may delete it."""
        return True

    def _claims(self, stored: dict[str, Any], entry: UserEntry, path: Path) -> dict[str, Any]:
        for name, value in entry.claims.items():
            where = (*path, "claims", name)
            if name in PROTECTED_CLAIMS or name in _ELSEWHERE:
                self.scope.fault(where, "this claim is not set here")
            elif (wanted := _NOT_TEXT.get(name)) and value is not None and not isinstance(value, wanted):
                self.scope.fault(where, f"a {'mapping' if wanted is dict else 'boolean'} is wanted")
            elif value is not None and (fault := self._profile_fault(name, value)) is not None:
                self.scope.fault(where, fault)
        claims = {**stored, **entry.claims}
        if profile.PHONE_VERIFIED not in entry.claims:
            claims = profile.as_proven(stored, claims)
        return {k: v for k, v in claims.items() if v is not None}

    def _profile_fault(self, claim: str, value: Any) -> str | None:
        """What the tenant's profile has against a value."""
        attribute = self._attribute(claim)
        fault = profile.fault_of(attribute, value) if attribute else None
        return _PROFILE_FAULTS[fault].format(attribute=attribute) if fault else None

    def _attribute(self, claim: str) -> ProfileAttribute | None:
        """The tenant's attribute that is kept as this claim, if it has one (`people.attributes`)."""
        if self._attributes is None:
            settings = TenantSettings.model_validate(self.scope.tenant.settings)
            attributes = settings.people.attributes.items()
            self._attributes = {
                profile.claim_of(name, attribute): attribute for name, attribute in attributes
            }
        return self._attributes.get(claim)

    def _set_email(self, row: User, entry: UserEntry, path: Path) -> None:
        email = entry.email if entry.said("email") else row.email
        same = email is not None and row.email is not None and users.normalize(email) == row.email_key
        verified = entry.email_verified if entry.said("email_verified") else same and row.email_verified
        try:
            if not (same and email == row.email and verified == row.email_verified):
                users.set_email(row, email, verified=verified)
        except Problem as refusal:
            self.scope.fault((*path, "email"), refusal)

    def _set_password(self, row: User, entry: UserEntry, path: Path) -> None:
        credentials = self.scope.run.credentials
        if entry.password is not None and entry.password_hash is not None:
            self.scope.fault(path, "password and password_hash exclude each other")
            return
        try:
            if entry.password is not None:
                own = (entry.username, entry.email)
                row.password_hash = credentials.password_hash(self.scope.tenant, own, entry.password)
            elif entry.password_hash is not None:
                row.password_hash = credentials.imported_hash(entry.password_hash)
        except Problem as refusal:
            given = "password" if entry.password is not None else "password_hash"
            self.scope.fault((*path, given), refusal)
            return
        row.password_changed_at = clock.now() if row.password_hash else None
        row.must_change_password = entry.must_change_password and row.password_hash is not None

    def _is_taken(self, row: User) -> bool:
        """Whether somebody else of the tenant signs in with this user name or address."""
        keys = [key for key in (row.username_key, row.email_key) if key]
        with self.scope.session.no_autoflush:
            others = select(User.id).where(
                User.tenant_id == self.scope.tenant.id,
                or_(User.username_key.in_(keys), User.email_key.in_(keys)),
                User.id != (row.id or ""),
            )
            return self.scope.session.scalar(others.limit(1)) is not None

    def _set_access(self, row: User, entry: UserEntry, path: Path) -> list[str]:
        changed = []
        if entry.said("roles"):
            if self._roles is None:
                self._roles = {role.name: role.id for role in self.scope.rows(Role)}
            wanted = known_names(self.scope, entry.roles, self._roles, (*path, "roles"), "role")
            if self._set_roles(row, wanted, self._roles):
                changed.append("roles")
        if entry.said("groups"):
            if self._groups is None:
                self._groups = {group.name: group.id for group in self.scope.rows(Group)}
            wanted = known_names(self.scope, entry.groups, self._groups, (*path, "groups"), "group")
            if self._set_groups(row, wanted, self._groups):
                changed.append("groups")
        return changed

    def _set_roles(self, user: User, wanted: set[str], known: dict[str, str]) -> bool:
        held = {row.role_id: row for row in self.scope.rows(UserRole, UserRole.user_id, [user.id])}
        for name, role_id in known.items():
            if role_id in wanted and role_id not in held:
                self.scope.session.add(UserRole(tenant_id=user.tenant_id, user_id=user.id, role_id=role_id))
                self.scope.record("role.assigned", user.id, user.username, role=name, user_id=user.id)
            elif role_id in held and role_id not in wanted:
                self.scope.session.delete(held[role_id])
                self.scope.record("role.withdrawn", user.id, user.username, role=name, user_id=user.id)
        self.scope.session.flush()
        return wanted != held.keys()

    def _set_groups(self, user: User, wanted: set[str], known: dict[str, str]) -> bool:
        held = {row.group_id: row for row in self.scope.rows(UserGroup, UserGroup.user_id, [user.id])}
        for name, group_id in known.items():
            if group_id in wanted and group_id not in held:
                self.scope.session.add(
                    UserGroup(tenant_id=user.tenant_id, user_id=user.id, group_id=group_id)
                )
                self.scope.record("group.member.added", user.id, user.username, group=name, user_id=user.id)
            elif group_id in held and group_id not in wanted:
                self.scope.session.delete(held[group_id])
                self.scope.record("group.member.removed", user.id, user.username, group=name, user_id=user.id)
        self.scope.session.flush()
        return wanted != held.keys()


def super_admins(scope: TenantScope) -> set[str]:
    """The ids of the tenant's super_admins, directly or through a group."""
    tenant_id = scope.tenant.id
    role = select(Role.id).where(Role.tenant_id == tenant_id, Role.name == SUPER_ADMIN).scalar_subquery()
    direct = select(UserRole.user_id).where(UserRole.tenant_id == tenant_id, UserRole.role_id == role)
    inherited = (
        select(UserGroup.user_id)
        .join(
            GroupRole,
            (GroupRole.tenant_id == UserGroup.tenant_id) & (GroupRole.group_id == UserGroup.group_id),
        )
        .where(UserGroup.tenant_id == tenant_id, GroupRole.role_id == role)
    )
    return set(scope.session.scalars(union(direct, inherited)))


def usernames(scope: TenantScope, user_ids: Iterable[str]) -> list[str]:
    """The user names of some people, sorted."""
    return sorted(row.username for row in scope.rows(User, User.id, user_ids))
