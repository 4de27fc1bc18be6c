"""`/api/v1/registration-tokens`: initial access tokens, with which clients register themselves (RFC 7591)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app.domain import initial_tokens
from app.domain.initial_tokens import MAX_NAME, MAX_USES, InitialToken
from app.infra import audit
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import Body, NamePage, NoQuery

DAY_SECONDS = 86400


class RegistrationTokenBody(Body):
    """Whom a token is for, and how long and for how many clients it is good."""

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    max_uses: Annotated[
        int | None, Field(ge=1, le=MAX_USES, description="Null: as many clients as the tenant takes.")
    ] = 1
    days: Annotated[int, Field(ge=1, le=366, description="How long it is good.")] = 7


class RegistrationTokenView(Body):
    """An initial access token, without the token itself."""

    id: str
    name: str
    uses: int
    max_uses: int | None
    created_by: str | None = Field(description="The person who made it; null: an operator.")
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class NewRegistrationToken(RegistrationTokenView):
    """One that was just made."""

    token: str = Field(description="Shown this once.")


class RegistrationTokenPage(Body):
    """Initial access tokens, oldest first."""

    registration_tokens: list[RegistrationTokenView]
    next_cursor: str | None = Field(description="Null on the last page.")


def listed(caller: Caller, query: NamePage) -> RegistrationTokenPage:
    """A page of tokens, of use or not, oldest first."""
    with pages.services().tenancy.session(caller.tenant.id) as session:
        found = initial_tokens.listed(session, after=query.cursor or "", limit=query.limit + 1)
    shown = [RegistrationTokenView(**_members(each)) for each in found[: query.limit]]
    more = shown[-1].id if len(found) > query.limit else None
    return RegistrationTokenPage(registration_tokens=shown, next_cursor=more)


def create(caller: Caller, _query: NoQuery, body: RegistrationTokenBody) -> NewRegistrationToken:
    """Make a token. Raises `Problem` (`registration.token_invalid`)."""
    parts, tenant = pages.services(), caller.tenant
    pepper = parts.deployment_secrets.pepper()
    with parts.tenancy.session(tenant.id, write=True) as session:
        found, token = initial_tokens.create(
            session,
            pepper,
            name=body.name,
            max_uses=body.max_uses,
            seconds=body.days * DAY_SECONDS,
            by=caller.user.id,
        )
        told = {"max_uses": found.max_uses, "expires_at": found.expires_at.isoformat()}
        event = caller.event("registration.token.created", target=found.id, name=found.name, **told)
        audit.record(session, event)
    return NewRegistrationToken(token=token, **_members(found))


def revoke(caller: Caller, _query: NoQuery, token_id: UUID) -> RegistrationTokenView:
    """Take one back; the clients it registered stay. Raises `Problem` (`registration.token_unknown`)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        found = initial_tokens.revoke(session, str(token_id))
        audit.record(session, caller.event("registration.token.revoked", target=found.id, name=found.name))
    return RegistrationTokenView(**_members(found))


def _members(found: InitialToken) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "uses": found.uses,
        "max_uses": found.max_uses,
        "created_by": found.created_by,
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "revoked_at": found.revoked_at,
    }
