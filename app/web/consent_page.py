"""What the consent page shows: people and scopes in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from app.domain.authorization_details import Detail, DetailsType
from app.domain.consents import DETAILS, ISSUER
from app.domain.models import User
from app.domain.resources import API_SCOPES, ResourceRecord
from app.domain.tenants import TenantContext
from app.kernel import languages
from app.web import i18n
from app.web.i18n import later

_OPENID_WORDS = {
    "openid": later("Know which account is yours"),
    "profile": later("See your profile, such as your name and picture"),
    "email": later("See your e-mail address"),
    "address": later("See your postal address"),
    "phone": later("See your phone number"),
    "groups": later("See which groups you belong to"),
    "offline_access": later("Keep this access while you are away, until you remove it"),
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


@dataclass(frozen=True, slots=True)
class DetailView:
    """An authorization detail in words, and whatever of it the words do not say."""

    sentence: str
    rest: tuple[tuple[str, str], ...]


def details(asked: Sequence[Detail], types: Mapping[str, DetailsType]) -> list[DetailView]:
    """Authorization details (RFC 9396), each in the reader's language; by its members where the type is gone."""
    return [_detail(detail, types.get(detail["type"])) for detail in asked]


def _detail(detail: Detail, known: DetailsType | None) -> DetailView:
    if known is None:
        return DetailView(str(detail["type"]), ())
    tag = languages.best([i18n.language()], tuple(known.words))
    sentence, rest = known.sentence(detail, [tag] if tag else [])
    return DetailView(sentence, tuple(rest))


def scope_words(identifier: str, scope: str, resources: Mapping[str, ResourceRecord]) -> str:
    """A scope in its own words, in the reader's language where the tenant wrote any; its name where nobody did."""
    if identifier == ISSUER:
        return _(_OPENID_WORDS[scope]) if scope in _OPENID_WORDS else scope
    record = resources.get(identifier)
    found = record.scopes.get(scope) if record else None
    if found is None:
        return scope
    if scope in API_SCOPES:
        return _(found.description)
    tag = languages.best([i18n.language()], tuple(found.descriptions))
    return (found.descriptions[tag] if tag else found.description) or scope


def resource_title(identifier: str, resources: Mapping[str, ResourceRecord], where: TenantContext) -> str:
    """A resource by name."""
    if identifier == ISSUER:
        return _("Your account at %(tenant)s", tenant=where.name)
    if identifier == where.issuer:
        return _("Administration")
    if identifier == DETAILS:
        return _("Details")
    record = resources.get(identifier)
    return (record.name if record else "") or identifier


def _group(
    identifier: str, scopes: Sequence[str], resources: Mapping[str, ResourceRecord], where: TenantContext
) -> ScopeGroup:
    record = resources.get(identifier)
    sensitive = [s for s in scopes if record and s in record.scopes and record.scopes[s].sensitive]
    plain = [scope_words(identifier, s, resources) for s in scopes if s not in sensitive]
    if not scopes:
        plain = [scope_words(ISSUER, "openid", resources)]
    return ScopeGroup(
        resource_title(identifier, resources, where),
        identifier,
        tuple(plain),
        tuple(scope_words(identifier, s, resources) for s in sensitive),
    )
