"""Where tenants are found: a table of all that are enabled, kept in memory until one changes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.models import Tenant
from app.domain.tenants import DEFAULT_SLUG, TenantContext, compile_tenant
from app.kernel.errors import Problem

MANY_CHANGED = 100
"""Where more tenants than this changed at once, all rows are read."""


class Versions(Protocol):
    """Says which configuration of each tenant is in force (`infra.versions`)."""

    def all_versions(self) -> object:
        """A value that is another one as soon as any tenant changed, appeared or went. Raises `Unavailable`."""
        ...

    def of_all(self) -> Mapping[str, int]:
        """Every tenant's version, by its id, as last read."""
        ...


@dataclass(frozen=True, slots=True)
class _Table:
    """All tenants as they were at one moment."""

    moment: object = None
    versions: Mapping[str, int] = field(default_factory=dict)
    """Of every tenant whose row was read, disabled ones included."""
    by: Mapping[tuple[str, str], TenantContext] = field(default_factory=dict)
    """The enabled ones, by `("id", ...)`, `("slug", ...)` and `("host", ...)`."""


class TenantDirectory:
    """Finds enabled tenants by slug, host or id, from a table of all of them kept in memory.

    `load` reads the rows of these ids, or every row there is. It is asked for those that changed, so that a change to
    one of many thousand tenants costs what one costs.
    """

    def __init__(
        self, load: Callable[[Collection[str] | None], list[Tenant]], versions: Versions, base_url: str
    ) -> None:
        self._load = load
        self._versions = versions
        self._base_url = base_url
        self._kept = _Table()

    def by_slug(self, slug: str) -> TenantContext | None:
        """The tenant of `/t/{slug}`."""
        return self._table().get(("slug", slug))

    def by_host(self, host: str) -> TenantContext | None:
        """The tenant whose own host name this is (in lower case, with its port if any)."""
        return self._table().get(("host", host))

    def by_id(self, tenant_id: str) -> TenantContext | None:
        """The tenant of an id."""
        return self._table().get(("id", tenant_id))

    def issuer_of(self, tenant_id: str) -> str:
        """The issuer of an enabled tenant. Raises `Problem` when there is none of this id."""
        found = self.by_id(tenant_id)
        if found is None:
            raise Problem("tenant.disabled", "This service is switched off.", status=404)
        return found.issuer

    def default(self) -> TenantContext:
        """The tenant at the base URL. Raises `Problem` when it was disabled."""
        found = self.by_slug(DEFAULT_SLUG)
        if found is None:
            raise Problem("tenant.disabled", "This service is switched off.", status=404)
        return found

    def all(self) -> list[TenantContext]:
        """Every enabled tenant, by slug."""
        return [c for (kind, _), c in sorted(self._table().items(), key=lambda i: i[1].slug) if kind == "id"]

    def _table(self) -> Mapping[tuple[str, str], TenantContext]:
        moment, kept = self._versions.all_versions(), self._kept
        if moment != kept.moment:
            # In one assignment: several threads may be here.
            kept = self._kept = self._renewed(kept, moment)
        return kept.by

    def _renewed(self, old: _Table, moment: object) -> _Table:
        # Read after `moment`: should they be newer, the next question looks once more.
        now = self._versions.of_all()
        changed = {tenant_id for tenant_id, version in now.items() if old.versions.get(tenant_id) != version}
        rows = self._load(changed if len(changed) <= MANY_CHANGED else None)
        versions = {
            name: version for name, version in old.versions.items() if name in now and name not in changed
        }
        by = dict(old.by)
        # First all that was, then all that is: one tenant may have got the slug or host another one gave up. Perhaps a
        # moment ago, when that other one's row was not read: then the name is not its own any more.
        for tenant_id in {*old.versions.keys() - now.keys(), *changed, *(row.id for row in rows)}:
            was = by.get(("id", tenant_id))
            for key in _keys(was):
                if by.get(key) is was:
                    del by[key]
        for row in rows:
            versions[row.id] = row.config_version
            if row.disabled_at is None:
                context = compile_tenant(row, self._base_url)
                by |= dict.fromkeys(_keys(context), context)
        return _Table(moment, versions, by)


def _keys(context: TenantContext | None) -> list[tuple[str, str]]:
    """What a tenant is found by."""
    if context is None:
        return []
    found = [("id", context.id), ("slug", context.slug)]
    return [*found, ("host", context.host)] if context.host else found
