"""`/api/v1/users/<id>/...`: what an administrator does to somebody's account.

Nobody does it to a person who may do more than they: they could else silence that person, or become them.
"""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.domain import account_access, new_passwords, recovery, users
from app.domain.access import rbac
from app.domain.models import User
from app.infra import audit
from app.kernel.errors import Problem
from app.protocols.login.factors import failures
from app.web import mails, pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery, PersonState


def disable(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """Close an account."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        grants = account_access.disable(session, user, revocations=pages.services().revocations)
        return _done(session, caller, user, "user.disabled", grants=grants)


def enable(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """Open a disabled account."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        account_access.enable(user)
        return _done(session, caller, user, "user.enabled")


def sign_out(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """End every session of a person, who may sign in anew. What lives no longer than a session ends with it."""
    parts, tenant = pages.services(), caller.tenant
    with parts.tenancy.session(tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        ended = parts.sessions.end_all(session, tenant, user.id)
        return _done(session, caller, user, "user.signed_out", sessions=len(ended))


def unlock(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """Forget failed sign-ins: passwords and second factors, on every device."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        done = _done(session, caller, user, "user.unlocked")
    failures.forget(pages.services().state, caller.tenant.id, done.sub, *failures.KINDS)
    return done


def demand_password(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """Ask a person for a new password. Raises `Problem` (`password.missing`, 409)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        new_passwords.demand(user)
        return _done(session, caller, user, "user.password_demanded")


def recover(caller: Caller, _query: NoQuery, user_id: UUID) -> PersonState:
    """Mail the link; nobody but the person ever sees it. Raises `Problem` (`email.missing`, 409)."""
    tenant = caller.tenant
    with pages.services().tenancy.session(tenant.id, write=True) as session:
        user = _other(session, caller, user_id)
        if user.email is None:
            raise Problem("email.missing", "This person has no e-mail address.", status=409)
        token, expires_at = recovery.create(session, user, by=(caller.user.id, caller.access))
        link = mails.link(tenant, "recover", token=token)
        language = mails.language_of(user)
        mails.send(session, tenant, "recover", user.email, language, link=link, expires_at=expires_at)
        return _done(session, caller, user, "account.recovery.created", by_mail=True)


def _other(session: Session, caller: Caller, user_id: UUID) -> User:
    """The person. Raises `Problem` (`user.unknown`, 404), and `permission.missing` for somebody mightier."""
    user = users.get(session, str(user_id))
    if user is None:
        raise Problem("user.unknown", "There is no such person.", status=404)
    recovery.require_no_more(rbac.access_of(session, user.id), caller.access)
    return user


def _done(session: Session, caller: Caller, user: User, event: str, **data: Any) -> PersonState:
    audit.record(session, caller.event(event, target=user.id, name=user.username, **data))
    return PersonState(sub=user.id, username=user.username, disabled=user.disabled_at is not None)
