"""`watchword user invite|unlock|demand-password|recover|sign-out|keep-address|disable|enable`: what is done to people
beside what is applied."""

from typing import TYPE_CHECKING, Any

import click

from app.commands.runtime import answer, json_option, say, services, tenant_of, tenant_option

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.domain.models import User
    from app.domain.tenants import TenantContext
    from app.web.services import Services

_DAY = 86400


def add_to(group: click.Group) -> None:
    """Add these commands to `watchword user`."""
    for command in (invite, unlock, demand_password, recover, sign_out, keep_address, disable, enable):
        group.add_command(command)


@click.command()
@click.argument("email")
@click.option("--role", "roles", multiple=True, metavar="NAME", help="A role the person gets. Repeatable.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group they join. Repeatable.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How long it is good.")
@click.option(
    "--print",
    "by_hand",
    is_flag=True,
    help="Print the link in place of mailing it; the address stays unconfirmed.",
)
@tenant_option
@json_option
def invite(
    *,
    email: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    days: int,
    by_hand: bool,
    slug: str,
    as_json: bool,
) -> None:
    """Invite somebody to make an account, by a mail to EMAIL."""
    from app.domain import invitations
    from app.web import mails

    with services() as parts, mails.outside_requests(parts):
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            found, token = invitations.create(
                session,
                email,
                roles=roles,
                groups=groups,
                seconds=days * _DAY,
                by=None,
                by_mail=not by_hand,
            )
            url = mails.link(tenant, "invitation", token=token)
            if not by_hand:
                language = tenant.settings.languages.default
                mails.send(
                    session,
                    tenant,
                    "invitation",
                    found.email,
                    language,
                    link=url,
                    expires_at=found.expires_at,
                )
            told = {"roles": list(found.roles), "groups": list(found.groups), "by_mail": not by_hand}
            _record(session, tenant, "invitation.created", target=found.id, name=found.email, **told)
    shown = {"id": found.id, "email": found.email, "expires_at": found.expires_at, **told}
    if by_hand:
        answer({**shown, "url": url}, [url], as_json=as_json)
        say(f"It works once, until {found.expires_at:%Y-%m-%d %H:%M} UTC.")
    else:
        answer(shown, [f"Invited {found.email}."], as_json=as_json)


@click.command()
@click.argument("username")
@click.option("--mail", "by_mail", is_flag=True, help="Mail the link to the person in place of printing it.")
@tenant_option
@json_option
def recover(*, username: str, by_mail: bool, slug: str, as_json: bool) -> None:
    """Make a link with which a person who lost everything sets a new password; their second factors go."""
    from app.domain import recovery
    from app.kernel.errors import Problem
    from app.web import mails

    with services() as parts, mails.outside_requests(parts):
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            user = _find(session, username)
            if by_mail and user.email is None:
                raise Problem("email.missing", f"{user.username} has no e-mail address.", status=409)
            token, expires_at = recovery.create(session, user, by=None)
            url = mails.link(tenant, "recover", token=token)
            if by_mail and user.email is not None:
                language = mails.language_of(user)
                mails.send(session, tenant, "recover", user.email, language, link=url, expires_at=expires_at)
            told = {"target": user.id, "name": user.username, "by_mail": by_mail}
            _record(session, tenant, "account.recovery.created", **told)
            name = user.username
    shown = {"username": name, "by_mail": by_mail, "expires_at": expires_at}
    if by_mail:
        answer(shown, [f"Sent {name} a link."], as_json=as_json)
    else:
        answer({**shown, "url": url}, [url], as_json=as_json)
        say("Give it to the person and nobody else. It works once, within a day.")


@click.command()
@click.argument("username")
@tenant_option
@json_option
def unlock(*, username: str, slug: str, as_json: bool) -> None:
    """Forget the failed sign-ins of an account, passwords and second factors alike, so that every device may try
    again."""
    from app.protocols.login.factors import failures

    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            user = _find(session, username)
            _record(session, tenant, "user.unlocked", target=user.id, name=user.username)
            name, user_id = user.username, user.id
        failures.forget(parts.state, tenant.id, user_id, *failures.KINDS)
    answer({"username": name, "unlocked": True}, [f"{name} may try again."], as_json=as_json)


