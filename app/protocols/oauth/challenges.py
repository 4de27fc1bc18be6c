"""What the authorization challenge endpoint asks of the sign-in, and what it hears: the seam between the two.

The endpoint knows clients, requests and auth sessions; the sign-in knows people and factors. It is the same sign-in as
that of the pages (`web.challenge`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.protocols.oauth import errors
from app.protocols.oauth.errors import Case
from app.protocols.oauth.steps.draft import AuthorizationRequest

FACTORS = ("password", "totp", "recovery_code", "email_code", "sms_code", "passkey")
"""The parameters that show a factor. One of them at a time."""
BEGIN = ("email", "sms", "passkey")
"""What has a beginning of its own: a code is sent, or a challenge made."""
PARAMETERS = frozenset({"username", "begin", "device", *FACTORS})


@dataclass(frozen=True, slots=True)
class Typed:
    """What a request shows, or asks to begin."""

    username: str = ""
    factor: str = ""
    """One of `FACTORS`; empty: none is shown."""
    value: str = ""
    begin: str = ""
    device: str = ""
    """What an earlier answer gave the application to be known by."""

    @classmethod
    def read(cls, form: Mapping[str, str]) -> "Typed":
        """Of the parameters of a request. Raises `OAuthError`."""
        shown = [name for name in FACTORS if name in form]
        begin = form.get("begin", "")
        if len(shown) + bool(begin) > 1:
            raise errors.CHALLENGE_TWO_FACTORS(f"{shown} {begin[:20]}")
        if begin and begin not in BEGIN:
            raise errors.CHALLENGE_BEGIN(ascii(begin)[:50])
        factor = shown[0] if shown else ""
        return cls(form.get("username", ""), factor, form.get(factor, ""), begin, form.get("device", ""))


@dataclass(frozen=True, slots=True)
class Step:
    """One request of an application on a person's behalf."""

    tenant: TenantContext
    client: ClientRecord
    asked: AuthorizationRequest
    typed: Typed
    flow: str
    """A secret codes and challenges may be bound to."""
    holder: str
    """Whom what the application keeps is bound to: the client, and its key."""
    sign_in: Mapping[str, Any]
    """What the last step of this sign-in left."""
    ip: str
    user_agent: str | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Granted:
    """Everything holds."""

    code: str
    sign_in: dict[str, Any]
    seconds: int
    """So long is the person signed in."""
    device: str
    """What the application is known by from now on."""


@dataclass(frozen=True, slots=True)
class More:
    """The person has to show more. `members` say what, for the application."""

    sign_in: dict[str, Any]
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many attempts. Nothing was checked."""

    sign_in: dict[str, Any]
    reason: str
    retry_after_seconds: int


@dataclass(frozen=True, slots=True)
class Page:
    """There is something only a page can do."""

    reason: str
    sign_in: dict[str, Any] = field(default_factory=dict)
    """Empty: nothing is left of this sign-in."""
    login_hint: str = ""

    @property
    def case(self) -> Case:
        """How it is told."""
        return errors.REDIRECT_TO_WEB


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing the person does will help."""

    case: Case
    reason: str
    sign_in: dict[str, Any] = field(default_factory=dict)
    """Empty: nothing is left of this sign-in."""


Outcome = Granted | More | Wait | Page | Refused


class SignIn(Protocol):
    """Goes on with a sign-in."""

    def go_on(self, step: Step) -> Outcome:
        """Take what was shown, and say what is next. Raises `Problem` where nothing came of it."""
        ...
