"""`watchword client approve|limit|registration-token`, and what `client list` tells of clients that registered
themselves."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from app.commands.runtime import answer, json_option, say, services, tenant_of, tenant_option

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.domain.initial_tokens import InitialToken
    from app.domain.registered_clients import Standing
    from app.domain.tenants import TenantContext
    from app.web.services import Services

_DAY = 86400


def add_to(group: click.Group) -> None:
    """Add these commands to `watchword client`."""
    group.add_command(_listing(group.commands["list"]))
    for command in (approve, limit, registration_token):
        group.add_command(command)


def _listing(plain: click.Command) -> click.Command:
    """`client list`, with the options that tell of registered clients alone."""

    @click.command("list", help=plain.help)
    @click.option("--registered", is_flag=True, help="Those that registered themselves, and how they stand.")
    @click.option("--pending", is_flag=True, help="Of these, those that wait to be approved.")
    @tenant_option
    @json_option
    @click.pass_context
    def command(context: click.Context, *, registered: bool, pending: bool, slug: str, as_json: bool) -> None:
        if not (registered or pending):
            context.invoke(plain, slug=slug, as_json=as_json)
            return
        with services() as parts:
            found = _all(parts, tenant_of(parts, slug), pending=pending)
        answer([_view(each) for each in found], map(_line, found), as_json=as_json)

    return command


def _all(parts: "Services", tenant: "TenantContext", *, pending: bool) -> list["Standing"]:
    from app.domain import registered_clients

    found: list[Standing] = []
    while True:
        with parts.tenancy.session(tenant.id) as session:
            after = found[-1].client_id if found else ""
            page = registered_clients.listed(session, pending=pending, after=after)
        if not page:
            return found
        found += page


@click.command()
@click.argument("name", metavar="CLIENT_ID")
@click.option(
    "--digest", required=True, help="What `client list --pending` showed: it may have changed itself since."
)
@tenant_option
@json_option
def approve(*, name: str, digest: str, slug: str, as_json: bool) -> None:
    """Let a client that registered itself, and waits, do what it registered for."""
    from app.domain import registered_clients

    found = _change(
        slug,
        "client.approved",
        lambda session: registered_clients.approve(session, name, digest),
        lambda found: {"digest": digest, "redirect_hosts": list(found.redirect_hosts)[:20]},
    )
    line = f"{name} may be used: {found.name or 'without a name'}, {_hosts(found)}."
    answer(_view(found), [line], as_json=as_json)


@click.command()
@click.argument("name", metavar="CLIENT_ID")
@click.option("--scope", metavar="SCOPES", help='What it may ask for at most: "openid email".')
@click.option("--days", type=click.IntRange(1, 3660), help="How long it stays from now.")
@tenant_option
@json_option
def limit(*, name: str, scope: str | None, days: int | None, slug: str, as_json: bool) -> None:
    """Limit what a client that registered itself may ask for, and how long it stays. It cannot widen that itself."""
    from app.domain import registered_clients
    from app.kernel import clock

    if scope is None and days is None:
        raise click.UsageError("Say --scope, --days, or both.")
    scopes = None if scope is None else scope.split()
    expires_at = None if days is None else clock.after(days * _DAY)
    found = _change(
        slug,
        "client.limited",
        lambda session: registered_clients.limit(session, name, scopes=scopes, expires_at=expires_at),
        lambda found: {"scopes": scopes, "expires_at": expires_at.isoformat() if expires_at else None},
    )
    answer(_view(found), [_line(found)], as_json=as_json)


@click.group("registration-token")
def registration_token() -> None:
    """Initial access tokens: with one, clients register themselves."""


@registration_token.command("create")
@click.option("--name", default="", help="Whom it is for.")
@click.option(
    "--uses",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="How many clients it registers.",
)
@click.option("--unlimited", is_flag=True, help="As many clients as the tenant takes, in place of --uses.")
@click.option(
    "--days", type=click.IntRange(1, 366), default=7, show_default=True, help="How long it is good."
)
@tenant_option
@json_option
def create_token(*, name: str, uses: int, unlimited: bool, days: int, slug: str, as_json: bool) -> None:
    """Make an initial access token, and show it once."""
    from app.domain import initial_tokens

    with services() as parts:
        tenant, pepper = tenant_of(parts, slug), parts.deployment_secrets.pepper()
        with parts.tenancy.session(tenant.id, write=True) as session:
            found, token = initial_tokens.create(
                session, pepper, name=name, max_uses=None if unlimited else uses, seconds=days * _DAY, by=None
            )
            _record(
                session,
                tenant,
                "registration.token.created",
                target=found.id,
                name=found.name,
                max_uses=found.max_uses,
                expires_at=found.expires_at.isoformat(),
            )
    answer({**_token_view(found), "token": token}, [token], as_json=as_json)
    say(f"It is good until {found.expires_at:%Y-%m-%d %H:%M} UTC and is not shown again.")
    if tenant.settings.registration.clients == "off":
        say("The tenant lets no client register: set registration.clients to token.")


@registration_token.command("list")
@tenant_option
@json_option
def list_tokens(*, slug: str, as_json: bool) -> None:
    """List the initial access tokens, without the tokens themselves."""
    from app.domain import initial_tokens

    with services() as parts, parts.tenancy.session(tenant_of(parts, slug).id) as session:
        found = initial_tokens.listed(session)
    answer([_token_view(each) for each in found], map(_token_line, found), as_json=as_json)


@registration_token.command("revoke")
@click.argument("token_id", metavar="ID")
@tenant_option
@json_option
def revoke_token(*, token_id: str, slug: str, as_json: bool) -> None:
    """Take an initial access token back. The clients it registered stay."""
    from app.domain import initial_tokens

    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            found = initial_tokens.revoke(session, token_id)
            _record(session, tenant, "registration.token.revoked", target=found.id, name=found.name)
    answer(_token_view(found), [f"{token_id} registers no more clients."], as_json=as_json)


def _change(
    slug: str,
    event: str,
    change: Callable[["Session"], "Standing"],
    told: Callable[["Standing"], dict[str, Any]],
) -> "Standing":
    with services() as parts:
        tenant = tenant_of(parts, slug)
        with parts.tenancy.session(tenant.id, write=True) as session:
            found = change(session)
            name = found.name or found.client_id
            _record(
                session,
                tenant,
                event,
                client_id=found.client_id,
                target=found.client_id,
                name=name,
                **told(found),
            )
        parts.versions.touch()
    return found


def _record(
    session: "Session", tenant: "TenantContext", event: str, *, client_id: str | None = None, **data: Any
) -> None:
    from app.infra import audit

    said = audit.Event(
        event, tenant_id=tenant.id, outcome="success", client_id=client_id, data={**data, "via": "cli"}
    )
    audit.record(session, said)


def _view(found: "Standing") -> dict[str, Any]:
    return {
        "client_id": found.client_id,
        "client_name": found.name,
        "registered_at": found.registered_at,
        "approved_at": found.approved_at,
        "last_used_at": found.last_used_at,
        "expires_at": found.expires_at,
        "initial_token_id": found.initial_token_id,
        "statement_issuer": found.statement_issuer,
        "scope_limit": found.scope_limit,
        "redirect_hosts": found.redirect_hosts,
        "digest": found.digest,
    }


def _line(found: "Standing") -> str:
    used = f"used {found.last_used_at:%Y-%m-%d}" if found.last_used_at else "not used yet"
    until = f", until {found.expires_at:%Y-%m-%d}" if found.expires_at else ""
    waits = f"waits for approval, {_hosts(found)}, digest {found.digest}"
    state = waits if found.approved_at is None else used
    return f"{found.client_id}  {found.name or '-'}  {state}{until}"


def _hosts(found: "Standing") -> str:
    return (
        f"sends people to {', '.join(found.redirect_hosts)}"
        if found.redirect_hosts
        else "sends nobody anywhere"
    )


def _token_view(found: "InitialToken") -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "uses": found.uses,
        "max_uses": found.max_uses,
        "created_by": found.created_by,
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "revoked_at": found.revoked_at,
        "usable": found.fault is None,
    }


def _token_line(found: "InitialToken") -> str:
    of = "" if found.max_uses is None else f" of {found.max_uses}"
    state = "" if found.fault is None else f"  ({found.fault.rpartition('_')[2]})"
    until = f"{found.expires_at:%Y-%m-%d}"
    return f"{found.id}  {found.name or '-'}  used {found.uses}{of}, until {until}{state}"
