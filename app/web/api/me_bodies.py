"""What `/api/v1/me/...` takes and answers with."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from app.domain.models import Authenticator
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

    @classmethod
    def of(cls, row: Authenticator) -> "FactorView":
        """An authenticator as the person sees it."""
        return cls.model_validate(
            {name: getattr(row, name) for name in ("id", "kind", "name", "created_at", "last_used_at")}
        )


class FactorBegin(Body):
    """What is to be added."""

    kind: Literal["passkey", "totp", "phone"]
    number: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=40,
            description="Of a phone, with its country code. A code is sent there.",
        ),
    ] = None


class FactorBegun(Body):
    """What is needed to set it up. Confirm it by `id` in time."""

    id: str
    kind: Literal["passkey", "totp", "phone"]
    expires_in: Annotated[int, Field(description="Seconds.")]
    secret: Annotated[str | None, Field(description="Of an authenticator app, in base32.")] = None
    uri: Annotated[
        str | None, Field(description="The same as the address authenticator apps read from a picture.")
    ] = None
    sent_to: Annotated[str | None, Field(description="Where a code was sent.")] = None
    passkey_options: Annotated[
        dict[str, Any] | None,
        Field(description="PublicKeyCredentialCreationOptions as JSON (WebAuthn section 5.1)."),
    ] = None


class FactorProof(Body):
    """That it works: a code of the app, the code that was sent, or the new passkey."""

    code: Annotated[str | None, Field(min_length=1, max_length=40)] = None
    credential: Annotated[
        dict[str, Any] | None,
        Field(description="RegistrationResponseJSON of the platform (WebAuthn section 5.1)."),
    ] = None
    name: Annotated[str | None, Field(min_length=1, max_length=100)] = None


class FactorAdded(Body):
    """What was added."""

    factor: FactorView
    recovery_codes: list[str] = Field(
        description="New ones, shown this once, where the person had none. Else empty."
    )


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
    ip: str = Field(description="Where it was last active.")
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


class EndQuery(Body):
    """What is to end."""

    everywhere: Literal["true", "false"] = Field(
        default="false",
        description="`true`: the session of the access token too, and every application that stays signed in.",
    )


class Ended(Body):
    """How many sessions ended."""

    ended: int
    signed_out: int = Field(
        description="In how many places applications stayed signed in (`offline_access`) until now."
    )


class GrantView(Body):
    """What the person allowed a client at one resource."""

    id: str
    client_id: str
    client_name: str
    resource: str
    scopes: list[str]
    allowed_at: datetime
    last_used_at: datetime | None = Field(description="When the client last got tokens.")


class LastingGrantView(Body):
    """A place where an application of the tenant's own, which asks for no consent, stays signed in."""

    id: str
    client_id: str
    client_name: str
    resources: list[str]
    scopes: list[str]
    browser: str | None = Field(
        description="What it was signed in with. Of a device, what that says of itself."
    )
    system: str | None
    device: str | None
    ip: str | None = Field(description="Where it was signed in from.")
    place: str | None = Field(description="By the operator's file of places; null where there is none.")
    signed_in_at: datetime
    last_used_at: datetime = Field(description="When it last got tokens.")


class GrantList(Body):
    """What the person allowed, and what stays signed in without asking, each newest first."""

    grants: list[GrantView]
    lasting: list[LastingGrantView] = Field(
        description="Applications without consent that stay signed in when their session ends (`offline_access`)."
    )


class Withdrawn(Body):
    """What was taken back."""

    id: str
    status: Literal["withdrawn"] = "withdrawn"


class Removed(Body):
    """What was removed."""

    id: str
    status: Literal["removed"] = "removed"
