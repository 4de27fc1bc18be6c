"""Issuers outside this server whose tokens a tenant believes: a cloud, a cluster, a CI system, another server.

What such a token is worth here is written down in rules: the first rule whose claims match names whom the token stands
for, a client (a service's own identity) or a person. A token no rule matches is worth nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import users
from app.domain.claim_match import ClaimMatch, find, matches, tells_apart
from app.domain.models import TrustedIssuer, User
from app.infra import jose
from app.infra.cache import ConfigCache
from app.infra.jose import ASYMMETRIC_ALGORITHMS, InvalidKeys
from app.infra.tenancy import Tenancy
from app.kernel import uris
from app.kernel.errors import Problem

MAX_ISSUER = 2048

Text = Annotated[str, Field(min_length=1, max_length=200)]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]


class IssuerRule(BaseModel):
    """Whom a token stands for, when its claims are so."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Text
    """What the audit calls it."""
    match: ClaimMatch
    client: Text | None = None
    """The client it stands for."""
    user: Text | None = None
    """The person it stands for, by user name."""
    user_claim: Text | None = None
    """Where it names the person itself: the claim that does."""
    user_by: Literal["username", "email"] = "username"
    """What that claim holds. An address counts only where both sides have verified it."""
    scopes: Annotated[list[Text], Field(max_length=200)] | None = None
    """The scopes it is good for; for a client also what it is registered for when nothing is said."""
    clients: Annotated[list[Text], Field(max_length=100)] = []
    """Who may present it for a person; nobody named: every client that is registered for the grant."""
    client_authentication: Literal["required", "none"] = "required"
    """`none`: a token that stands for a client is all that client needs to show."""

    @model_validator(mode="after")
    def _together(self) -> "IssuerRule":
        named = [n for n in ("client", "user", "user_claim") if getattr(self, n) is not None]
        if len(named) != 1:
            raise ValueError("exactly one of client, user and user_claim is wanted")
        if not tells_apart(self.match):
            raise ValueError("match: at least one claim has to have a value, or everybody would match")
        if self.client is None:
            if self.scopes is None:
                raise ValueError("scopes: say what it is good for, as nobody is asked for consent")
            if self.client_authentication == "none":
                raise ValueError("client_authentication: none is for rules that name a client")
        return self


class IssuerDefinition(BaseModel):
    """Everything said of an issuer, with its defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(max_length=200)] = ""
    jwks: dict[str, Any] | None = None
    """Its public keys. Neither this nor `jwks_uri`: they are found by OpenID Connect Discovery."""
    jwks_uri: Uri | None = None
    audiences: Annotated[list[Uri], Field(max_length=20)] = []
    """What `aud` may be besides this server's issuer and token endpoint."""
    algorithms: Annotated[list[Algorithm], Field(min_length=1, max_length=5)] = [
        "RS256",
        "PS256",
        "ES256",
        "EdDSA",
    ]
    single_use: bool = True
    """Whether a token is good for one request. Not for tokens that lie in a file until they are replaced."""
    max_seconds: Annotated[int, Field(ge=10, le=366 * 86400)] = 3600
    """How far in the future a token's `exp` may be."""
    rules: Annotated[list[IssuerRule], Field(max_length=200)] = []

    @field_validator("jwks_uri")
    @classmethod
    def _web(cls, uri: str | None) -> str | None:
        if uri is not None and not is_web_uri(uri):
            raise ValueError("an https URI is wanted (http only for a loopback address)")
        return uri

    @model_validator(mode="after")
    def _keys(self) -> "IssuerDefinition":
        if self.jwks is not None and self.jwks_uri is not None:
            raise ValueError("jwks and jwks_uri exclude each other")
        if self.jwks is not None:
            try:
                jose.parse_jwks(self.jwks)
            except InvalidKeys as fault:
                raise ValueError(f"jwks: {fault.public}") from None
        return self


