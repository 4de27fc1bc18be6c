"""What the API answers with, typed: the description is written from these, and so is every answer."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_PAGE = 200

Cursor = Annotated[
    str,
    Field(pattern=r"^[1-9][0-9]{0,17}$", description="Where to go on: `next_cursor` of the page before."),
]


class Body(BaseModel):
    """Common to all bodies."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Me(Body):
    """The person an access token speaks of, and what they may do here. A scope of this API shows all of it."""

    sub: str = Field(description="The subject identifier, as the client knows it.")
    tenant: str = Field(description="The tenant's slug.")
    username: str | None = Field(description="Null without the scope `profile`.")
    email: str | None = Field(description="Null without the scope `email`.")
    email_verified: bool | None
    roles: list[str] = Field(description="Empty without a scope of this API.")
    groups: list[str] = Field(description="Empty without the scope `groups`.")
    permissions: list[str] = Field(
        description="Permissions held; `*` stands for all. Empty without a scope of this API."
    )
    client_id: str = Field(description="The client the access token was issued to.")
    scopes: list[str] = Field(description="What the access token allows.")


class TenantView(Body):
    """The tenant the token belongs to."""

    id: str
    slug: str
    name: str
    issuer: str
    host: str | None
    settings: dict[str, Any] = Field(description="Every tenant setting, defaults included.")


class AuditRecordView(Body):
    """One record of the audit, with its place in the tenant's hash chain."""

    sequence: int
    id: str
    time: datetime
    event: str
    tenant: str
    user: str | None
    email: str | None
    ip: str | None
    user_agent: str | None
    mfa_used: bool | None
    session: str | None
    client: str | None
    grant: str | None
    outcome: Literal["success", "failure"]
    reason: str | None
    data: dict[str, Any]
    previous_hash: str
    hash: str


class AuditPage(Body):
    """Records, newest first."""

    records: list[AuditRecordView]
    next_cursor: str | None = Field(description="Null on the last page.")


class DeadLetterView(Body):
    """Something the worker gave up delivering. What it holds is not shown."""

    id: int
    topic: str
    subject: str
    created_at: datetime
    dead_at: datetime
    attempts: int
    last_error: str | None


class DeadLetterPage(Body):
    """Dead letters, oldest first."""

    dead_letters: list[DeadLetterView]
    next_cursor: str | None = Field(description="Null on the last page.")


class Retry(Body):
    """The dead letter is due again."""

    id: int
    topic: str
    status: Literal["queued"] = "queued"


class InvitationBody(Body):
    """Whom to invite, and what the account will have."""

    email: Annotated[str, Field(max_length=320)]
    roles: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    groups: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    days: Annotated[int, Field(ge=1, le=30, description="How long it is good.")] = 7


class InvitationView(Body):
    """An invitation. Its link is in the mail alone."""

    id: str
    email: str
    roles: list[str]
    groups: list[str]
    created_by: str | None = Field(description="The person who invited; null: an operator.")
    created_at: datetime
    expires_at: datetime


class InvitationPage(Body):
    """Invitations, oldest first."""

    invitations: list[InvitationView]
    next_cursor: str | None = Field(description="Null on the last page.")


class PersonState(Body):
    """What became of an account."""

    sub: str
    username: str
    disabled: bool


class ProblemDetails(Body):
    """Why a request was refused (RFC 9457). `code` is a stable reason code."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    reference: str = Field(description="The request's id, by which the server's log finds it.")


class NoQuery(Body):
    """No parameters."""


class NamePage(Body):
    """Which page of a list that is ordered by id."""

    cursor: (
        Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$", description="`next_cursor` of the page before.")]
        | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class Page(Body):
    """Which page of a list."""

    cursor: Cursor | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
