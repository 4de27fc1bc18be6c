"""The authorization code grant, its token request (RFC 6749 section 4.1.3, RFC 7636, contracts 3)."""

import hashlib
import re
from typing import Any

from sqlalchemy.orm import Session

from app.domain import assurance, codes, grants, users
from app.domain.codes import CodeRecord
from app.domain.grants import Redemption
from app.infra import audit
from app.infra.audit import Event
from app.infra.state import Delete
from app.kernel import clock
from app.kernel.secrets import b64url, equal
from app.protocols.oauth import audience, errors, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.authlib_seam import AuthorizationCodeGrant, TokenResponse
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.issuance import Issuance, issue

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
MAX_CODE = 200


class _Code:
    """A code's record as Authlib asks about it."""

    def __init__(self, record: CodeRecord) -> None:
        self.record = record

    def get_redirect_uri(self) -> str | None:
        """What the token request's redirect URI has to be, if the authorization request named one."""
        return self.record.redirect_uri if self.record.redirect_uri_given else None

    def get_scope(self) -> str:
        """What was granted."""
        return " ".join(self.record.scopes)


class AuthorizationCode(AuthorizationCodeGrant):
    """Read, verify client, redirect URI and PKCE, and only then take: one write that the database decides."""

    PARAMETERS = frozenset({"code", "redirect_uri", "code_verifier"})

    def query_authorization_code(self, code: str, client: object) -> _Code:
        """Authlib's question for the code: everything a wrong presenter may get wrong is checked here."""
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        place = exchange.trip.add(codes.look_up(tenant_id, code[:MAX_CODE]))
        stored = exchange.trip.go()[place]
        if stored is None:
            raise errors.CODE_UNKNOWN()
        record = CodeRecord.from_bytes(stored)
        try:
            self._check_presenter(record)
        except OAuthError:
            self._count_wrong_attempt(code)
            raise
        return _Code(record)

    def authenticate_user(self, authorization_code: _Code) -> Issuance:
        """Authlib's question for the person: where the code is taken."""
        return self._redeem(authorization_code.record)

    def generate_token(self, user: Issuance | None = None, *_: Any, **__: Any) -> TokenResponse:
        """Issue what the redeeming transaction settled."""
        if user is None:
            raise RuntimeError("the code was not redeemed")
        exchange = self.exchange
        response = issue(user, exchange.parts.keyring, exchange.resources, exchange.trip)
        exchange.trip.go()
        return response

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """The record stays as a tombstone until it expires: a late replay has to be known for what it is."""

    def _check_presenter(self, record: CodeRecord) -> None:
        if record.client_id != self.exchange.known_client.client_id:
            raise errors.CODE_WRONG_CLIENT(f"issued to {record.client_id}")
        redirect_uri = self.parameter("redirect_uri")
        if (record.redirect_uri_given or redirect_uri) and redirect_uri != record.redirect_uri:
            raise errors.CODE_REDIRECT_URI(ascii(redirect_uri)[:300])
        verifier = self.parameter("code_verifier")
        if record.code_challenge is None:
            # RFC 9700 section 4.8.2: a verifier where there was no challenge is the sign of a downgrade.
            if verifier is not None:
                raise errors.CODE_VERIFIER_UNEXPECTED()
            return
        if verifier is None:
            raise errors.CODE_VERIFIER_MISSING()
        if not _VERIFIER.fullmatch(verifier) or not equal(_s256(verifier), record.code_challenge):
            raise errors.CODE_VERIFIER()

    def _count_wrong_attempt(self, code: str) -> None:
        tenant_id, state = self.exchange.request.tenant.id, self.exchange.parts.state
        outcome = state.execute(codes.count_wrong_attempt(tenant_id, code[:MAX_CODE]))
        if outcome.results[0] >= codes.WRONG_ATTEMPTS:
            state.execute(Delete(codes.key(tenant_id, code[:MAX_CODE])))

    def _redeem(self, record: CodeRecord) -> Issuance:
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        with exchange.parts.tenancy.session(tenant_id, write=True) as session:
            redemption = grants.redeem(session, record.grant_id)
            if redemption is Redemption.WON:
                # Raised in here, so that the transaction is rolled back and the grant stays unredeemed.
                if record.expired:
                    raise errors.CODE_EXPIRED()
                return self._issuance(session, record)
            if redemption is Redemption.REPLAYED:
                log = exchange.parts.revocations
                if grants.revoke(session, tenant_id, record.grant_id, "code_replayed", log=log):
                    audit.record(session, self._event("code.replayed", record, reason="code.replayed"))
        raise (errors.CODE_REPLAYED if redemption is Redemption.REPLAYED else errors.CODE_REVOKED)(
            f"grant {record.grant_id}"
        )

    def _issuance(self, session: Session, record: CodeRecord) -> Issuance:
        exchange = self.exchange
        request, client = exchange.request, exchange.known_client
        target = audience.narrowed(
            Target(record.scopes, record.resources),
            client,
            exchange.resources,
            request.tenant.issuer,
            None,
            audience.read_resources(request.values("resource")),
        )
        user = users.get(session, record.user_id)
        subject = subjects.load(
            session,
            user,
            client,
            exchange.resources,
            target,
            record.claims_request,
        )
        if subject.epoch > record.user_epoch:
            raise errors.CODE_REVOKED("the tokens of the person were revoked since")
        issuance = Issuance(
            tenant=request.tenant,
            client=client,
            grant_type="authorization_code",
            scopes=target.scopes,
            audience=target.audience,
            subject=subject,
            grant_id=record.grant_id,
            session_id=record.session_id,
            offline=record.offline,
            not_after=None if record.offline else record.session_expires_at,
            auth_time=record.auth_time,
            acr=record.acr,
            amr=record.amr,
            nonce=record.nonce,
            claims_request=record.claims_request,
            refresh_token=self._refresh_token(session, record),
        )
        data = issuance.on_record(exchange.resources)
        email = user.email if user else None
        audit.record(session, self._event("token.issued", record, email=email, data=data))
        return issuance

    def _refresh_token(self, session: Session, record: CodeRecord) -> str | None:
        """The first token of a family. Without `offline_access` the family ends with the session at the latest."""
        exchange = self.exchange
        client, tenant = exchange.known_client, exchange.request.tenant
        if "refresh_token" not in client.grant_types:
            return None
        expires_at = clock.after(client.refresh_token_seconds or tenant.settings.tokens.refresh_seconds)
        if not record.offline and record.session_expires_at is not None:
            expires_at = min(expires_at, clock.from_timestamp(record.session_expires_at))
        return exchange.parts.refresh_tokens.start(session, tenant.id, record.grant_id, expires_at=expires_at)

    def _event(
        self,
        name: str,
        record: CodeRecord,
        *,
        reason: str | None = None,
        email: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> Event:
        request = self.exchange.request
        return Event(
            name,
            tenant_id=request.tenant.id,
            outcome="failure" if reason else "success",
            reason=reason,
            user_id=record.user_id,
            email=email,
            ip=request.remote_address,
            user_agent=request.user_agent,
            mfa_used=assurance.has_second_factor(record.amr),
            session_id=record.session_id,
            client_id=record.client_id,
            grant_id=record.grant_id,
            data=data or {},
        )


def _s256(verifier: str) -> str:
    return b64url(hashlib.sha256(verifier.encode("ascii")).digest())
