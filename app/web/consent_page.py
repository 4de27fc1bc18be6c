"""What the consent page shows: people and scopes in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.consents import ISSUER
from app.domain.models import User
from app.domain.resources import ResourceRecord
from app.domain.tenants import TenantContext

_OPENID_WORDS = {
    "openid": "Know which account is yours",
    "profile": "See your profile, such as your name and picture",
    "email": "See your e-mail address",
    "address": "See your postal address",
    "phone": "See your phone number",
    "groups": "See which groups you belong to",
    "offline_access": "Keep this access while you are away, until you take it back",
}


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person, as pages show them."""

    name: str
    login: str
    initial: str


@dataclass(frozen=True, slots=True)
class ScopeGroup:
    """The scopes of one resource, in words, the sensitive ones apart."""

    title: str
    identifier: str
    plain: tuple[str, ...]
    sensitive: tuple[str, ...]


def person_view(user: User | None) -> PersonView | None:
    """Somebody, by name and by what they sign in with."""
    if user is None:
        return None
    name = str(user.claims.get("name") or user.username)
    return PersonView(name, user.email or user.username, (name.strip() or "?")[0].upper())


def groups(
    by_resource: Mapping[str, Sequence[str]], resources: Mapping[str, ResourceRecord], where: TenantContext
) -> list[ScopeGroup]:
    """What is asked for, grouped by resource."""
    return [_group(identifier, scopes, resources, where) for identifier, scopes in by_resource.items()]


def scope_words(identifier: str, scope: str, resources: Mapping[str, ResourceRecord]) -> str:
    """A scope in its own words; its name where nobody wrote any."""
    if identifier == ISSUER:
        return _OPENID_WORDS.get(scope, scope)
    record = resources.get(identifier)
    found = record.scopes.get(scope) if record else None
    return (found.description if found else "") or scope


def resource_title(identifier: str, resources: Mapping[str, ResourceRecord], where: TenantContext) -> str:
    """A resource by name."""
    if identifier == ISSUER:
        return f"Your account at {where.name}"
    record = resources.get(identifier)
    return (record.name if record else "") or identifier


def _group(
    identifier: str, scopes: Sequence[str], resources: Mapping[str, ResourceRecord], where: TenantContext
) -> ScopeGroup:
    record = resources.get(identifier)
    sensitive = [s for s in scopes if record and s in record.scopes and record.scopes[s].sensitive]
    plain = [scope_words(identifier, s, resources) for s in scopes if s not in sensitive]
    if not scopes:
        plain = ["Know which account is yours"]
    return ScopeGroup(
        resource_title(identifier, resources, where),
        identifier,
        tuple(plain),
        tuple(scope_words(identifier, s, resources) for s in sensitive),
    )
