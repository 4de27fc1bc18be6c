"""Who calls the API: the access token, what it allows, and what its person may do (RFC 6750)."""

from dataclasses import dataclass
from typing import Any

from flask import g, request
from sqlalchemy.orm import Session

from app.domain import access_rules, assurance, authenticators, users
from app.domain.access import rbac
from app.domain.access.rbac import Access
from app.domain.models import Grant, User
from app.domain.resources import INCLUDES
from app.domain.tenants import TenantContext
from app.infra.audit import Event
from app.infra.limits import API_FAILURES, network_of
from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login import second_factor
from app.protocols.oauth import errors, tokens
from app.protocols.oauth.dpop import nonce_header
from app.protocols.oauth.errors import Case, OAuthError
from app.protocols.oauth.sender import as_resource, challenges
from app.protocols.oauth.tokens import AccessToken
from app.protocols.oauth.trip import Trip
from app.web import pages

SCOPE_MISSING = Case(
    "insufficient_scope", "token.scope", "The access token lacks the scope that is needed here.", 403
)

AUTHENTICATION_TOO_OLD = Case(
    "insufficient_user_authentication",
    "token.sign_in_too_old",
    "A more recent sign-in is needed here.",
    401,
)
AUTHENTICATION_TOO_WEAK = Case(
    "insufficient_user_authentication",
    "token.second_factor_missing",
    "A sign-in with a second factor is needed here.",
    401,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, through a client they allowed."""

    tenant: TenantContext
    token: AccessToken
    user: User
    access: Access

    def event(self, name: str, /, **data: Any) -> Event:
        """That they did something here, for the record."""
        origin = pages.origin()
        return Event(
            name,
            tenant_id=self.tenant.id,
            outcome="success",
            user_id=self.user.id,
            email=self.user.email,
            ip=origin.ip,
            user_agent=origin.user_agent,
            session_id=self.token.claims.get("sid"),
            client_id=self.token.client_id,
            grant_id=self.token.grant_id,
            data={"via": "api", **data},
        )


def authenticate(scope: str | None, permission: str | None, area: str | None = None) -> Caller:
    """The caller, whose token carries `scope`, or one that includes it, and who holds `permission`.

    What takes a permission takes the second factor the tenant demands of its holder as well, whatever the token came
    of: a sign-in in a trusted browser, or one before they had the role. `area` is one of the tenant's
    `sessions.reauthenticate_for`: the person has to have signed in as recently, and with a second factor where they
    have one (RFC 9470). Raises `OAuthError` (401 and 403 with a challenge; 429 for a network that tries tokens out),
    and `Problem` (403: `permission.missing`, `network.not_allowed`, `hours.closed`).
    """
    most = pages.tenant().settings.sessions.reauthenticate_for.get(area or "")
    try:
        caller = _caller(pages.tenant(), scope, permission)
        if permission is not None:
            _require_second_factor(caller)
        if area is not None:
            _require_strength(caller, most)
        return caller
    except OAuthError as error:
        if error.status in (401, 403):
            g.challenges = challenges("api", error, _wanted(error, scope, most))
            _record(error)
        raise


def _require_second_factor(caller: Caller) -> None:
    mfa = caller.tenant.settings.authentication.mfa
    if mfa.is_demanded_of(caller.access.roles) and not _showed_two_factors(caller):
        raise AUTHENTICATION_TOO_WEAK("signed in with one factor, and the tenant demands two")


def _showed_two_factors(caller: Caller) -> bool:
    return assurance.satisfies(caller.token.claims.get("acr", assurance.ONE_FACTOR), assurance.TWO_FACTOR)


def _require_strength(caller: Caller, most: int | None) -> None:
    with pages.services().tenancy.session(caller.tenant.id) as session:
        held = authenticators.holdings(session, caller.user)
    has_second_factor = second_factor.is_registered(caller.tenant.settings.authentication, held)
    if has_second_factor and not _showed_two_factors(caller):
        raise AUTHENTICATION_TOO_WEAK("signed in with one factor, and has more")
    age = clock.timestamp(clock.now()) - int(caller.token.claims.get("auth_time", 0))
    if most is not None and age > most:
        raise AUTHENTICATION_TOO_OLD(f"signed in {age} seconds ago")


def _caller(tenant: TenantContext, scope: str | None, permission: str | None) -> Caller:
    parts, trip = pages.services(), Trip(pages.services().state)
    scheme, presented = _presented()
    try:
        proof = parts.sender.prove(scheme, _header(), tenant, request.method, request.path, presented, trip)
        token = tokens.read(presented, tenant, parts.keyring, parts.revocations, trip)
    except OAuthError as error:
        if as_resource(error).error in ("invalid_token", "invalid_dpop_proof"):
            # Good tokens always pass, whatever else comes from the same network.
            network = network_of(pages.origin().ip)
            trip.add(API_FAILURES.count(tenant.id, network), errors.TOO_MANY_FAILURES)
            trip.go()
        raise
    client = parts.clients.get(tenant.id, token.client_id)
    nonce = parts.sender.check(token, proof, request.environ.get("watchword.certificate"), client, tenant)
    if nonce is not None:
        g.challenges = nonce_header(nonce)
    if tenant.issuer not in token.audience:
        raise errors.TOKEN_AUDIENCE(f"meant for {token.audience}")
    if token.grant_id is None:
        raise errors.TOKEN_NO_SUBJECT("issued to a client for itself")
    if scope is not None and INCLUDES.get(scope, frozenset({scope})).isdisjoint(token.scopes):
        raise SCOPE_MISSING(f"needs {scope}")
    if client is None:
        raise errors.TOKEN_REVOKED("its client was removed or disabled")
    with parts.tenancy.session(tenant.id) as session:
        user = users.get(session, token.user_id) if token.user_id else None
        if user is None or user.disabled_at is not None:
            raise errors.TOKEN_REVOKED("its person is gone")
        _require_in_bounds(session, tenant, token)
        access = rbac.access_of(session, user.id)
    if permission is not None:
        rbac.require(access, permission)
    return Caller(tenant, token, user, access)


def _require_in_bounds(session: Session, tenant: TenantContext, token: AccessToken) -> None:
    """A tenant's networks and hours hold for its API, too. Raises `Problem` (403)."""
    ip, now = pages.origin().ip, clock.now()
    if access_rules.check(tenant.settings, ip, now) is None:
        return
    grant = session.get(Grant, (tenant.id, token.grant_id))
    refused = access_rules.check(tenant.settings, ip, now, amr=grant.amr if grant else ())
    if refused is not None:
        raise Problem(refused, errors.ACCESS_RULES[refused].description, status=403)


def _record(error: OAuthError) -> None:
    parts, origin = pages.services(), pages.origin()
    presented = request.headers.get("Authorization", "").partition(" ")[2].strip()
    tokens.record_misuse(
        parts.state,
        parts.keyring,
        presented,
        error,
        tenant=pages.tenant(),
        endpoint="api",
        ip=origin.ip,
        user_agent=origin.user_agent,
    )


def _presented() -> tuple[str, str]:
    """The scheme and the token of the Authorization header; nowhere else is it taken from (RFC 6750 section 2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not token.strip():
        raise errors.TOKEN_MISSING()
    return scheme.lower(), token.strip()


def _header() -> str | None:
    """The proof; several are one that cannot be read."""
    return request.headers.get("DPoP")


def _wanted(error: OAuthError, scope: str | None, max_age: int | None) -> str:
    """What would do (RFC 6750 section 3), and what a new sign-in has to be like (RFC 9470 section 3)."""
    wanted = f', scope="{scope}"' if error.case is SCOPE_MISSING else ""
    if error.case is AUTHENTICATION_TOO_WEAK:
        wanted = f', acr_values="{assurance.TWO_FACTOR}"'
    if error.error == "insufficient_user_authentication" and max_age is not None:
        wanted += f', max_age="{max_age}"'
    return wanted
