"""What `/api/v1/me/...` takes and answers with."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from app.web.api.bodies import Body

ProfileValue = str | int | bool | None


class ProfileView(Body):
    """A person's profile, as the tenant's `people.attributes` has it."""

    attributes: dict[str, ProfileValue] = Field(
        description="Every attribute the person may see; null: no value."
    )
    editable: list[str] = Field(description="The attributes the person may change.")


class ProfileChange(Body):
    """Values to change. What is not named stays; null takes a value away."""

    attributes: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=200)], ProfileValue],
        Field(min_length=1, max_length=100),
    ]


class FactorView(Body):
    """Something the person registered to sign in with."""

    id: str
    kind: Literal["passkey", "totp", "phone"]
    name: str
    created_at: datetime
    last_used_at: datetime | None


class FactorList(Body):
    """What somebody has to sign in with."""

    factors: list[FactorView]
    has_password: bool
    recovery_codes_left: int


class FactorChange(Body):
    """A new name for a factor."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class RecoveryCodesLeft(Body):
    """How many recovery codes are unused."""

    left: int


class RecoveryCodes(Body):
    """New recovery codes, shown this once. Those the person had before are worth nothing now."""

    codes: list[str]


class SessionItem(Body):
    """A browser in which the person is signed in."""

    id: str
    is_current: bool = Field(description="The one the access token came of.")
    browser: str | None
    system: str | None
    device: str | None
    ip: str
    place: str | None = Field(description="By the operator's file of places; null where there is none.")
    created_at: datetime
    signed_in_at: datetime = Field(description="When the person last showed who they are.")
    last_active_at: datetime
    amr: list[str]
    clients: list[str] = Field(description="The names of the applications used in it.")


class SessionList(Body):
    """Every session, this one first, then the one used last."""

    sessions: list[SessionItem]
    fresh_until: dict[str, datetime] = Field(
        description="Until when the sign-in is recent enough, by what it is for (`sessions.reauthenticate_for`)."
    )


class Ended(Body):
    """How many sessions ended."""

    ended: int


class GrantView(Body):
    """What the person allowed a client at one resource."""

    id: str
    client_id: str
    client_name: str
    resource: str
    scopes: list[str]
    allowed_at: datetime
    last_used_at: datetime | None = Field(description="When the client last got tokens.")


class GrantList(Body):
    """What the person allowed, newest first."""

    grants: list[GrantView]


class Withdrawn(Body):
    """What was taken back."""

    id: str
    status: Literal["withdrawn"] = "withdrawn"


class Removed(Body):
    """What was removed."""

    id: str
    status: Literal["removed"] = "removed"
