"""New people: who may become one, and how an account is made of what they say."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.domain import authenticators, one_time_links, profile, terms, users
from app.domain.models import User
from app.domain.tenant_settings import RegistrationSettings
from app.domain.tenants import TenantContext
from app.kernel.errors import Problem


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What somebody says who makes an account."""

    username: str
    password_hash: str | None
    attributes: dict[str, Any] = field(default_factory=dict)
    """By name, as typed in."""
    terms_version: str | None = None
    """What they agreed to."""
    locale: str | None = None
    """The language they made the account in."""


def is_offered(settings: RegistrationSettings) -> bool:
    """Whether anybody may make an account who was not invited."""
    return settings.people != "invitation"


def address(text: str) -> str:
    """An e-mail address in its normal form. Raises `Problem` (`user.invalid`)."""
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise Problem("user.invalid", "This is not an e-mail address.") from None


def admits(settings: RegistrationSettings, email: str) -> bool:
    """Whether whoever reads mail at this address may make an account."""
    if settings.people == "domain":
        return email.rpartition("@")[2].casefold() in settings.domains
    return settings.people == "open"


def is_taken(session: Session, email: str) -> bool:
    """Whether somebody signs in with this address."""
    key = users.normalize(email)
    found = session.scalar(select(User.id).where(or_(User.username_key == key, User.email_key == key)))
    return found is not None


def unfinished(session: Session, tenant: TenantContext, email: str) -> User | None:
    """Whose account of this address has nothing that signs in, where people have passkeys and no passwords: who left
    before there was a passkey, or had a password when those were a method."""
    methods = tenant.settings.authentication.methods
    if "password" in methods or "passkey" not in methods:
        return None
    user = session.scalar(select(User).where(User.email_key == users.normalize(email)))
    if user is None or user.disabled_at is not None:
        return None
    held = authenticators.holdings(session, user)
    return None if held.passkeys or authenticators.can_sign_in(held, methods) else user


def resume(session: Session, user: User, *, interaction_id: str | None) -> str:
    """The token of the link that goes to somebody whose account is `unfinished`: whoever opens it adds a passkey."""
    data = {"email": user.email, "interaction": interaction_id}
    return one_time_links.create(session, one_time_links.REGISTRATION, user_id=user.id, data=data)


def begin(session: Session, email: str, *, interaction_id: str | None) -> str:
    """The token of the link that goes to the address: whoever opens it makes the account."""
    data = {"email": email, "interaction": interaction_id}
    return one_time_links.create(session, one_time_links.REGISTRATION, data=data)


def complete(session: Session, tenant: TenantContext, token: str, newcomer: Newcomer) -> User:
    """Make the account of a registration's link, whose address is confirmed by it.

    One use: the link is taken in the caller's transaction. Raises `Problem`: `link.invalid`, `registration.closed`,
    `terms.unmet` and those of `make`.
    """
    link = one_time_links.take(session, one_time_links.REGISTRATION, token)
    if not admits(tenant.settings.registration, link.data["email"]):
        raise Problem("registration.closed", "Accounts are not made by oneself here.", status=403)
    return make(session, tenant, newcomer, email=link.data["email"], verified=True)


def make(session: Session, tenant: TenantContext, newcomer: Newcomer, *, email: str, verified: bool) -> User:
    """Add the person, with their profile and their consent to the terms.

    A user name with an @ may be nobody's address but their own: it would tell whether the address is taken, and keep
    its owner out. Raises `Problem`: `user.invalid`, `user.exists`, `profile.invalid`, `terms.unmet`, `terms.changed`.
    """
    username, claims = _examined(tenant, newcomer, email)
    user = users.create(
        session,
        username=username,
        email=email,
        email_verified=verified,
        password_hash=newcomer.password_hash,
        claims=claims,
    )
    if tenant.settings.terms is not None:
        terms.agree(tenant.settings.terms, user, newcomer.terms_version or "")
    return user


def check(session: Session, tenant: TenantContext, newcomer: Newcomer, *, email: str) -> None:
    """What `make` raises, before anything is done for the newcomer that costs something, as hashing does."""
    username, _claims = _examined(tenant, newcomer, email)
    keys = {"username_key": users.normalize(username), "email_key": users.normalize(email)}
    users.check_free(session, User(**keys))


def _examined(tenant: TenantContext, newcomer: Newcomer, email: str) -> tuple[str, dict[str, Any]]:
    """The user name and the claims. Raises what `make` does without looking at other people."""
    settings = tenant.settings
    username = users.check_username(newcomer.username)
    # As it is compared: other signs than this one become an @ (NFKC).
    if "@" in users.normalize(username) and users.normalize(username) != users.normalize(email):
        raise Problem("user.invalid", "A user name with an @ has to be your own e-mail address.")
    attributes = settings.people.attributes
    claims = profile.changed(attributes, {}, newcomer.attributes, by=profile.PERSON)
    if absent := profile.missing(attributes, claims, by=profile.PERSON):
        raise profile.ProfileFaults(dict.fromkeys(absent, "missing"))
    if newcomer.locale and "locale" in attributes:
        claims.setdefault("locale", newcomer.locale)
    if settings.terms is not None:
        terms.check(settings.terms, newcomer.terms_version)
    return username, claims


def own_words(username: str, email: str, attributes: dict[str, Any]) -> Iterable[str]:
    """What a password should not be made of."""
    return (username, email, *(str(value) for value in attributes.values() if isinstance(value, str)))