@dataclass(frozen=True, slots=True)
class IssuerRecord:
    """A trusted issuer, compiled for use: nothing in it changes."""

    issuer: str
    jwks: Mapping[str, Any] | None
    jwks_uri: str | None
    audiences: frozenset[str]
    algorithms: tuple[str, ...]
    single_use: bool
    max_seconds: int
    rules: tuple[IssuerRule, ...]

    @property
    def client_id(self) -> str:
        """What its keys are kept under, which no client can be called."""
        return f"issuer {self.issuer}"

    def rule_for(self, claims: Mapping[str, Any]) -> IssuerRule | None:
        """The first rule that matches, if one does."""
        return next((rule for rule in self.rules if matches(claims, rule.match)), None)


class TrustedIssuers:
    """Finds trusted issuers without asking the database for what has not changed."""

    def __init__(self, tenancy: Tenancy, cache: ConfigCache) -> None:
        self._tenancy = tenancy
        self._cache = cache

    def get(self, tenant_id: str, issuer: str) -> IssuerRecord | None:
        """The issuer, if the tenant trusts it."""
        return self._all(tenant_id).get(issuer) if len(issuer) <= MAX_ISSUER else None

    def any(self, tenant_id: str) -> bool:
        """Whether the tenant trusts anybody."""
        return bool(self._all(tenant_id))

    def _all(self, tenant_id: str) -> Mapping[str, IssuerRecord]:
        return self._cache.get(tenant_id, "trusted-issuers", "", lambda: self._load(tenant_id))

    def _load(self, tenant_id: str) -> Mapping[str, IssuerRecord]:
        with self._tenancy.session(tenant_id) as session:
            rows = session.scalars(select(TrustedIssuer)).all()
            return MappingProxyType({row.issuer: _compiled(row) for row in rows})


def user_of(session: Session, rule: IssuerRule, claims: Mapping[str, Any]) -> User | None:
    """The person a rule's token stands for, enabled or not; None when there is none."""
    if rule.user is not None:
        return _by_name(session, rule.user)
    named = find(claims, rule.user_claim or "")
    if not isinstance(named, str) or not named:
        return None
    if rule.user_by == "username":
        return _by_name(session, named)
    # An address its own issuer has not verified may be somebody else's (RFC 9700 speaks of sub alone).
    if claims.get("email_verified") is not True:
        return None
    key = users.normalize(named)
    return session.scalar(select(User).where(User.email_key == key, User.email_verified.is_(True)))


def validate(definition: dict[str, Any]) -> dict[str, Any]:
    """What is said of an issuer, checked; only what was said.

    Raises `Problem` (`issuer.invalid`) naming every fault.
    """
    try:
        checked = IssuerDefinition.model_validate(definition)
    except ValidationError as fault:
        said = "; ".join(_sentence(error) for error in fault.errors())
        raise Problem("issuer.invalid", f"What is said of the issuer is not valid: {said}") from None
    return checked.model_dump(mode="json", exclude_unset=True)


def is_web_uri(uri: str) -> bool:
    """Whether it is an https URI, or an http one of this machine."""
    parts = uris.split(uri)
    if parts is None or not parts.hostname or "@" in parts.netloc or "#" in uri:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and uris.is_loopback_host(parts.hostname))


def _by_name(session: Session, name: str) -> User | None:
    return session.scalar(select(User).where(User.username_key == users.normalize(name)))


def _compiled(row: TrustedIssuer) -> IssuerRecord:
    said = IssuerDefinition.model_validate(row.definition)
    return IssuerRecord(
        issuer=row.issuer,
        jwks=MappingProxyType(said.jwks) if said.jwks else None,
        jwks_uri=said.jwks_uri,
        audiences=frozenset(said.audiences),
        algorithms=tuple(_aliases(said.algorithms)),
        single_use=said.single_use,
        max_seconds=said.max_seconds,
        rules=tuple(said.rules),
    )


def _aliases(algorithms: list[Algorithm]) -> list[str]:
    """Every name of each: Ed25519 is also EdDSA (RFC 9864)."""
    names = {jose.canonical_algorithm(alg) for alg in algorithms}
    return [alg for alg in ASYMMETRIC_ALGORITHMS if jose.canonical_algorithm(alg) in names]


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
