"""Redeeming what a person allowed: the one write that makes a code good for one use, and the tokens that come of it.

Shared by authorization codes and device codes; the two differ in how they are presented, not in what they stand for.
"""

from typing import Any, ClassVar

from sqlalchemy.orm import Session

from app.domain import assurance, grants, refresh, users
from app.domain.codes import CodeRecord
from app.domain.grants import Redemption
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.oauth import audience, errors, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.errors import Case
from app.protocols.oauth.exchange import Exchange
from app.protocols.oauth.issuance import Issuance


class Redeeming:
    """Takes the grant behind a code: of any number of callers exactly one gets tokens."""

    EXPIRED: ClassVar[Case] = errors.CODE_EXPIRED
    REPLAYED: ClassVar[Case] = errors.CODE_REPLAYED
    REVOKED: ClassVar[Case] = errors.CODE_REVOKED
    REVOKES_REPLAYED: ClassVar[bool] = True
    """Whether a second presentation means that somebody has a copy, so that the grant is revoked."""

    @property
    def exchange(self) -> Exchange:
        """The request in hand."""
        raise NotImplementedError

    def redeem(self, record: CodeRecord) -> Issuance:
        """What tokens are issued from. Raises `OAuthError`."""
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        with exchange.parts.tenancy.session(tenant_id, write=True) as session:
            redemption = grants.redeem(session, record.grant_id)
            if redemption is Redemption.WON:
                # Raised in here, so that the transaction is rolled back and the grant stays unredeemed.
                if record.expired:
                    raise self.EXPIRED()
                return self._issuance(session, record)
            if redemption is Redemption.REPLAYED and self.REVOKES_REPLAYED:
                log = exchange.parts.revocations
                if grants.revoke(session, tenant_id, record.grant_id, "code_replayed", log=log):
                    audit.record(session, self._event("code.replayed", record, reason="code.replayed"))
        raise (self.REPLAYED if redemption is Redemption.REPLAYED else self.REVOKED)(
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
            raise self.REVOKED("the tokens of the person were revoked since")
        issuance = Issuance(
            tenant=request.tenant,
            client=client,
            grant_type=exchange.grant_type,
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
            authorization_details=exchange.details(record.authorization_details, target.audience),
            cnf=exchange.cnf,
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
        return exchange.parts.refresh_tokens.start(
            session,
            tenant.id,
            record.grant_id,
            expires_at=expires_at,
            bound_to=refresh.binding_of(exchange.cnf, is_public=client.is_public),
        )

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
