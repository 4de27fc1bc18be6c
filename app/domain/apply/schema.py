"""The shape of the apply file. What is absent stays as it is; lists replace; `state: absent` deletes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.domain.branding import LanguageTag
from app.domain.client_metadata import CLIENT_ID_PATTERN
from app.domain.tenants import SLUG_PATTERN

State = Literal["present", "absent"]
Text = Annotated[str, StringConstraints(max_length=2000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
ScopeToken = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$")
]


class Entry(BaseModel):
    """What every object of the file has: strict members, and a state."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    state: State = Field("present", description="`absent` deletes the object.")

    def said(self, member: str) -> bool:
        """Whether the file says something of this member, even if only null."""
        return member in self.model_fields_set


class RoleEntry(Entry):
    """A named set of permissions."""

    name: Name
    description: Text = ""
    permissions: list[Name] = Field([], description="Such as `documents:read`, `documents:*` or `*`.")


class GroupEntry(Entry):
    """A named set of people, whose roles every member has."""

    name: Name
    description: Text = ""
    roles: list[Name] = []


class ScopeEntry(BaseModel):
    """A scope of a resource, in the words people read when they are asked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: ScopeToken
    description: Text = ""
    descriptions: dict[LanguageTag, Text] = Field(
        {}, description="The description in other languages: `de: Ihre Dokumente lesen`."
    )
    sensitive: bool = False
    max_age_seconds: Annotated[int, Field(ge=0)] | None = Field(
        None, description="How recent the sign-in has to be for this scope to be granted, in seconds."
    )


class ResourceEntry(Entry):
    """An API that tokens are issued for (RFC 8707)."""

    identifier: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    name: Name | None = None
    scopes: list[ScopeEntry] = []
    access_token_format: Literal["jwt", "opaque"] = "jwt"
    access_token_seconds: Annotated[int, Field(ge=10, le=86400)] | None = None
    claims: list[dict[str, Any]] = Field([], description="Claim mapper rows.")
    include: list[Literal["roles", "groups", "permissions"]] = Field(
        [], description="What its access tokens carry about the person."
    )


class DetailsTypeEntry(Entry):
    """A type of authorization details (RFC 9396): what they look like, and how people read them."""

    type: Name
    resource: Annotated[str, StringConstraints(max_length=2048)] | None = Field(
        None, description="The API that understands them; null: whichever the token is for."
    )
    schema_: dict[str, Any] = Field(
        {}, alias="schema", description="JSON Schema 2020-12. Members it does not name are refused."
    )
    words: dict[str, Text] = Field(
        {},
        description="The sentence of the consent page by language; members stand in braces: `Pay {amount} to {payee}`.",
    )
    always_ask: bool = Field(False, description="Consent to them is not remembered.")


class ClientEntry(Entry):
    """A client: any registration member this server acts on (RFC 7591, OpenID Connect Registration), and ours."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    client_id: Annotated[str, StringConstraints(pattern=CLIENT_ID_PATTERN)]
    client_secret: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = Field(
        None,
        description="A different secret than the present one rotates. Absent for a new client: one is made.",
    )

    @property
    def metadata(self) -> dict[str, Any]:
        """The registration members, as they stand in the file."""
        return dict(self.model_extra or {})


class UserEntry(Entry):
    """A person. `password`, `password_hash` and `must_change_password` are for new people only."""

    username: Name
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = Field(
        None, description="The initial password; ignored for a person who exists."
    )
    password_hash: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = Field(
        None, description="The initial password as another system hashed it; ignored for a person who exists."
    )
    must_change_password: bool = Field(
        False,
        description="Whether a new person replaces the password at the first sign-in; ignored for one who exists.",
    )
    email: Annotated[str, StringConstraints(max_length=320)] | None = None
    email_verified: bool = False
    roles: list[Name] = []
    groups: list[Name] = []
    claims: dict[str, Any] = Field(
        {}, description="OpenID Connect standard claims and the tenant's own attributes; null removes one."
    )


class TrustedIssuerEntry(Entry):
    """An issuer outside this server whose tokens are believed: keys, audiences, and what they are worth."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=2048)]

    @property
    def definition(self) -> dict[str, Any]:
        """What the file says of it."""
        return dict(self.model_extra or {})


class TenantEntry(Entry):
    """A tenant (organization), and what it holds."""

    slug: Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
    name: Name | None = None
    host: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]{1,253}(:[0-9]{1,5})?$")] | None = Field(
        None, description="A host name of its own, with its port if any; the issuer is then that origin."
    )
    settings: dict[str, Any] = Field(
        {}, description="What differs from the defaults; null returns to the default."
    )
    roles: list[RoleEntry] = []
    groups: list[GroupEntry] = []
    resources: list[ResourceEntry] = []
    authorization_details_types: list[DetailsTypeEntry] = []
    clients: list[ClientEntry] = []
    users: list[UserEntry] = []
    trusted_issuers: list[TrustedIssuerEntry] = []


class ApplyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tenants: list[TenantEntry]


KEYS = {
    "tenants": "slug",
    "roles": "name",
    "groups": "name",
    "resources": "identifier",
    "authorization_details_types": "type",
    "clients": "client_id",
    "users": "username",
    "trusted_issuers": "issuer",
    "scopes": "name",
}
"""By which member the objects of a list are told apart."""
