"""Roles and groups: what a person may do, and the check our own APIs make."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select, union
from sqlalchemy.orm import Session

from app.domain.models import Group, GroupRole, Role, UserGroup, UserRole
from app.kernel.errors import Problem

SUPER_ADMIN = "super_admin"
ADMIN = "admin"
EVERYTHING = "*"

BUILTIN_ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    SUPER_ADMIN: (
        "May do everything in this tenant and, in the default tenant, in every other.",
        (EVERYTHING,),
    ),
    ADMIN: ("May do everything in this tenant.", (EVERYTHING,)),
}


_DIRECT = select(UserRole.role_id).where(UserRole.user_id == bindparam("user_id"))
_INHERITED = (
    select(GroupRole.role_id)
    .join(
        UserGroup, (UserGroup.tenant_id == GroupRole.tenant_id) & (UserGroup.group_id == GroupRole.group_id)
    )
    .where(UserGroup.user_id == bindparam("user_id"))
)
_ROLES = select(Role.name, Role.permissions).where(
    Role.id.in_(union(_DIRECT, _INHERITED).subquery().select())
)
_GROUPS = (
    select(Group.name)
    .join(UserGroup, (UserGroup.tenant_id == Group.tenant_id) & (UserGroup.group_id == Group.id))
    .where(UserGroup.user_id == bindparam("user_id"))
)


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody is and may do, through roles held directly and through groups."""

    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()

    def allows(self, permission: str) -> bool:
        """Whether the permission is held, by itself or by a wildcard (`documents:*`, `*`)."""
        area = permission.partition(":")[0]
        return not self.permissions.isdisjoint((permission, f"{area}:*", EVERYTHING))


NOBODY = Access()


def access_of(session: Session, user_id: str) -> Access:
    """What a person of the session's tenant is and may do, in one statement for roles and one for groups."""
    roles = session.execute(_ROLES, {"user_id": user_id}).all()
    return Access(
        roles=frozenset(name for name, _ in roles),
        groups=groups_of(session, user_id),
        permissions=frozenset(permission for _, permissions in roles for permission in permissions),
    )


def roles_of(session: Session, user_id: str) -> frozenset[str]:
    """The names of a person's roles alone."""
    return frozenset(name for name, _ in session.execute(_ROLES, {"user_id": user_id}))


def groups_of(session: Session, user_id: str) -> frozenset[str]:
    """The names of a person's groups alone."""
    return frozenset(session.scalars(_GROUPS, {"user_id": user_id}))


def require(access: Access, permission: str) -> None:
    """Raise `Problem` (`permission.missing`, 403) unless `access` allows it."""
    if not access.allows(permission):
        raise Problem(
            "permission.missing", "You are not allowed to do this.", detail=f"needs {permission}", status=403
        )


def ensure_builtin_roles(session: Session, tenant_id: str) -> None:
    """Create the built-in roles the tenant lacks. Safe to call again, from a system session too."""
    present = set(
        session.scalars(select(Role.name).where(Role.tenant_id == tenant_id, Role.name.in_(BUILTIN_ROLES)))
    )
    for name, (description, permissions) in BUILTIN_ROLES.items():
        if name not in present:
            session.add(
                Role(
                    tenant_id=tenant_id,
                    name=name,
                    description=description,
                    permissions=list(permissions),
                    builtin=True,
                )
            )
    session.flush()


def give_role(session: Session, user_id: str, role_name: str) -> None:
    """Give a person a role. Raises `Problem` (`role.unknown`) when the tenant has none of that name."""
    role = session.scalar(select(Role).where(Role.name == role_name))
    if role is None:
        raise Problem("role.unknown", f"There is no role {role_name}.", status=404)
    if (
        session.scalar(select(UserRole).where(UserRole.user_id == user_id, UserRole.role_id == role.id))
        is None
    ):
        session.add(UserRole(user_id=user_id, role_id=role.id))
        session.flush()


def holders(session: Session, role_name: str) -> list[str]:
    """The ids of the people who have a role, directly or through a group."""
    role = select(Role.id).where(Role.name == role_name).scalar_subquery()
    direct = select(UserRole.user_id).where(UserRole.role_id == role)
    inherited = (
        select(UserGroup.user_id)
        .join(
            GroupRole,
            (GroupRole.tenant_id == UserGroup.tenant_id) & (GroupRole.group_id == UserGroup.group_id),
        )
        .where(GroupRole.role_id == role)
    )
    return sorted(session.scalars(union(direct, inherited)))
