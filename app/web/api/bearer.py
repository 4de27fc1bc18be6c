"""Who calls the API: the access token, what it allows, and what its person may do (RFC 6750)."""

from dataclasses import dataclass

from flask import g, request

from app.domain import users
from app.domain.access import rbac
from app.domain.access.rbac import Access
from app.domain.models import User
from app.domain.resources import API_ADMIN
from app.domain.tenants import TenantContext
from app.infra.limits import API_FAILURES, network_of
from app.protocols.oauth import errors, tokens
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.tokens import AccessToken
from app.protocols.oauth.trip import Trip
from app.web import pages

SCOPE_MISSING = Case(
    "insufficient_scope", "token.scope", "The access token lacks the scope that is needed here.", 403
)

_REALM = 'Bearer realm="api"'


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, through a client they allowed."""

    tenant: TenantContext
    token: AccessToken
    user: User
    access: Access


def authenticate(scope: str | None, permission: str | None) -> Caller:
    """The caller, whose token carries `scope` and who holds `permission`.

    `watchword:admin` includes `watchword:read`. Raises `OAuthError` (401 and 403 with a challenge; 429 for a network
    that tries tokens out), and `Problem` (`permission.missing`, 403).
    """
    try:
        return _caller(pages.tenant(), scope, permission)
    except OAuthError as error:
        if error.status in (401, 403):
            g.challenge = _challenge(error, scope)
        raise


def _caller(tenant: TenantContext, scope: str | None, permission: str | None) -> Caller:
    parts, trip = pages.services(), Trip(pages.services().state)
    presented = _presented()
    try:
        token = tokens.read(presented, tenant, parts.keyring, parts.revocations, trip)
    except OAuthError as error:
        if error.error == "invalid_token":
            # Good tokens always pass, whatever else comes from the same network.
            network = network_of(pages.origin().ip)
            trip.add(API_FAILURES.count(tenant.id, network), errors.TOO_MANY_FAILURES)
            trip.go()
        raise
    if tenant.issuer not in token.audience:
        raise errors.TOKEN_AUDIENCE(f"meant for {token.audience}")
    if token.grant_id is None:
        raise errors.TOKEN_NO_SUBJECT("issued to a client for itself")
    if scope is not None and not {scope, API_ADMIN}.intersection(token.scopes):
        raise SCOPE_MISSING(f"needs {scope}")
    if parts.clients.get(tenant.id, token.client_id) is None:
        raise errors.TOKEN_REVOKED("its client was removed or disabled")
    with parts.tenancy.session(tenant.id) as session:
        user = users.get(session, token.claims["sub"])
        if user is None or user.disabled_at is not None:
            raise errors.TOKEN_REVOKED("its person is gone")
        access = rbac.access_of(session, user.id)
    if permission is not None:
        rbac.require(access, permission)
    return Caller(tenant, token, user, access)


def _presented() -> str:
    """The token of the Authorization header; nowhere else is it taken from (RFC 6750 section 2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.TOKEN_MISSING()
    return token.strip()


def _challenge(error: OAuthError, scope: str | None) -> str:
    """RFC 6750 section 3; a request without a token is not told of an error (section 3.1)."""
    if error.case is errors.TOKEN_MISSING:
        return _REALM
    wanted = f', scope="{scope}"' if error.case is SCOPE_MISSING else ""
    return f'{_REALM}, error="{error.error}", error_description="{error.public}"{wanted}'
