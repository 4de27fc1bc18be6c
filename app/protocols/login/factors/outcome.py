"""What an attempt to show who one is comes to, the same for every factor."""

from dataclasses import dataclass

from app.domain.assurance import Method


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an attempt comes from."""

    ip: str
    user_agent: str | None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """The person showed who they are, by one method."""

    user_id: str
    user_epoch: int
    method: Method
    known_device: bool = False
    """They signed in in this browser before."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Wrong, one way or another. The reason is for log and audit; the person reads one sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Too many attempts; nothing was checked."""

    reason: str
    retry_after_seconds: int
    user_id: str | None = None
    """Whose account is paused, to be told; None: nobody's, or not the account."""
