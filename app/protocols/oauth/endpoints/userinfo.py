"""UserInfo: claims about the person an access token speaks of (OpenID Connect Core section 5.3)."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import claims as domain_claims
from app.domain.access import rbac
from app.domain.access.rbac import NOBODY
from app.domain.clients import ClientRecord
from app.domain.models import Grant, User
from app.infra.limits import USERINFO_FAILURES, network_of
from app.protocols.oauth import errors, tokens
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.reply import Reply, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.tokens import AccessToken

_REALM = 'Bearer realm="userinfo"'


class UserInfo:
    """Answers whoever presents an access token that is meant for the issuer and carries the scope `openid`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """OpenID Connect Core section 5.3. Raises `OAuthError` with a challenge (RFC 6750 section 3)."""
        try:
            return ok(self._claims(request))
        except OAuthError as error:
            error.headers = (("WWW-Authenticate", _challenge(error)),)
            raise

    def _claims(self, request: ProtocolRequest) -> dict[str, Any]:
        parts, tenant = self._parts, request.tenant
        exchange, network = Exchange(parts, request), network_of(request.remote_address)
        presented = _presented(request)
        try:
            token = tokens.read(presented, tenant, parts.keyring, parts.revocations, exchange.trip)
        except OAuthError as error:
            if error.error == "invalid_token":
                # Only failures are refused: an API that asks about every token it is handed must not be shut off by
                # whoever hands it garbage.
                exchange.trip.add(USERINFO_FAILURES.count(tenant.id, network), errors.TOO_MANY_FAILURES)
                exchange.trip.go()
            raise
        if tenant.issuer not in token.audience:
            raise errors.TOKEN_AUDIENCE(f"meant for {token.audience}")
        if token.grant_id is None:
            raise errors.TOKEN_NO_SUBJECT("issued to a client for itself")
        if "openid" not in token.scopes:
            raise errors.SCOPE_INSUFFICIENT()
        client = parts.clients.get(tenant.id, token.client_id)
        if client is None:
            raise errors.TOKEN_REVOKED("its client was removed or disabled")
        with parts.tenancy.session(tenant.id) as session:
            return _released(session, token, client, tenant.id)


def _released(session: Session, token: AccessToken, client: ClientRecord, tenant_id: str) -> dict[str, Any]:
    found = session.execute(
        select(Grant, User)
        .join(User, (User.tenant_id == Grant.tenant_id) & (User.id == Grant.user_id))
        .where(Grant.id == token.grant_id)
    ).one_or_none()
    if found is None or found.Grant.revoked_at is not None or found.User.disabled_at is not None:
        raise errors.TOKEN_REVOKED("its grant or person is gone")
    requested = found.Grant.claims_request.get("userinfo") or {}
    wants_access = "groups" in token.scopes or "groups" in requested or bool(client.claims)
    access = rbac.access_of(session, found.User.id) if wants_access else NOBODY
    everything = domain_claims.person(found.User, access)
    claims = domain_claims.released(everything, token.scopes, requested)
    if client.claims:
        claims = domain_claims.map_claims(
            claims, client.claims, everything=everything, access=access, tenant_id=tenant_id
        )
    return {**claims, "sub": found.User.id}


def _presented(request: ProtocolRequest) -> str:
    """The access token, from the header or the body of a POST (RFC 6750 sections 2.1 and 2.2), never from the URL."""
    authorization, in_body = request.headers.get("authorization"), request.form.get("access_token")
    if authorization is None:
        if in_body is None:
            raise errors.TOKEN_MISSING()
        return in_body
    if in_body is not None:
        raise errors.TOKEN_TWICE()
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.TOKEN_MISSING("the Authorization header is not Bearer")
    return token.strip()


def _challenge(error: OAuthError) -> str:
    """RFC 6750 section 3; a request without a token is not told of an error (section 3.1)."""
    if error.case is errors.TOKEN_MISSING:
        return _REALM
    scope = ', scope="openid"' if error.case is errors.SCOPE_INSUFFICIENT else ""
    return f'{_REALM}, error="{error.error}", error_description="{error.public}"{scope}'