@click.command("demand-password")
@click.argument("username")
@tenant_option
@json_option
def demand_password(*, username: str, slug: str, as_json: bool) -> None:
    """Ask a person for a new password, which the pages want before anything else; sessions go on until then."""
    from app.domain import new_passwords

    def demand(_parts: "Services", _session: "Session", user: "User") -> dict[str, Any]:
        new_passwords.demand(user)
        return {}

    name, _ = _change(slug, username, "user.password_demanded", demand)
    answer(
        {"username": name, "must_change_password": True},
        [f"{name} sets a new password at the next sign-in."],
        as_json=as_json,
    )


@click.command("sign-out")
@click.argument("username")
@tenant_option
@json_option
def sign_out(*, username: str, slug: str, as_json: bool) -> None:
    """End every session of a person, and tell the applications; the person may sign in anew."""
    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            user = _find(session, username)
            ended = len(parts.sessions.end_all(session, tenant, user.id))
            _record(session, tenant, "user.signed_out", target=user.id, name=user.username, sessions=ended)
            name = user.username
    answer({"username": name, "sessions": ended}, [f"Ended {ended} sessions of {name}."], as_json=as_json)


@click.command("keep-address")
@click.argument("username")
@tenant_option
@json_option
def keep_address(*, username: str, slug: str, as_json: bool) -> None:
    """Leave a person the e-mail address they have: no former mailbox may take the change back any more."""
    from app.domain import one_time_links

    def keep(_parts: "Services", session: "Session", user: "User") -> dict[str, Any]:
        ended = len(one_time_links.undoing(session, user.id))
        one_time_links.withdraw_of(session, user.id, one_time_links.UNDO_EMAIL)
        return {"count": ended}

    name, told = _change(slug, username, "email.change.kept", keep)
    answer(
        {"username": name, **told},
        [f"{name} keeps the address; ended {told['count']} links."],
        as_json=as_json,
    )


@click.command()
@click.argument("username")
@tenant_option
@json_option
def disable(*, username: str, slug: str, as_json: bool) -> None:
    """Close an account: the person is signed out everywhere, and every token and grant of theirs is worth nothing."""
    from app.domain import account_access

    def close(parts: "Services", session: "Session", user: "User") -> dict[str, Any]:
        return {"grants": account_access.disable(session, user, revocations=parts.revocations)}

    name, told = _change(slug, username, "user.disabled", close)
    answer({"username": name, "disabled": True, **told}, [f"{name} is disabled."], as_json=as_json)


@click.command()
@click.argument("username")
@tenant_option
@json_option
def enable(*, username: str, slug: str, as_json: bool) -> None:
    """Open a disabled account. The person signs in anew."""
    from app.domain import account_access

    def reopen(_parts: "Services", _session: "Session", user: "User") -> dict[str, Any]:
        account_access.enable(user)
        return {}

    name, _ = _change(slug, username, "user.enabled", reopen)
    answer({"username": name, "disabled": False}, [f"{name} is enabled."], as_json=as_json)


def _change(slug: str, username: str, event: str, change: Any) -> tuple[str, dict[str, Any]]:
    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            user = _find(session, username)
            told: dict[str, Any] = change(parts, session, user)
            _record(session, tenant, event, target=user.id, name=user.username, **told)
            return user.username, told


def _find(session: "Session", username: str) -> "User":
    """The person. Raises `Problem` (`user.unknown`)."""
    from app.domain import users
    from app.kernel.errors import Problem

    user = users.find_by_login(session, username)
    if user is None:
        raise Problem("user.unknown", f"There is no user {username}.", status=404)
    return user


def _record(session: "Session", tenant: "TenantContext", name: str, /, **data: Any) -> None:
    from app.infra import audit

    event = audit.Event(name, tenant_id=tenant.id, outcome="success", data={**data, "via": "cli"})
    audit.record(session, event)
