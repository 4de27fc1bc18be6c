"""Authority handed on: who may exchange whose tokens for what, and the chain that comes of it (RFC 8693)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.domain.claim_match import ClaimMatch
from app.kernel import uris

ClientName = Annotated[str, Field(min_length=1, max_length=200)]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
EVERYBODY = "*"


class TokenExchangePolicy(BaseModel):
    """What a client may exchange, and for what. Nothing said: it may narrow its own tokens, and no more.

    Everything is an addition to what the tokens themselves allow, and nothing of it widens a scope.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    subject_clients: Annotated[list[ClientName], Field(max_length=100)] = []
    """Clients whose tokens it may present beside its own and those meant for a resource it serves; `*`: every one."""
    audiences: Annotated[list[Uri], Field(max_length=100)] = []
    """Resources it may get tokens for although the subject token is not meant for them."""
    impersonation: bool = False
    """Whether it may get tokens in the subject's name alone, without an actor."""
    delegation: bool = False
    """Whether it may get tokens in which it is the actor, where the subject token's `may_act` does not say so."""
    actors: Annotated[list[ClientName], Field(max_length=100)] = []
    """Subjects of actor tokens beside its own that it may present; `*`: every one."""
    may_act: ClientName | None = None
    """Who may act for the subject of the access tokens issued to it: their `may_act` claim (section 4.4)."""

    @field_validator("audiences")
    @classmethod
    def _resources(cls, values: list[str]) -> list[str]:
        found = [uris.canonical_resource(v) for v in values]
        if None in found:
            raise ValueError("an absolute URI without a fragment is wanted")
        return [v for v in found if v]


class FederatedCredential(BaseModel):
    """A token of a trusted issuer a client authenticates with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    issuer: Uri
    """One of the tenant's `trusted_issuers`."""
    subject: Annotated[str, Field(min_length=1, max_length=500)]
    """The token's `sub`, compared exactly."""
    audience: Uri | None = None
    """What its `aud` has to hold; not said: this server's issuer."""
    claims: ClaimMatch = {}
    """What else it has to say."""


def may_present(policy: TokenExchangePolicy, client_id: str) -> bool:
    """Whether the policy lets its client present a token issued to `client_id`."""
    return EVERYBODY in policy.subject_clients or client_id in policy.subject_clients


def may_speak_for(policy: TokenExchangePolicy, actor: str) -> bool:
    """Whether the policy lets its client present a token of this actor."""
    return EVERYBODY in policy.actors or actor in policy.actors


def actors(act: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """Every actor of an `act` claim, the present one first (section 4.1). The inner ones are history."""
    while isinstance(act, Mapping):
        yield {name: value for name, value in act.items() if name != "act"}
        act = act.get("act")


def extended(act: Mapping[str, Any] | None, actor: str) -> dict[str, Any]:
    """The chain with one more actor outside."""
    return {"sub": actor, **({"act": dict(act)} if act else {})}
