"""What the client may ask for, and whom its access token will be for."""

from app.domain.claims import OPENID_SCOPES
from app.domain.client_metadata import SCOPE_TOKEN
from app.domain.consents import ISSUER
from app.kernel import uris
from app.protocols.oauth import audience, errors
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import (
    RESOURCE_AMBIGUOUS,
    RESOURCE_MALFORMED,
    RESOURCE_UNKNOWN,
    SCOPE_EMPTY,
    SCOPE_MALFORMED,
    SCOPE_NOT_ALLOWED,
    SCOPE_OF_OTHER_RESOURCE,
)


def scopes_allowed(draft: Draft) -> None:
    """Every scope we know is one the client is registered for.

    Scopes nobody here knows are ignored (OIDC Core section 3.1.2.1), and so is `offline_access` where no refresh
    token could come of it (section 11). Without `scope` the client gets what it is registered for, short of
    what is sensitive (RFC 6749 section 3.3).
    """
    client = draft.known_client
    asked = draft.parameters.get("scope")
    known = {
        name: scope for resource in draft.resources().values() for name, scope in resource.scopes.items()
    }
    if asked is None and draft.authorization_details:
        wanted = []
    elif asked is None:
        wanted = [
            s for s in sorted(client.scopes) if s in OPENID_SCOPES or (s in known and not known[s].sensitive)
        ]
        wanted = [s for s in wanted if s != "offline_access"]
    else:
        wanted = list(dict.fromkeys(asked.split(" ")))
        if not all(SCOPE_TOKEN.fullmatch(word) for word in wanted):
            raise SCOPE_MALFORMED()
        wanted = [s for s in wanted if s in known or s in OPENID_SCOPES]
    no_refresh = "refresh_token" not in client.grant_types or "code" not in draft.response_type.split()
    if "offline_access" not in client.scopes or no_refresh:
        wanted = [s for s in wanted if s != "offline_access"]
    if missing := [s for s in wanted if s not in client.scopes]:
        raise SCOPE_NOT_ALLOWED(f"client {client.client_id} is not registered for {missing}")
    if not wanted and not draft.authorization_details:
        raise SCOPE_EMPTY(f"client {client.client_id} is registered for {sorted(client.scopes)}")
    draft.scopes = tuple(wanted)


def audience_known(draft: Draft) -> None:
    """Each scope has its resource, and the token its audience (RFC 8707 section 2, contracts "Claims")."""
    own = [s for s in draft.scopes if s not in OPENID_SCOPES]
    targets = _asked(draft) or _with_details(draft, _implied(draft, own))
    resources = draft.resources()
    by_resource = {t: tuple(s for s in own if s in resources[t].scopes) for t in targets if t in resources}
    placed = {scope for scopes in by_resource.values() for scope in scopes}
    if not placed.issuperset(own):
        raise SCOPE_OF_OTHER_RESOURCE(f"{sorted(set(own) - placed)} do not belong to {targets}")
    types = draft.directories.details_types.all(draft.tenant.id)
    for resource in (types[detail["type"]].resource for detail in draft.authorization_details):
        if resource is not None and resource not in targets:
            raise errors.DETAILS_OTHER_RESOURCE(f"{resource} is not among {targets}")
    if openid := tuple(s for s in draft.scopes if s in OPENID_SCOPES):
        by_resource = {ISSUER: openid, **by_resource}
    issuer = (draft.tenant.issuer,) if "openid" in draft.scopes and not draft.resources_asked else ()
    draft.audience = tuple(dict.fromkeys((*targets, *issuer))) or (draft.tenant.issuer,)
    draft.by_resource = by_resource


def _with_details(draft: Draft, targets: tuple[str, ...]) -> tuple[str, ...]:
    """What authorization details are for is asked for as well: their type says it."""
    types, resources = draft.directories.details_types.all(draft.tenant.id), draft.resources()
    named = [types[detail["type"]].resource for detail in draft.authorization_details]
    return tuple(dict.fromkeys((*targets, *(name for name in named if name and name in resources))))


def _asked(draft: Draft) -> tuple[str, ...]:
    targets = []
    for asked in draft.resources_asked:
        target = uris.canonical_resource(asked)
        if target is None:
            raise RESOURCE_MALFORMED()
        if target not in draft.resources() and target != draft.tenant.issuer:
            raise RESOURCE_UNKNOWN(f"{target[:500]!r} is not a registered resource")
        targets.append(target)
    return tuple(dict.fromkeys(targets))


def _implied(draft: Draft, own: list[str]) -> tuple[str, ...]:
    """Without `resource`. OpenID scopes alone are for the issuer, whatever the client's defaults."""
    if not own:
        return ()
    found = audience.implied(draft.known_client, draft.resources(), tuple(own))
    if found is None:
        raise RESOURCE_AMBIGUOUS(f"{sorted(own)} are scopes of several resources")
    return found
