"""Roles, groups and who has them."""

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import ids


class Role(TenantOwned, Model):
    """A named set of permissions. Built-in ones cannot be changed or deleted."""

    __tablename__ = "roles"
    bumps_config_version = True
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    permissions: Mapped[list[str]] = mapped_column(default=list)
    builtin: Mapped[bool] = mapped_column(default=False)


class Group(TenantOwned, Model):
    """A named set of people, which may carry roles."""

    __tablename__ = "groups"
    bumps_config_version = True
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")


def _belongs(table: str, column: str) -> ForeignKeyConstraint:
    """A reference that stays within the tenant: the tenant is part of it."""
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete="CASCADE"
    )


class GroupRole(TenantOwned, Model):
    """A role every member of a group has."""

    __tablename__ = "group_roles"
    bumps_config_version = True
    __table_args__ = (_belongs("groups", "group_id"), _belongs("roles", "role_id"))

    group_id: Mapped[str] = mapped_column(primary_key=True)
    role_id: Mapped[str] = mapped_column(primary_key=True)


class UserRole(TenantOwned, Model):
    """A role a person has directly."""

    __tablename__ = "user_roles"
    __table_args__ = (_belongs("users", "user_id"), _belongs("roles", "role_id"))

    user_id: Mapped[str] = mapped_column(primary_key=True)
    role_id: Mapped[str] = mapped_column(primary_key=True)


class UserGroup(TenantOwned, Model):
    """A person's membership of a group."""

    __tablename__ = "user_groups"
    __table_args__ = (_belongs("users", "user_id"), _belongs("groups", "group_id"))

    user_id: Mapped[str] = mapped_column(primary_key=True)
    group_id: Mapped[str] = mapped_column(primary_key=True)
