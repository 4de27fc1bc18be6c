"""The refresh token grant (RFC 6749 section 6, RFC 9700 section 4.14, contracts 5)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.domain import access_rules, assurance, refresh
from app.domain.clients import ClientRecord
from app.domain.models import Grant, User
from app.domain.refresh import Presented, Refreshed
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.oauth import audience, errors, profiles, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.authlib_seam import RefreshTokenGrant, TokenResponse
from app.protocols.oauth.errors import Case
from app.protocols.oauth.issuance import Issuance, issue

_CASES: dict[Presented, Case] = {
    Presented.UNKNOWN: errors.REFRESH_UNKNOWN,
    Presented.WRONG_CLIENT: errors.REFRESH_WRONG_CLIENT,
    Presented.WRONG_KEY: errors.REFRESH_WRONG_KEY,
    Presented.EXPIRED: errors.REFRESH_EXPIRED,
    Presented.REVOKED: errors.REFRESH_REVOKED,
    Presented.REPLAYED: errors.REFRESH_REPLAYED,
}


@dataclass(frozen=True, slots=True)
class _Credential:
    """A refresh token that was taken, as Authlib asks about it."""

    issuance: Issuance
    granted: tuple[str, ...]

    def check_client(self, client: object) -> bool:
        """Yes: it was not taken otherwise."""
        return True

    def get_scope(self) -> str:
        """What was granted."""
        return " ".join(self.granted)


class RefreshToken(RefreshTokenGrant):
    """Limits and the reuse of an assertion are asked first, in one trip; one transaction decides everything else.

    Whatever is refused within the transaction (a scope too many, a person disabled meanwhile) rolls the rotation back.
    """

    PARAMETERS = frozenset({"refresh_token", "scope", "authorization_details"})

    def authenticate_refresh_token(self, refresh_token: str) -> _Credential:
        """Authlib's question for the token: where it is taken and its successor made."""
        exchange = self.exchange
        request, client, parts = exchange.request, exchange.known_client, exchange.parts
        exchange.trip.go()
        with parts.tenancy.session(request.tenant.id, write=True) as session:
            found = parts.refresh_tokens.present(
                session,
                request.tenant.id,
                refresh_token,
                client_id=client.client_id,
                grace_seconds=request.tenant.settings.tokens.refresh_grace_seconds,
                rotate=self._rotates(client),
                cnf=exchange.cnf,
                log=parts.revocations,
            )
            if found.good and found.grant is not None and found.token is not None:
                return self._settle(session, found, found.grant, found.user, found.token)
            if found.presented is Presented.REPLAYED:
                event = self._event("token.replayed", found, reason="refresh.replayed")
                audit.record(session, event)
        raise _CASES[found.presented](f"grant {found.grant_id}")

    def authenticate_user(self, credential: _Credential) -> Issuance:
        """Authlib's question for the person: settled with the token."""
        return credential.issuance

    def issue_token(self, user: Issuance, refresh_token: object) -> TokenResponse:
        """Issue what the transaction settled."""
        exchange = self.exchange
        response = issue(user, exchange.parts.keyring, exchange.resources, exchange.trip)
        exchange.trip.go()
        return response

    def revoke_old_credential(self, refresh_token: object) -> None:
        """Done: rotating was the transaction."""

    def _rotates(self, client: ClientRecord) -> bool:
        """Clients that authenticate and prove a key keep their token: a copy is of no use (contracts 5)."""
        exchange = self.exchange
        bound = exchange.binding.is_bound and not client.is_public
        return not bound and profiles.rotates(client, exchange.request.tenant)

    def _settle(
        self, session: Session, found: Refreshed, grant: Grant, user: User | None, token: str
    ) -> _Credential:
        exchange = self.exchange
        request, client = exchange.request, exchange.known_client
        refused = access_rules.check(
            request.tenant.settings, request.remote_address, clock.now(), amr=grant.amr
        )
        if refused is not None:
            raise errors.ACCESS_RULES[refused](f"grant {grant.id}, from {request.remote_address}")
        granted = tuple(grant.scopes)
        target = audience.narrowed(
            Target(granted, tuple(grant.resources)),
            client,
            exchange.resources,
            request.tenant.issuer,
            audience.read_scope(self.parameter("scope")),
            audience.read_resources(request.values("resource")),
        )
        target = audience.still_recent(target, exchange.resources, grant.auth_time)
        subject = subjects.load(session, user, client, exchange.resources, target, grant.claims_request)
        bound = found.expires_at is not None and not grant.offline
        issuance = Issuance(
            tenant=request.tenant,
            client=client,
            grant_type="refresh_token",
            scopes=target.scopes,
            audience=target.audience,
            subject=subject,
            grant_id=grant.id,
            session_id=grant.session_id,
            offline=grant.offline,
            not_after=clock.timestamp(found.expires_at) if bound and found.expires_at else None,
            auth_time=clock.timestamp(grant.auth_time),
            acr=grant.acr,
            amr=tuple(grant.amr),
            claims_request=grant.claims_request,
            authorization_details=exchange.details(grant.authorization_details, target.audience),
            cnf=exchange.cnf,
            refresh_token=token,
        )
        data = issuance.on_record(exchange.resources)
        audit.record(session, self._event("token.refreshed", found, data=data))
        return _Credential(issuance, granted)

    def _event(
        self, name: str, found: Refreshed, *, reason: str | None = None, data: dict[str, Any] | None = None
    ) -> Event:
        request = self.exchange.request
        parts = refresh.parse(found.token or self.parameter("refresh_token") or "")
        family = {"family": parts.family_id, "generation": parts.generation} if parts else {}
        return Event(
            name,
            tenant_id=request.tenant.id,
            outcome="failure" if reason else "success",
            reason=reason,
            user_id=found.grant.user_id if found.grant else None,
            email=found.user.email if found.user else None,
            ip=request.remote_address,
            user_agent=request.user_agent,
            mfa_used=assurance.has_second_factor(tuple(found.grant.amr)) if found.grant else None,
            session_id=found.grant.session_id if found.grant else None,
            client_id=self.exchange.known_client.client_id,
            grant_id=found.grant_id,
            data={**(data or {}), **family},
        )
