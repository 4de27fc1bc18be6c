"""What a tenant lets clients that register themselves be (setting `registration.client_rules`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.claims import OPENID_SCOPES
from app.domain.client_metadata import DEVICE_CODE, GRANT_TYPE_PATTERN

Scope = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21\x23-\x5B\x5D-\x7E]+$")]


class ClientRulesSettings(BaseModel):
    """Clients that register themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    approval: bool = False
    """Whether an administrator has to approve a client before it may do anything."""
    max_clients: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """So many of them at a time. A quarter is kept for those that bring an initial access token."""
    lifetime_days: Annotated[int, Field(ge=0, le=3660)] = 0
    """After so many days a client is removed, whatever it does; 0: never."""
    unused_days: Annotated[int, Field(ge=0, le=3660)] = 30
    """A client that was granted nothing for so many days is removed; 0: never. One that came without an initial access
    token, and was never granted anything, is removed after a day whatever this says."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=200)] = tuple(
        scope for scope in OPENID_SCOPES if scope != "groups"
    )
    """What they may ask people for. A client that names no scope may ask for all of these."""
    grant_types: Annotated[
        tuple[Annotated[str, Field(pattern=GRANT_TYPE_PATTERN)], ...], Field(min_length=1, max_length=20)
    ] = ("authorization_code", "refresh_token", DEVICE_CODE)
    """`implicit` goes with `legacy_response_types`."""
    authorization_details_types: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=200)
    ] = ()
    software_statements: Literal["off", "optional", "required"] = "off"
    """Whether somebody in `statement_issuers` may, or has to, vouch for a client (RFC 7591 section 2.3)."""
    statement_issuers: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2048)], ...], Field(max_length=100)
    ] = ()
    """Of the tenant's `trusted_issuers`."""

    @model_validator(mode="after")
    def _vouched(self) -> "ClientRulesSettings":
        if self.software_statements != "off" and not self.statement_issuers:
            raise ValueError("software_statements need statement_issuers")
        return self
