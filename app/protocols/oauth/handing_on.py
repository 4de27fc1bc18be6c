"""Whether a token may be handed on: whose it is, who acts, how far it has come (RFC 8693 sections 1.1, 4.1, 4.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain import delegation
from app.domain.clients import ClientRecord
from app.protocols.oauth import errors
from app.protocols.oauth.lineage import Lineage
from app.protocols.oauth.presented import Presented

OWN, MEANT, POLICY, MAY_ACT, RULE = "own", "audience", "policy", "may_act", "rule"


@dataclass(frozen=True, slots=True)
class Handing:
    """A permitted exchange."""

    mode: str
    """`narrowing`, `impersonation` or `delegation`."""
    allowed_by: tuple[str, ...]
    """What permitted it, for the audit."""
    act: Mapping[str, Any] | None
    """The chain of the result."""
    hops: Lineage


def decide(
    client: ClientRecord,
    subject: Presented,
    actor: Presented | None,
    cnf: Mapping[str, Any] | None,
    *,
    max_depth: int,
) -> Handing:
    """What kind of exchange it is, provided that it is allowed. Raises `OAuthError`."""
    presents = _may_present(client, subject)
    if subject.cnf is not None and not _stays_bound(client, subject.cnf, subject, cnf):
        raise errors.EXCHANGE_UNBOUND(f"bound by {sorted(subject.cnf)}")
    if actor is None:
        mode, acts, act = *_without_actor(client, subject), subject.act
    else:
        _check_key(actor, cnf)
        mode, acts = "delegation", _may_act(client, subject, actor)
        _check_cycle(subject, actor)
        act = delegation.extended(subject.act, actor.sub)
    hops = (*subject.hops, tuple(one.facts for one in (subject, actor) if one is not None and one.facts))
    if len(list(delegation.actors(act))) > max_depth or len(hops) > max_depth:
        raise errors.EXCHANGE_DEPTH(f"handed on {len(hops)} times, at most {max_depth}")
    return Handing(mode, (presents, acts), act, hops)


def _may_present(client: ClientRecord, subject: Presented) -> str:
    """Its own tokens, those meant for a resource it serves, and those its policy names."""
    policy = client.token_exchange
    if subject.rule is not None:
        rule = subject.rule
        if rule.client == client.client_id:
            return RULE
        if rule.client is None and (not rule.clients or client.client_id in rule.clients):
            return RULE
        if rule.client is not None and delegation.may_present(policy, rule.client):
            return POLICY
        raise errors.EXCHANGE_NOT_YOURS(f"rule {rule.name} names another client")
    if subject.issued_to == client.client_id:
        return OWN
    if not client.resource_server_for.isdisjoint(subject.audience):
        return MEANT
    if delegation.may_present(policy, subject.issued_to):
        return POLICY
    raise errors.EXCHANGE_NOT_YOURS(f"issued to {subject.issued_to}, meant for {subject.audience}")


def _stays_bound(
    client: ClientRecord, bound: Mapping[str, Any], subject: Presented, cnf: Mapping[str, Any] | None
) -> bool:
    """What is bound to a key stays bound to one; a client's own token to one of the kinds it was bound to."""
    if cnf is None:
        return False
    return subject.issued_to != client.client_id or bound.keys() <= cnf.keys()


def _without_actor(client: ClientRecord, subject: Presented) -> tuple[str, str]:
    """Less of one's own, or somebody else's name alone: only the second needs leave."""
    if subject.issued_to == client.client_id:
        return "narrowing", OWN
    if subject.rule is not None and subject.rule.client == client.client_id:
        return "narrowing", RULE
    if client.token_exchange.impersonation:
        return "impersonation", POLICY
    raise errors.EXCHANGE_IMPERSONATION(f"{client.client_id} may not impersonate {subject.sub[:200]!r}")


def _may_act(client: ClientRecord, subject: Presented, actor: Presented) -> str:
    """The actor is this client, or somebody it may speak for; and the subject or its policy lets that actor act."""
    policy = client.token_exchange
    is_own = client.client_id in (actor.issued_to, actor.client_id)
    if not is_own and not delegation.may_speak_for(policy, actor.sub):
        raise errors.EXCHANGE_ACTOR(f"{client.client_id} may not speak for {actor.sub[:200]!r}")
    if actor.act is not None:
        raise errors.EXCHANGE_ACTOR("the actor acts for somebody else itself")
    if subject.may_act is None:
        if policy.delegation:
            return POLICY
        raise errors.EXCHANGE_ACTOR(f"no may_act, and {client.client_id} may not delegate")
    named = {name: subject.may_act[name] for name in ("sub", "client_id", "iss") if name in subject.may_act}
    says = {"sub": actor.sub, "client_id": actor.client_id or actor.issued_to, "iss": actor.claims.get("iss")}
    if not {"sub", "client_id"} & named.keys() or any(says[name] != value for name, value in named.items()):
        raise errors.EXCHANGE_ACTOR(f"may_act does not name {actor.sub[:200]!r}")
    return MAY_ACT


def _check_cycle(subject: Presented, actor: Presented) -> None:
    before = [one.get("sub") for one in delegation.actors(subject.act)]
    if actor.sub == subject.sub or actor.sub in before:
        raise errors.EXCHANGE_CYCLE(f"{actor.sub[:200]!r} is in the chain already")


def _check_key(actor: Presented, cnf: Mapping[str, Any] | None) -> None:
    """The result is bound to the actor's key: a token bound to one is presented with a proof of that very key."""
    if actor.cnf is not None and (cnf is None or dict(actor.cnf) != dict(cnf)):
        raise errors.EXCHANGE_KEY(f"bound by {sorted(actor.cnf)}")
