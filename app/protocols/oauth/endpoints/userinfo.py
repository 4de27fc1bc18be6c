"""UserInfo: claims about the person an access token speaks of (OpenID Connect Core section 5.3)."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import claims as domain_claims
from app.domain.access import rbac
from app.domain.access.rbac import NOBODY
from app.domain.clients import ClientRecord
from app.domain.models import Grant, User
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.limits import USERINFO_FAILURES, network_of
from app.kernel import clock
from app.protocols.oauth import errors, profiles, tokens
from app.protocols.oauth.dpop import nonce_header
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.reply import NO_STORE, Reply, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import as_resource, challenges
from app.protocols.oauth.tokens import AccessToken

_JWT = (("Content-Type", "application/jwt"), *NO_STORE)


class UserInfo:
    """Answers whoever presents an access token that is meant for the issuer and carries the scope `openid`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, request: ProtocolRequest) -> Reply:
        """OpenID Connect Core section 5.3. Raises `OAuthError` with a challenge (RFC 6750 section 3)."""
        try:
            return self._answer(request)
        except OAuthError as error:
            scope = ', scope="openid"' if error.case is errors.SCOPE_INSUFFICIENT else ""
            error.headers = challenges("userinfo", as_resource(error), scope)
            self._record(request, error)
            raise

    def _record(self, request: ProtocolRequest, error: OAuthError) -> None:
        presented = request.headers.get("authorization", "").partition(" ")[2].strip()
        tokens.record_misuse(
            self._parts.state,
            self._parts.keyring,
            presented or request.form.get("access_token", ""),
            error,
            tenant=request.tenant,
            endpoint="userinfo",
            ip=request.remote_address,
            user_agent=request.user_agent,
        )

    def _answer(self, request: ProtocolRequest) -> Reply:
        parts, tenant = self._parts, request.tenant
        exchange, network = Exchange(parts, request), network_of(request.remote_address)
        scheme, presented = _presented(request)
        dpop = request.headers.get("dpop")
        try:
            proof = parts.sender.prove(
                scheme, dpop, tenant, request.method, request.path, presented, exchange.trip
            )
            token = tokens.read(presented, tenant, parts.keyring, parts.revocations, exchange.trip)
        except OAuthError as error:
            if error.error in ("invalid_token", "invalid_dpop_proof"):
                # Only failures are refused: an API that asks about every token it is handed must not be shut off by
                # whoever hands it garbage.
                exchange.trip.add(USERINFO_FAILURES.count(tenant.id, network), errors.TOO_MANY_FAILURES)
                exchange.trip.go()
            raise
        client = parts.clients.get(tenant.id, token.client_id)
        nonce = parts.sender.check(token, proof, request.certificate, client, tenant)
        if tenant.issuer not in token.audience:
            raise errors.TOKEN_AUDIENCE(f"meant for {token.audience}")
        if token.grant_id is None:
            raise errors.TOKEN_NO_SUBJECT("issued to a client for itself")
        if "openid" not in token.scopes:
            raise errors.SCOPE_INSUFFICIENT()
        if client is None:
            raise errors.TOKEN_REVOKED("its client was removed or disabled")
        with parts.tenancy.session(tenant.id) as session:
            claims = _released(session, token, client, tenant.id)
        answer = self._signed(claims, client, tenant) if client.userinfo_signed_response_alg else ok(claims)
        return answer if nonce is None else replace(answer, headers=answer.headers + nonce_header(nonce))

    def _signed(self, claims: dict[str, Any], client: ClientRecord, tenant: TenantContext) -> Reply:
        """A JWT for a client that registered an algorithm (OpenID Connect Core section 5.3.2)."""
        registered = client.userinfo_signed_response_alg or ""
        alg = profiles.signing_algorithm(registered, client, tenant)
        key = self._parts.keyring.current(tenant.id, alg)
        now = clock.timestamp(clock.now())
        whole = {**claims, "iss": tenant.issuer, "aud": client.client_id, "iat": now}
        return Reply(200, _JWT, jose.sign(whole, key, typ="JWT").encode("ascii"))


def _released(session: Session, token: AccessToken, client: ClientRecord, tenant_id: str) -> dict[str, Any]:
    found = session.execute(
        select(Grant, User)
        .join(User, (User.tenant_id == Grant.tenant_id) & (User.id == Grant.user_id))
        .where(Grant.id == token.grant_id)
    ).one_or_none()
    if found is None or found.Grant.revoked_at is not None or found.User.disabled_at is not None:
        raise errors.TOKEN_REVOKED("its grant or person is gone")
    # What a client asked for with `claims` is for itself, not for whoever its token was handed on to (RFC 8693).
    is_its_own = token.client_id == found.Grant.client_id
    requested = (found.Grant.claims_request.get("userinfo") or {}) if is_its_own else {}
    wants_access = "groups" in token.scopes or "groups" in requested or bool(client.claims)
    access = rbac.access_of(session, found.User.id) if wants_access else NOBODY
    everything = domain_claims.person(found.User, access)
    claims = domain_claims.released(everything, token.scopes, requested)
    if client.claims:
        claims = domain_claims.map_claims(
            claims, client.claims, everything=everything, access=access, tenant_id=tenant_id
        )
    return {**claims, "sub": token.claims["sub"]}


def _presented(request: ProtocolRequest) -> tuple[str, str]:
    """The scheme and the access token: from the header, or the body of a POST (RFC 6750 sections 2.1 and 2.2), never
    from the URL."""
    authorization, in_body = request.headers.get("authorization"), request.form.get("access_token")
    if authorization is None:
        if in_body is None:
            raise errors.TOKEN_MISSING()
        return "bearer", in_body
    if in_body is not None:
        raise errors.TOKEN_TWICE()
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not token.strip():
        raise errors.TOKEN_MISSING("the Authorization header is neither Bearer nor DPoP")
    return scheme.lower(), token.strip()
