"""`watchword tenant|user|group|role|client|resource|connection list|show|create|update|delete`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from app.commands import branding, people, registered_clients
from app.commands.applying import parts_of, read_text, shown_name, sources_of, tell
from app.commands.checking import check
from app.commands.client_secrets import rotate_secret
from app.commands.runtime import answer, json_option, services, tenant_of, tenant_option
from app.kernel.errors import Problem

if TYPE_CHECKING:
    from app.web.services import Services

_KINDS = {
    "tenant": ("tenants", "slug", "Tenants (organizations)."),
    "user": ("users", "username", "People."),
    "group": ("groups", "name", "Groups of people."),
    "role": ("roles", "name", "Roles: named sets of permissions."),
    "client": ("clients", "client_id", "OAuth clients."),
    "resource": ("resources", "identifier", "Protected resources (APIs) and their scopes."),
    "connection": ("trusted_issuers", "issuer", "Connections: issuers elsewhere whose tokens are believed."),
}

_DELETE_TENANT = (
    "Delete a tenant with everything in it: its users, groups, roles, clients, resources, keys and audit. "
    "There is no way back. Asks first."
)


def _group(kind: str) -> click.Group:
    section, key, doc = _KINDS[kind]
    group = click.Group(kind, help=doc)
    options = [json_option] if kind == "tenant" else [tenant_option, json_option]

    def add(name: str, doc: str, run: Any, *arguments: Any) -> None:
        command: Any = click.command(name, help=doc)
        for wrap in (*arguments, *options):
            run = wrap(run)
        group.add_command(command(run))

    named = click.argument("name", metavar=key.upper())
    file = click.argument("file", metavar="FILE|-")

    def show_list(*, as_json: bool, slug: str = "") -> None:
        found = _list(section, slug)
        answer(found, found, as_json=as_json)

    def show(*, name: str, as_json: bool, slug: str = "") -> None:
        with services() as parts:
            found = _describe(parts, kind, slug, name)
        answer(found, (), as_json=True)

    def create(*, file: str, as_json: bool, slug: str = "") -> None:
        _write(kind, slug, file, action="create", as_json=as_json)

    def update(*, file: str, as_json: bool, slug: str = "") -> None:
        _write(kind, slug, file, action="update", as_json=as_json)

    def delete(*, name: str, as_json: bool, slug: str = "") -> None:
        _delete(kind, slug, name, as_json=as_json)

    def delete_tenant(*, name: str, is_sure: bool, as_json: bool) -> None:
        if not is_sure:
            _ask_before_deleting(name)
        _delete(kind, "", name, as_json=as_json)

    add("list", f"List the {key} of every {kind}.", show_list)
    add("show", f"Show a {kind} as the apply file would say it.", show, named)
    add("create", f"Create a {kind} from an apply object in FILE.", create, file)
    add(
        "update", f"Change a {kind} by an apply object in FILE; what it does not mention stays.", update, file
    )
    if kind == "tenant":
        yes = click.option(
            "--yes", "is_sure", is_flag=True, help="Do not ask; needed where there is no terminal."
        )
        add("delete", _DELETE_TENANT, delete_tenant, yes, named)
        group.add_command(branding.brand)
    else:
        add("delete", f"Delete a {kind}.", delete, named)
    if kind == "user":
        people.add_to(group)
    if kind == "client":
        registered_clients.add_to(group)
    return group


def _list(section: str, slug: str) -> list[str]:
    from sqlalchemy import select

    from app.domain.apply import export
    from app.domain.models import Tenant
    from app.infra.tenancy import SystemReason

    with services() as parts:
        if section == "tenants":
            with parts.tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
                return list(session.scalars(select(Tenant.slug).order_by(Tenant.slug)))
        tenant = tenant_of(parts, slug)
        found: list[str] = []
        while True:
            with parts.tenancy.session(tenant.id) as session:
                page = export.names(session, section, after=found[-1] if found else "")
            if not page:
                return found
            found += page


def _describe(parts: "Services", kind: str, slug: str, name: str) -> dict[str, Any]:
    """The object as an apply entry. Raises `Problem` (`<kind>.unknown`)."""
    from app.domain import tenants
    from app.domain.apply import export
    from app.infra.tenancy import SystemReason

    if kind == "tenant":
        with parts.tenancy.system(SystemReason.TENANT_DIRECTORY) as session:
            row = tenants.find(session, name)
            found = export.tenant(row) if row else None
    else:
        with parts.tenancy.session(tenant_of(parts, slug).id) as session:
            found = export.describe(session, _KINDS[kind][0], name)
    if found is None:
        raise Problem(f"{kind}.unknown", f"There is no {kind} {name}.", status=404)
    return found


def _write(kind: str, slug: str, file: str, *, action: str, as_json: bool) -> None:
    from app.domain.apply import document
    from app.domain.apply.run import apply

    section, key, _ = _KINDS[kind]
    entries, faults = document.read_object(
        read_text(file), name=shown_name(file), sources=sources_of(file), section=section, tenant=slug
    )
    entry: Any = entries.tenants[0] if kind == "tenant" else getattr(entries.tenants[0], section)[0]
    if entry.state == "absent":
        raise click.UsageError(f"`state: absent` has no place here; use `watchword {kind} delete`.")
    name = getattr(entry, key)
    with services() as parts:
        if kind != "tenant":
            tenant_of(parts, slug)
        if _exists(parts, kind, slug, name) != (action == "update"):
            if action == "create":
                raise Problem(f"{kind}.exists", f"There is a {kind} {name} already.", status=409)
            raise Problem(f"{kind}.unknown", f"There is no {kind} {name}.", status=404)
        report = apply(parts_of(parts), entries, faults, via="cli")
        parts.versions.touch()
    tell(report, dry_run=False, as_json=as_json)


def _exists(parts: "Services", kind: str, slug: str, name: str) -> bool:
    try:
        found = _describe(parts, kind, slug, name)
    except Problem:
        return False
    # People are found by their e-mail address too, which names somebody else here.
    return kind != "user" or found["username"].casefold() == name.casefold()


def _ask_before_deleting(slug: str) -> None:
    """Have the person at the terminal say that a tenant may go.

    Raises `Problem` when there is no such tenant, `click.UsageError` without a terminal, `click.Abort` for a no.
    """
    from sqlalchemy import func, select

    from app.domain import tenants
    from app.domain.models import Client, User
    from app.infra.tenancy import SystemReason

    if slug == tenants.DEFAULT_SLUG:
        return  # It is refused whatever the answer.
    with services() as parts, parts.tenancy.system(SystemReason.COMMAND_LINE) as session:
        tenant = tenants.find(session, slug)
        if tenant is None:
            raise Problem("tenant.unknown", f"There is no tenant {slug}.", status=404)
        users, clients = (
            session.scalar(select(func.count()).select_from(model).where(model.tenant_id == tenant.id)) or 0
            for model in (User, Client)
        )
    held = (
        f"{users} {'user' if users == 1 else 'users'} and {clients} {'client' if clients == 1 else 'clients'}"
    )
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"The tenant {slug} has {held}; they and everything else of it go with it. Nobody can be asked here: "
            "give --yes to delete it."
        )
    click.confirm(f"Delete the tenant {slug} with everything in it, {held} among it?", abort=True, err=True)


def _delete(kind: str, slug: str, name: str, *, as_json: bool) -> None:
    import json

    from app.domain.apply import document
    from app.domain.apply.run import apply

    section, key, _ = _KINDS[kind]
    with services() as parts:
        found = _describe(parts, kind, slug, name)
        gone = json.dumps({key: found[key], "state": "absent"})
        entries, faults = document.read_object(
            gone, name="this command", sources=sources_of("-"), section=section, tenant=slug
        )
        try:
            report = apply(parts_of(parts), entries, faults, via="cli")
        except document.Refused as refusal:
            # There is no file whose lines could be told.
            told = "\n".join(f"{m[:1].upper()}{m[1:]}." for m in (fault.message for fault in faults.found))
            raise Problem(refusal.code, told) from None
        parts.versions.touch()
    tell(report, dry_run=False, as_json=as_json)


GROUPS = tuple(_group(kind) for kind in _KINDS)
_client = next(group for group in GROUPS if group.name == "client")
for _command in (rotate_secret, check):
    _client.add_command(_command)
