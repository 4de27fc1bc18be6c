"""Invitations: an account to be, with its roles and groups, for whoever has the link.

Nobody gives by an invitation what they could not give themselves, neither when it is written nor when it is accepted:
an administrator who lost a role has no invitations left that carry it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.domain import one_time_links, registration, users
from app.domain.access import rbac
from app.domain.access.rbac import Access
from app.domain.models import Group, GroupRole, OneTimeLink, Role, User, UserGroup
from app.domain.registration import Newcomer
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.errors import Problem

MAX_SECONDS = 30 * 86400

_M = TypeVar("_M", Role, Group)


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that may still be accepted."""

    id: str
    email: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    by_mail: bool
    """It went to the address alone, so accepting it confirms the address."""
    created_by: str | None
    created_at: datetime
    expires_at: datetime


def create(
    session: Session,
    email: str,
    *,
    roles: Iterable[str] = (),
    groups: Iterable[str] = (),
    seconds: int = one_time_links.LIFETIME_SECONDS[one_time_links.INVITATION],
    by: tuple[str, Access] | None,
    by_mail: bool,
) -> tuple[Invitation, str]:
    """Write an invitation. Gives it and its token; an earlier one to the same address works no more.

    `by` is the inviting person's id and what they may do; None: an operator at the command line. Raises `Problem`:
    `user.invalid`, `user.exists`, `role.unknown`, `group.unknown`, `permission.missing`, `invitation.invalid`.
    """
    if not 60 <= seconds <= MAX_SECONDS:
        raise Problem(
            "invitation.invalid", "An invitation is good for a minute at least and 30 days at most."
        )
    checked = registration.address(email)
    if registration.is_taken(session, checked):
        raise Problem("user.exists", "There is somebody with this e-mail address already.", status=409)
    wanted_roles, wanted_groups = sorted(set(roles)), sorted(set(groups))
    require_may_give(session, wanted_roles, wanted_groups, by[1] if by else None)
    for earlier in _standing(session):
        if users.normalize(earlier.data["email"]) == users.normalize(checked):
            session.delete(earlier)
    data = {"email": checked, "roles": wanted_roles, "groups": wanted_groups, "by_mail": by_mail}
    token = one_time_links.create(
        session,
        one_time_links.INVITATION,
        data=data,
        created_by=by[0] if by else None,
        expires_at=clock.after(seconds),
    )
    link = one_time_links.find(session, one_time_links.INVITATION, token)
    if link is None:
        raise RuntimeError("an invitation that was just written is there")
    return _view(link), token


def require_may_give(
    session: Session, roles: Sequence[str], groups: Sequence[str], access: Access | None
) -> None:
    """Raise `Problem` (`permission.missing`, 403) unless `access` has everything these roles and groups bring.

    None stands for an operator, who may give everything. Raises `role.unknown` and `group.unknown` as well.
    """
    found = _named(session, Role, roles, "role")
    members = _named(session, Group, groups, "group")
    inherited = session.scalars(
        select(Role)
        .join(GroupRole, (GroupRole.tenant_id == Role.tenant_id) & (GroupRole.role_id == Role.id))
        .where(GroupRole.group_id.in_([group.id for group in members]))
    ).all()
    if access is None:
        return
    for role in (*found, *inherited):
        if role.name == rbac.SUPER_ADMIN and rbac.SUPER_ADMIN not in access.roles:
            rbac.require(rbac.NOBODY, role.name)
        for permission in role.permissions:
            rbac.require(access, permission)


def listed(session: Session, *, after: str = "", limit: int = 50) -> list[Invitation]:
    """Those that may still be accepted, oldest first."""
    return [_view(link) for link in _standing(session, after=after, limit=limit)]


def revoke(session: Session, invitation_id: str) -> Invitation:
    """Take an invitation back. Raises `Problem` (`invitation.unknown`, 404)."""
    link = session.scalar(
        select(OneTimeLink).where(
            OneTimeLink.id == invitation_id,
            OneTimeLink.purpose == one_time_links.INVITATION,
            OneTimeLink.consumed_at.is_(None),
        )
    )
    if link is None:
        raise Problem("invitation.unknown", "There is no such invitation, or it was accepted.", status=404)
    found = _view(link)
    session.execute(delete(OneTimeLink).where(OneTimeLink.id == link.id))
    return found


def find(session: Session, token: str) -> Invitation | None:
    """The invitation of a link, while it can be accepted."""
    link = one_time_links.find(session, one_time_links.INVITATION, token)
    return _view(link) if link else None


def accept(
    session: Session, tenant: TenantContext, token: str, newcomer: Newcomer
) -> tuple[User, Invitation]:
    """Make the account, with its roles and groups. One use, in the caller's transaction.

    Raises `Problem`: `link.invalid`, `permission.missing` and those of `registration.make`.
    """
    found = _view(one_time_links.take(session, one_time_links.INVITATION, token))
    require_may_give(session, found.roles, found.groups, _giver(session, found))
    user = registration.make(session, tenant, newcomer, email=found.email, verified=found.by_mail)
    for role in found.roles:
        rbac.give_role(session, user.id, role)
    for group in _named(session, Group, found.groups, "group"):
        session.add(UserGroup(user_id=user.id, group_id=group.id))
    session.flush()
    return user, found


def _giver(session: Session, found: Invitation) -> Access | None:
    """What whoever invited may do today: nothing, if they are gone. None: an operator."""
    if found.created_by is None:
        return None
    user = users.get(session, found.created_by)
    if user is None or user.disabled_at is not None:
        raise Problem("link.invalid", "This link was used before or has expired.", status=404)
    return rbac.access_of(session, user.id)


def _named(session: Session, model: type[_M], names: Sequence[str], kind: str) -> list[_M]:
    rows = {row.name: row for row in session.scalars(select(model).where(model.name.in_(names)))}
    for name in names:
        if name not in rows:
            raise Problem(f"{kind}.unknown", f"There is no {kind} {name}.", status=404)
    return [rows[name] for name in names]


def _standing(session: Session, *, after: str = "", limit: int | None = None) -> Sequence[OneTimeLink]:
    return session.scalars(
        select(OneTimeLink)
        .where(
            OneTimeLink.purpose == one_time_links.INVITATION,
            OneTimeLink.consumed_at.is_(None),
            OneTimeLink.expires_at > clock.now(),
            OneTimeLink.id > after,
        )
        .order_by(OneTimeLink.id)
        .limit(limit)
    ).all()


def _view(link: OneTimeLink) -> Invitation:
    return Invitation(
        id=link.id,
        email=link.data["email"],
        roles=tuple(link.data["roles"]),
        groups=tuple(link.data["groups"]),
        by_mail=link.data["by_mail"],
        created_by=link.created_by,
        created_at=link.created_at,
        expires_at=link.expires_at,
    )
