"""What a token was exchanged for, carried along: so that taking back an ancestor takes back its descendants.

The claim holds one entry for each exchange, the oldest first, and in it the facts of the tokens that went in: the
subject's and, where there was one, the actor's. Nothing has to be stored, and one trip asks for every mark.
"""

from collections.abc import Sequence
from typing import Any

from app.domain.revocation import TokenFacts

CLAIM = "ancestors"

Lineage = tuple[tuple[TokenFacts, ...], ...]
"""The facts of what went into each exchange, the oldest exchange first."""


def write(hops: Lineage) -> list[list[list[Any]]]:
    """As a claim."""
    return [[_packed(facts) for facts in hop] for hop in hops]


def read_hops(tenant_id: str, claim: Sequence[Sequence[Sequence[Any]]] | None) -> Lineage:
    """The exchanges of a claim of ours."""
    return tuple(tuple(_unpacked(tenant_id, packed) for packed in hop) for hop in claim or ())


def read(tenant_id: str, claim: Sequence[Sequence[Sequence[Any]]] | None) -> tuple[TokenFacts, ...]:
    """Every ancestor of a claim of ours."""
    return tuple(facts for hop in read_hops(tenant_id, claim) for facts in hop)


def _packed(facts: TokenFacts) -> list[Any]:
    return [
        facts.token_id,
        facts.client_id,
        facts.client_epoch,
        facts.user_id,
        facts.user_epoch,
        facts.grant_id,
        facts.session_id,
    ]


def _unpacked(tenant_id: str, packed: Sequence[Any]) -> TokenFacts:
    token_id, client_id, client_epoch, user_id, user_epoch, grant_id, session_id = packed
    return TokenFacts(tenant_id, token_id, client_id, client_epoch, user_id, user_epoch, grant_id, session_id)
