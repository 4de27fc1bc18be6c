"""Whom a token is for, and what it allows there (RFC 8707, contracts "Claims")."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.claims import OPENID_SCOPES
from app.domain.client_metadata import SCOPE_TOKEN
from app.domain.clients import ClientRecord
from app.domain.resources import ResourceRecord
from app.kernel import clock, uris
from app.protocols.oauth import errors

Resources = Mapping[str, ResourceRecord]

_OPENID = frozenset(OPENID_SCOPES)


@dataclass(frozen=True, slots=True)
class Target:
    """Scopes, and the resource servers (or the issuer itself) they are good at."""

    scopes: tuple[str, ...]
    audience: tuple[str, ...]


def read_scope(text: str | None) -> tuple[str, ...] | None:
    """The scope tokens of a `scope` parameter, each once. Raises `OAuthError` (RFC 6749 section 3.3)."""
    if text is None:
        return None
    words = tuple(dict.fromkeys(text.split(" ")))
    if not all(SCOPE_TOKEN.fullmatch(word) for word in words):
        raise errors.SCOPE_INVALID()
    return words


def read_resources(values: tuple[str, ...]) -> tuple[str, ...]:
    """The `resource` parameters as they are compared, each once (RFC 8707 section 2). Raises `OAuthError`."""
    if not values:
        return ()
    found = [uris.canonical_resource(value) for value in values]
    if None in found:
        raise errors.TARGET_INVALID("no absolute URI without fragment")
    return tuple(dict.fromkeys(target for target in found if target))


def of_client(
    client: ClientRecord,
    resources: Resources,
    issuer: str,
    asked: tuple[str, ...] | None,
    asked_resources: tuple[str, ...],
) -> Target:
    """What a client may have for itself (client credentials). Raises `OAuthError`."""
    own = client.scopes - _OPENID
    if asked is not None and not own.issuperset(asked):
        raise errors.SCOPE_NOT_ALLOWED(
            f"{client.client_id} asked for {sorted(set(asked) - own)}, may have {sorted(own)}"
        )
    wanted = tuple(sorted(own)) if asked is None else asked
    if asked_resources:
        audience = asked_resources
        for target in audience:
            if target != issuer and not _may_use(client, resources.get(target)):
                raise errors.TARGET_INVALID(
                    f"{target[:300]} is unknown, or nothing {client.client_id} may use"
                )
    else:
        audience = _implied(client, resources, wanted if asked is not None else _known(wanted, resources))
    granted = _of_resources(wanted, resources, audience)
    if asked is not None and len(granted) != len(asked):
        raise errors.SCOPE_NOT_ALLOWED(f"{set(asked) - set(granted)} are not scopes of {audience}")
    return Target(granted, audience or (issuer,))


def narrowed(
    granted: Target,
    client: ClientRecord,
    resources: Resources,
    issuer: str,
    asked: tuple[str, ...] | None,
    asked_resources: tuple[str, ...],
) -> Target:
    """What is left of a grant when the token request asks for less of it (RFC 6749 section 6, RFC 8707 section 2.2).

    What the client or the resource lost since the grant was made is lost to the token too. Raises `OAuthError`.
    """
    if asked is not None and (excess := set(asked).difference(granted.scopes)):
        raise errors.SCOPE_EXCEEDED(f"{sorted(excess)} were not granted")
    if excess := set(asked_resources).difference(granted.audience):
        raise errors.TARGET_EXCEEDED(f"{sorted(excess)} were not granted")
    audience = tuple(t for t in asked_resources or granted.audience if t == issuer or t in resources)
    scopes = tuple(s for s in granted.scopes if s in client.scopes and (asked is None or s in asked))
    scopes = tuple(s for s in scopes if s in OPENID_SCOPES) + _of_resources(scopes, resources, audience)
    if "openid" not in scopes and len(audience) > 1:
        audience = tuple(target for target in audience if target != issuer)
    if not audience:
        raise errors.TARGET_INVALID("no resource of the grant is left")
    return Target(scopes, audience)


def still_recent(target: Target, resources: Resources, auth_time: datetime) -> Target:
    """What is left where the sign-in is too long ago for a scope's `max_age_seconds` by now (RFC 9470).

    The client learns it from `scope` in the answer (RFC 6749 sections 5.1 and 6), and has the person sign in again for
    the rest. Raises `OAuthError` where nothing is left.
    """
    age = (clock.now() - auth_time).total_seconds()
    stale = set()
    for known in [resources[name].scopes for name in target.audience if name in resources]:
        limits = {scope: known[scope].max_age_seconds for scope in target.scopes if scope in known}
        stale |= {scope for scope, seconds in limits.items() if seconds is not None and age > seconds}
    if not stale:
        return target
    left = tuple(scope for scope in target.scopes if scope not in stale)
    if not left:
        raise errors.SCOPE_TOO_OLD(f"{sorted(stale)} need a more recent sign-in")
    return Target(left, target.audience)


def _may_use(client: ClientRecord, resource: ResourceRecord | None) -> bool:
    """A resource server that looks at the audience alone must not be opened by a client nobody meant it for."""
    if resource is None:
        return False
    return resource.identifier in client.default_resources or not client.scopes.isdisjoint(resource.scopes)


def _implied(client: ClientRecord, resources: Resources, wanted: tuple[str, ...]) -> tuple[str, ...]:
    found = implied(client, resources, wanted)
    if found is None:
        raise errors.TARGET_AMBIGUOUS(f"no resource alone has {wanted}")
    return found


def _known(scopes: tuple[str, ...], resources: Resources) -> tuple[str, ...]:
    """A client may be registered for scopes that no resource has any more."""
    return tuple(s for s in scopes if any(s in resource.scopes for resource in resources.values()))


def implied(client: ClientRecord, resources: Resources, scopes: tuple[str, ...]) -> tuple[str, ...] | None:
    """Whom the scopes are for where the client named no `resource` (contracts "Claims").

    The one resource that owns them all, else the client's default ones where those know every scope. OpenID scopes
    are the issuer's and count for nothing here. None when the scopes are those of several resources.
    """
    own = frozenset(scopes) - _OPENID
    owners = [name for name, resource in resources.items() if own.issubset(resource.scopes)]
    if own and len(owners) == 1:
        return (owners[0],)
    default = tuple(target for target in client.default_resources if target in resources)
    return default if own <= {s for target in default for s in resources[target].scopes} else None


def _of_resources(
    scopes: tuple[str, ...], resources: Resources, audience: tuple[str, ...]
) -> tuple[str, ...]:
    """Those of the scopes that belong to a resource of the audience."""
    here = [resources[target].scopes for target in audience if target in resources]
    if len(here) == 1:
        return tuple([s for s in scopes if s in here[0] and s not in _OPENID])
    return tuple(s for s in scopes if s not in _OPENID and any(s in known for known in here))
