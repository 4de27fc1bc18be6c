"""What is stored, as the apply file would say it. Secrets and password hashes are left out."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import users
from app.domain.models import (
    Client,
    Group,
    GroupRole,
    Resource,
    ResourceScope,
    Role,
    Tenant,
    TrustedIssuer,
    User,
    UserGroup,
    UserRole,
)
from app.kernel.uris import canonical_resource


def tenant(row: Tenant) -> dict[str, Any]:
    """A tenant by itself."""
    return _without_none({"slug": row.slug, "name": row.name, "host": row.host, "settings": row.settings})


def names(session: Session, section: str, *, after: str = "", limit: int = 1000) -> list[str]:
    """The names of a section's objects in the session's tenant, in order, those that come after one of them."""
    column = _NAMED[section]
    return list(session.scalars(select(column).where(column > after).order_by(column).limit(limit)))


def describe(session: Session, section: str, name: str) -> dict[str, Any] | None:
    """An object of the session's tenant as an entry of the apply file, or None."""
    return _DESCRIBE[section](session, name)


def _role(session: Session, name: str) -> dict[str, Any] | None:
    row = session.scalar(select(Role).where(Role.name == name))
    if row is None:
        return None
    return {"name": row.name, "description": row.description, "permissions": row.permissions}


def _group(session: Session, name: str) -> dict[str, Any] | None:
    row = session.scalar(select(Group).where(Group.name == name))
    if row is None:
        return None
    held = select(GroupRole.role_id).where(GroupRole.group_id == row.id)
    roles = session.scalars(select(Role.name).where(Role.id.in_(held)).order_by(Role.name))
    return {"name": row.name, "description": row.description, "roles": list(roles)}


def _resource(session: Session, name: str) -> dict[str, Any] | None:
    row = session.scalar(select(Resource).where(Resource.identifier == (canonical_resource(name) or name)))
    if row is None:
        return None
    scopes = session.scalars(
        select(ResourceScope).where(ResourceScope.resource_id == row.id).order_by(ResourceScope.name)
    )
    return {
        "identifier": row.identifier,
        "name": row.name,
        "scopes": [
            {
                "name": scope.name,
                "description": scope.description,
                "descriptions": scope.descriptions,
                "sensitive": scope.sensitive,
                "max_age_seconds": scope.max_age_seconds,
            }
            for scope in scopes
        ],
        "access_token_format": row.access_token_format,
        "access_token_seconds": row.access_token_seconds,
        "claims": row.claims,
        "include": row.include,
    }


def _client(session: Session, name: str) -> dict[str, Any] | None:
    row = session.scalar(select(Client).where(Client.client_id == name))
    return None if row is None else {"client_id": row.client_id, **row.metadata_}


def _trusted_issuer(session: Session, name: str) -> dict[str, Any] | None:
    row = session.scalar(select(TrustedIssuer).where(TrustedIssuer.issuer == name))
    return None if row is None else {"issuer": row.issuer, **row.definition}


def _user(session: Session, name: str) -> dict[str, Any] | None:
    row = users.find_by_login(session, name)
    if row is None:
        return None
    roles = select(UserRole.role_id).where(UserRole.user_id == row.id)
    groups = select(UserGroup.group_id).where(UserGroup.user_id == row.id)
    return _without_none(
        {
            "username": row.username,
            "email": row.email,
            "email_verified": row.email_verified,
            "must_change_password": row.must_change_password or None,
            "roles": list(session.scalars(select(Role.name).where(Role.id.in_(roles)).order_by(Role.name))),
            "groups": list(
                session.scalars(select(Group.name).where(Group.id.in_(groups)).order_by(Group.name))
            ),
            "claims": row.claims,
        }
    )


def _without_none(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if v is not None}


_NAMED: dict[str, Any] = {
    "roles": Role.name,
    "groups": Group.name,
    "resources": Resource.identifier,
    "clients": Client.client_id,
    "users": User.username,
    "trusted_issuers": TrustedIssuer.issuer,
}
_DESCRIBE = {
    "roles": _role,
    "groups": _group,
    "resources": _resource,
    "clients": _client,
    "users": _user,
    "trusted_issuers": _trusted_issuer,
}
