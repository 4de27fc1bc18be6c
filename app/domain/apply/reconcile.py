"""Making a transaction agree with the file: deletions first, then what exists is changed and what lacks is made."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import select

from app.domain import branding, tenants
from app.domain.apply.access import Groups, Roles
from app.domain.apply.changes import Change, Pass, TenantScope, differing
from app.domain.apply.clients import Clients
from app.domain.apply.details_types import DetailsTypes
from app.domain.apply.document import Path
from app.domain.apply.issuers import Issuers
from app.domain.apply.people import People, super_admins, usernames
from app.domain.apply.resources import Resources
from app.domain.apply.schema import ApplyFile, Entry, TenantEntry
from app.domain.models import Tenant, User
from app.infra import audit
from app.kernel import spelling
from app.kernel.errors import Problem


class Kind(Protocol):
    """One kind of object of a tenant."""

    name: str
    section: str

    def load(self, entries: Any) -> dict[str, Any]:
        """The rows the entries name, or all for None, by key."""
        ...

    def key(self, entry: Any) -> str:
        """The key of an entry."""
        ...

    def create(self, entry: Any, path: Path) -> None:
        """Make what the tenant lacks."""
        ...

    def update(self, row: Any, entry: Any, path: Path) -> None:
        """Change what exists."""
        ...

    def delete(self, row: Any, path: Path) -> None:
        """Delete what exists."""
        ...

    def prunable(self, row: Any) -> bool:
        """Whether `--prune` may delete it."""
        ...


KINDS: tuple[Callable[[TenantScope], Kind], ...] = (
    Roles,
    Groups,
    Resources,
    DetailsTypes,
    Clients,
    People,
    Issuers,
)
"""In the order in which they name each other; deleted in the opposite one."""


def reconcile(run: Pass, file: ApplyFile) -> None:
    """Make what the session sees agree with the file. Faults are gathered in `run.faults`."""
    for index, entry in enumerate(file.tenants):
        path: Path = ("tenants", index)
        tenant = tenants.find(run.session, entry.slug)
        if entry.state == "absent":
            if tenant is not None:
                _delete_tenant(run, tenant, path)
            continue
        try:
            scope = _present(run, tenant, entry, path)
        except Problem as refusal:
            run.faults.add(path, refusal.public)
            continue
        _reconcile_tenant(scope, entry)


def _delete_tenant(run: Pass, tenant: Tenant, path: Path) -> None:
    default = tenants.find(run.session, tenants.DEFAULT_SLUG)
    if default is None or tenant.slug == tenants.DEFAULT_SLUG:
        run.faults.add(path, "the default tenant cannot be deleted")
        return
    run.session.delete(tenant)
    run.session.flush()
    # The tenant's own audit goes with it, so the default tenant's says what happened.
    run.changes.append(Change("delete", "tenant", tenant.slug, tenant.slug))
    told = {"target": tenant.id, "name": tenant.slug, "via": run.via}
    audit.record(
        run.session, audit.Event("tenant.deleted", tenant_id=default.id, outcome="success", data=told)
    )


def _present(run: Pass, tenant: Tenant | None, entry: TenantEntry, path: Path) -> TenantScope:
    """The tenant as the file wants it. Raises `Problem` when it cannot be made so."""
    if tenant is None:
        if run.via == "apply":
            # A slip of the pen makes one as well.
            meant = spelling.hint(entry.slug, run.session.scalars(select(Tenant.slug)))
            run.warn((*path, "slug"), f"there is no tenant {entry.slug} yet: this file creates it{meant}")
        made = tenants.create(
            run.session,
            slug=entry.slug,
            name=entry.name or entry.slug,
            host=entry.host,
            settings=branding.without_pictures(entry.settings),
        )
        tenants.update_settings(made, branding.keep_pictures(run.session, made.id, entry.settings))
        run.new_tenants.append(made.id)
        scope = TenantScope(run, made, path)
        scope.note("create", "tenant", made.id, made.slug)
        return scope
    scope = TenantScope(run, tenant, path)
    wanted = {name: getattr(entry, name) for name in ("name", "host") if entry.said(name)}
    if wanted.get("name", "") is None:
        wanted["name"] = entry.slug
    others = select(Tenant.id).where(Tenant.host == wanted.get("host"), Tenant.id != tenant.id)
    if wanted.get("host") and run.session.scalar(others):
        raise Problem("tenant.exists", f"Another tenant has the host {wanted['host']}.", status=409)
    changed = differing(tenant, wanted)
    before = dict(tenant.settings)
    tenants.update_settings(tenant, branding.keep_pictures(run.session, tenant.id, entry.settings))
    changed += [f"settings.{k}" for k in sorted(entry.settings) if before.get(k) != tenant.settings.get(k)]
    if changed:
        run.session.flush()
        scope.note("update", "tenant", tenant.id, tenant.slug, changed)
    return scope


def _reconcile_tenant(scope: TenantScope, entry: TenantEntry) -> None:
    kinds = [kind(scope) for kind in KINDS]
    had_super_admin = super_admins(scope)
    postponed: list[User] = []
    for kind in reversed(kinds):
        entries: Sequence[Entry] = getattr(entry, kind.section)
        _delete_absent(scope, kind, entries)
        if scope.run.prune and entry.said(kind.section):
            named = {kind.key(e) for e in entries}
            for key, row in kind.load(None).items():
                if isinstance(row, User) and row.id in had_super_admin and key not in named:
                    postponed.append(row)
                elif key not in named and kind.prunable(row):
                    kind.delete(row, (*scope.path, kind.section))
        scope.session.flush()
    for kind in kinds:
        _write_present(scope, kind, getattr(entry, kind.section))
    _prune_super_admins(scope, postponed)
    if had_super_admin and not super_admins(scope):
        scope.fault(
            scope.path, "this would leave the tenant without a super_admin; give the role to somebody first"
        )


def _delete_absent(scope: TenantScope, kind: Kind, entries: Sequence[Entry]) -> None:
    absent = [e for e in entries if e.state == "absent"]
    rows = kind.load(absent) if absent else {}
    for index, entry in enumerate(entries):
        if entry.state == "absent" and (row := rows.get(kind.key(entry))) is not None:
            kind.delete(row, (*scope.path, kind.section, index))
    scope.session.flush()


def _write_present(scope: TenantScope, kind: Kind, entries: Sequence[Entry]) -> None:
    rows = kind.load([e for e in entries if e.state == "present"]) if entries else {}
    for index, entry in enumerate(entries):
        if entry.state == "absent":
            continue
        path = (*scope.path, kind.section, index)
        if (row := rows.get(kind.key(entry))) is None:
            kind.create(entry, path)
        else:
            kind.update(row, entry, path)
    scope.session.flush()


def _prune_super_admins(scope: TenantScope, unnamed: list[User]) -> None:
    """Delete the super_admins the file does not name, unless nobody else would be one."""
    if not unnamed:
        return
    if super_admins(scope) <= {user.id for user in unnamed}:
        kept = ", ".join(usernames(scope, [user.id for user in unnamed]))
        scope.run.warn(
            (*scope.path, People.section), f"kept {kept}: a tenant is not left without a super_admin"
        )
        return
    people = People(scope)
    for user in unnamed:
        people.delete(user, (*scope.path, People.section))
    scope.session.flush()
