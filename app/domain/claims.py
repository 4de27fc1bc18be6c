"""Claims about people: the standard ones by scope, and the mapper that gives them other names and shapes."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.access.rbac import Access
from app.domain.models import User
from app.kernel import clock

SCOPE_CLAIMS: dict[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
    "groups": ("groups",),
}
"""Which claims a scope asks for (OIDC Core section 5.4); `groups` is ours."""

OPENID_SCOPES = ("openid", *SCOPE_CLAIMS, "offline_access")
"""The scopes that belong to the issuer itself rather than to a resource."""

STANDARD_CLAIMS = tuple(claim for claims in SCOPE_CLAIMS.values() for claim in claims)

PROTECTED_CLAIMS = frozenset(
    "iss sub aud exp iat nbf jti client_id scope auth_time acr amr sid tenant_id cnf act may_act nonce at_hash c_hash "
    "s_hash azp events txn grant_id epoch ancestors authorization_details".split()
)
"""What a mapper may never set: other parties decide security by these."""

_PRESETS: dict[str, tuple[tuple[str, str], ...]] = {
    "keycloak": (
        ("realm_access.roles", "roles"),
        ("groups", "groups"),
        ("preferred_username", "user:preferred_username"),
    ),
    "auth0": (("permissions", "permissions"),),
    "okta": (("groups", "groups"), ("uid", "user:sub")),
    "entra": (("roles", "roles"), ("groups", "groups"), ("oid", "user:sub"), ("tid", "tenant")),
    "cognito": (("cognito:groups", "groups"), ("username", "user:preferred_username")),
}
"""The claim names other providers issue, for APIs that move here unchanged: (claim, where its value comes from)."""


class ClaimRule(BaseModel):
    """One row of a claim mapper. Exactly one of `value`, `user`, `source`, `remove` and `preset` says what it does.

    `claim` may be a path with dots, which makes nested objects. `match` keeps only the list items that match one of
    its shell patterns.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    value: Any = None
    user: Annotated[str, Field(max_length=200)] | None = None
    """A standard claim or custom attribute of the person."""
    source: Literal["roles", "groups", "permissions", "tenant"] | None = None
    match: tuple[str, ...] = ()
    remove: bool = False
    preset: Literal["keycloak", "auth0", "okta", "entra", "cognito"] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "ClaimRule":
        kinds = sum(
            (
                self.value is not None,
                self.user is not None,
                self.source is not None,
                self.remove,
                bool(self.preset),
            )
        )
        if kinds != 1:
            raise ValueError("exactly one of value, user, source, remove and preset is wanted")
        if (self.preset is None) == (self.claim is None):
            raise ValueError("claim goes with every rule but a preset")
        if self.claim and self.claim.split(".")[0] in PROTECTED_CLAIMS:
            raise ValueError(f"{self.claim} is decided by the server alone")
        return self


def person(user: User, access: Access) -> dict[str, Any]:
    """Every standard claim and custom attribute we hold of a person, `sub` included."""
    return {
        "preferred_username": user.username,
        "updated_at": clock.timestamp(user.updated_at),
        **{k: v for k, v in user.claims.items() if v is not None and k not in PROTECTED_CLAIMS},
        **({"email": user.email, "email_verified": user.email_verified} if user.email else {}),
        "groups": sorted(access.groups),
        "sub": user.id,
    }


def released(
    everything: Mapping[str, Any], scopes: Iterable[str], requested: Iterable[str] = ()
) -> dict[str, Any]:
    """The claims of a person that these scopes, and this part of a `claims` parameter, ask for. Without `sub`."""
    names = {claim for scope in scopes for claim in SCOPE_CLAIMS.get(scope, ())}
    names.update(name for name in requested if name in STANDARD_CLAIMS)
    return {name: everything[name] for name in STANDARD_CLAIMS if name in names and name in everything}


def map_claims(
    claims: Mapping[str, Any],
    rules: Iterable[ClaimRule],
    *,
    everything: Mapping[str, Any],
    access: Access,
    tenant_id: str,
) -> dict[str, Any]:
    """`claims` with the mapper's rules applied in order. `everything` is what `person` gave; empty for a client."""
    result = dict(claims)
    for rule in rules:
        if rule.preset:
            for claim, source in _PRESETS[rule.preset]:
                _set(result, claim, _source(source, everything, access, tenant_id))
        elif rule.remove and rule.claim:
            result.pop(rule.claim, None)
        elif rule.claim:
            found = (
                rule.value
                if rule.value is not None
                else _source(
                    f"user:{rule.user}" if rule.user else str(rule.source), everything, access, tenant_id
                )
            )
            if rule.match and isinstance(found, list):
                found = [
                    item for item in found if any(fnmatchcase(str(item), pattern) for pattern in rule.match)
                ]
            _set(result, rule.claim, found)
    return result


def _source(name: str, everything: Mapping[str, Any], access: Access, tenant_id: str) -> Any:
    if name.startswith("user:"):
        return everything.get(name.removeprefix("user:"))
    if name == "tenant":
        return tenant_id
    return sorted(getattr(access, name))


def _set(claims: dict[str, Any], path: str, value: Any) -> None:
    if value is None:
        return
    *parents, last = path.split(".")
    for parent in parents:
        inner = claims.get(parent)
        claims[parent] = dict(inner) if isinstance(inner, dict) else {}
        claims = claims[parent]
    claims[last] = value
