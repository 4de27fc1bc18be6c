"""Protected resources: the immutable records, and which resource a scope belongs to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sqlalchemy import select

from app.domain.claims import ClaimRule
from app.domain.models import Resource, ResourceScope
from app.infra.cache import ConfigCache
from app.infra.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class ScopeRecord:
    """A scope of a resource, in words."""

    name: str
    description: str
    sensitive: bool
    max_age_seconds: int | None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """The description in other languages, by language tag."""


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A protected resource, compiled for use."""

    identifier: str
    name: str
    scopes: Mapping[str, ScopeRecord]
    access_token_format: str
    access_token_seconds: int | None
    claims: tuple[ClaimRule, ...]
    include: frozenset[str]


API_READ = "watchword:read"
API_ADMIN = "watchword:admin"
ACCOUNT_READ = "watchword:account:read"
ACCOUNT_WRITE = "watchword:account:write"
API_SCOPES: Mapping[str, ScopeRecord] = MappingProxyType(
    {
        API_READ: ScopeRecord(API_READ, "See this organization's settings and records", False, None),
        API_ADMIN: ScopeRecord(API_ADMIN, "Change this organization's settings and records", True, None),
        ACCOUNT_READ: ScopeRecord(
            ACCOUNT_READ,
            "See your account: profile, second factors, sessions and what you allowed",
            False,
            None,
        ),
        ACCOUNT_WRITE: ScopeRecord(
            ACCOUNT_WRITE,
            "Change your account: profile, second factors, sessions and what you allowed",
            True,
            None,
        ),
    }
)
"""The scopes of our own API. Every tenant has them, for clients that are registered for them."""


INCLUDES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        API_READ: frozenset({API_READ, API_ADMIN}),
        ACCOUNT_READ: frozenset({ACCOUNT_READ, ACCOUNT_WRITE}),
    }
)
"""Which scopes are as good as one, where there are others than itself. Administering an organization does not include
anybody's own account."""


def own_api(issuer: str) -> ResourceRecord:
    """Our own API as a resource: it is named by the issuer."""
    return ResourceRecord(issuer, "Administration", API_SCOPES, "jwt", None, (), frozenset())


class ResourceDirectory:
    """Every resource of a tenant, our own API among them, without asking the database for what has not changed.

    `issuer_of` gives a tenant's issuer.
    """

    def __init__(self, tenancy: Tenancy, cache: ConfigCache, issuer_of: Callable[[str], str]) -> None:
        self._tenancy = tenancy
        self._cache = cache
        self._issuer_of = issuer_of

    def all(self, tenant_id: str) -> Mapping[str, ResourceRecord]:
        """The tenant's resources by identifier."""
        return self._cache.get(tenant_id, "resources", "", lambda: self._load(tenant_id))

    def _load(self, tenant_id: str) -> Mapping[str, ResourceRecord]:
        with self._tenancy.session(tenant_id) as session:
            scopes: dict[str, dict[str, ScopeRecord]] = {}
            for scope in session.scalars(select(ResourceScope).order_by(ResourceScope.name)):
                scopes.setdefault(scope.resource_id, {})[scope.name] = ScopeRecord(
                    scope.name,
                    scope.description,
                    scope.sensitive,
                    scope.max_age_seconds,
                    MappingProxyType(scope.descriptions),
                )
            issuer = self._issuer_of(tenant_id)
            return MappingProxyType(
                {issuer: own_api(issuer)}
                | {
                    row.identifier: ResourceRecord(
                        identifier=row.identifier,
                        name=row.name,
                        scopes=MappingProxyType(scopes.get(row.id, {})),
                        access_token_format=row.access_token_format,
                        access_token_seconds=row.access_token_seconds,
                        claims=tuple(ClaimRule.model_validate(rule) for rule in row.claims),
                        include=frozenset(row.include),
                    )
                    for row in session.scalars(select(Resource).order_by(Resource.identifier))
                }
            )
