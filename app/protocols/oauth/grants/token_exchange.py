"""Token exchange (RFC 8693): a token for another one, for less, and with everybody it passed through on it."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from app.domain import access_rules, assurance, delegation, grants, users
from app.domain.claims import OPENID_SCOPES
from app.domain.client_metadata import TOKEN_EXCHANGE
from app.domain.models import Grant, User
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.oauth import audience, errors, handing_on, presented, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.authlib_seam import ExtensionGrant, TokenResponse
from app.protocols.oauth.handing_on import Handing
from app.protocols.oauth.issuance import Issuance, Subject, is_opaque, issue, issue_id_token
from app.protocols.oauth.presented import ACCESS_TOKEN, ACTOR, ID_TOKEN, JWT, SUBJECT, TYPES, Presented

REQUESTABLE = (ACCESS_TOKEN, JWT, ID_TOKEN)
"""No refresh tokens: what is handed on ends with what it was handed on from."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The parameters, read."""

    subject: tuple[str, str]
    actor: tuple[str, str] | None
    requested_type: str
    scopes: tuple[str, ...] | None
    resources: tuple[str, ...]


class TokenExchange(ExtensionGrant):
    """Read both tokens, decide, look the person up, issue. A client's own token costs the database nothing."""

    GRANT_TYPE = TOKEN_EXCHANGE
    PARAMETERS = frozenset(
        {
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
            "requested_token_type",
            "scope",
            "authorization_details",
        }
    )

    def respond(self) -> TokenResponse:
        """RFC 8693 section 2.2. Raises `OAuthError`."""
        exchange = self.exchange
        asked = self._asked()
        given = [(*asked.subject, SUBJECT), *([(*asked.actor, ACTOR)] if asked.actor else [])]
        subject, *rest = presented.read_all(exchange, given)
        actor = rest[0] if rest else None
        depth = exchange.request.tenant.settings.token_exchange.max_depth
        handing = handing_on.decide(exchange.known_client, subject, actor, exchange.cnf, max_depth=depth)
        issuance = self._issuance(asked, subject, actor, handing)
        response = self._answer(asked, issuance)
        exchange.trip.add(audit.operation(self._event(asked, subject, actor, handing, issuance)))
        exchange.trip.go()
        return response

    def _asked(self) -> _Asked:
        subject = self.required("subject_token"), self.required("subject_token_type")
        token, kind = self.parameter("actor_token"), self.parameter("actor_token_type")
        if (token is None) != (kind is None):
            raise errors.ACTOR_TYPE()
        if subject[1] not in TYPES:
            raise errors.SUBJECT_TOKEN(ascii(subject[1])[:200])
        if kind is not None and kind not in TYPES - {presented.REFRESH_TOKEN}:
            raise errors.ACTOR_TOKEN(ascii(kind)[:200])
        requested = self.parameter("requested_token_type") or ACCESS_TOKEN
        if requested not in REQUESTABLE:
            raise errors.REQUESTED_TYPE(ascii(requested)[:200])
        request = self.exchange.request
        return _Asked(
            subject,
            (token, kind) if token is not None and kind is not None else None,
            requested,
            audience.read_scope(self.parameter("scope")),
            # An audience is a resource server by its identifier, as a resource is.
            ()
            if requested == ID_TOKEN
            else audience.read_resources((*request.values("resource"), *request.values("audience"))),
        )

    def _issuance(
        self, asked: _Asked, subject: Presented, actor: Presented | None, handing: Handing
    ) -> Issuance:
        exchange = self.exchange
        ends = [one.expires_at for one in (subject, actor) if one is not None]
        base = Issuance(
            tenant=exchange.request.tenant,
            client=exchange.known_client,
            grant_type=TOKEN_EXCHANGE,
            scopes=(),
            audience=(),
            not_after=min(ends),
            cnf=exchange.cnf,
            act=handing.act,
            hops=handing.hops,
            with_id_token=False,
        )
        if subject.is_of_a_person:
            return self._for_person(base, asked, subject)
        target = self._target(asked, subject)
        if asked.requested_type == ID_TOKEN:
            raise errors.REQUESTED_TYPE("an ID token is about a person")
        return replace(
            base,
            scopes=target.scopes,
            audience=target.audience,
            principal=subject.client_id,
            authorization_details=exchange.details(tuple(subject.details), target.audience),
        )

    def _for_person(self, base: Issuance, asked: _Asked, subject: Presented) -> Issuance:
        exchange = self.exchange
        tenant_id, client = exchange.request.tenant.id, exchange.known_client
        with exchange.parts.tenancy.session(tenant_id, write=subject.foreign is not None) as session:
            grant, user = self._standing(session, asked, subject)
            self._check_rules(grant)
            if subject.scopes == () and subject.foreign is None and not subject.grant_id:
                # An ID token says nothing of scopes: its client's grant does.
                subject = replace(
                    subject,
                    scopes=tuple(grant.scopes),
                    audience=tuple(grant.resources),
                    details=tuple(grant.authorization_details),
                )
            target = self._target(asked, subject)
            known = subject.foreign is None
            if known:
                target = _whole(asked, audience.still_recent(target, exchange.resources, grant.auth_time))
            person = subjects.load(session, user, client, exchange.resources, target, {})
            return replace(
                base,
                scopes=target.scopes,
                audience=target.audience,
                subject=person,
                grant_id=grant.id,
                session_id=subject.session_id,
                offline=grant.offline,
                auth_time=clock.timestamp(grant.auth_time) if known else None,
                acr=grant.acr if known else None,
                amr=tuple(grant.amr) if known else (),
                authorization_details=exchange.details(tuple(subject.details), target.audience),
            )

    def _standing(self, session: Session, asked: _Asked, subject: Presented) -> tuple[Grant, User]:
        """The grant the result comes under: the subject token's own, or a new one for a token from elsewhere."""
        if subject.foreign is None:
            found = presented.grant_of(session, subject)
            if found is None or found[1].disabled_at is not None:
                raise errors.because(errors.SUBJECT_TOKEN, "token.revoked")("its grant or person is gone")
            return found
        user = users.get(session, subject.user_id or "")
        if user is None or user.disabled_at is not None:
            raise errors.because(errors.SUBJECT_TOKEN, "assertion.subject")()
        target = self._target(asked, subject)
        grant = grants.create(
            session,
            user_id=user.id,
            client_id=self.exchange.known_client.client_id,
            session_id=None,
            scopes=target.scopes,
            resources=target.audience,
            auth_time=clock.now(),
            amr=(access_rules.FEDERATED,),
            acr="",
            offline=True,
            consents=(),
        )
        return grant, user

    def _check_rules(self, grant: Grant) -> None:
        request = self.exchange.request
        refused = access_rules.check(
            request.tenant.settings, request.remote_address, clock.now(), amr=grant.amr
        )
        if refused is not None:
            raise errors.ACCESS_RULES[refused](f"grant {grant.id}, from {request.remote_address}")

    def _target(self, asked: _Asked, subject: Presented) -> Target:
        """What is left: never more than the subject token allows, and than this client may have."""
        exchange = self.exchange
        client, issuer = exchange.known_client, exchange.request.tenant.issuer
        if subject.rule is not None:
            return self._target_of_rule(asked, subject)
        allowed = tuple(dict.fromkeys((*subject.audience, *client.token_exchange.audiences)))
        if excess := set(asked.resources).difference(allowed):
            raise errors.EXCHANGE_AUDIENCE(f"{sorted(excess)} are neither the token's nor the client's")
        granted = Target(subject.scopes, allowed if asked.resources else subject.audience)
        target = audience.narrowed(granted, client, exchange.resources, issuer, asked.scopes, asked.resources)
        return _whole(asked, target)

    def _target_of_rule(self, asked: _Asked, subject: Presented) -> Target:
        """A token from elsewhere brings no scopes of ours: its rule says which, and its client's registration."""
        exchange, rule = self.exchange, subject.rule
        client = exchange.known_client
        bound = set(client.scopes) if rule is None or rule.scopes is None else set(rule.scopes)
        if rule is not None and rule.client is not None:
            stands_for = exchange.parts.clients.get(exchange.request.tenant.id, rule.client)
            bound &= set(stands_for.scopes) if stands_for else set()
        if asked.scopes is not None and (excess := set(asked.scopes) - bound):
            raise errors.SCOPE_EXCEEDED(f"{sorted(excess)} are not what the rule is good for")
        wanted = tuple(s for s in sorted(client.scopes & bound)) if asked.scopes is None else asked.scopes
        own = tuple(s for s in wanted if s not in OPENID_SCOPES)
        target = audience.of_client(
            client,
            exchange.resources,
            exchange.request.tenant.issuer,
            own or (None if asked.resources and bound >= client.scopes else own),
            asked.resources,
        )
        openid = tuple(s for s in wanted if s in OPENID_SCOPES and s in client.scopes)
        return _whole(asked, Target(openid + target.scopes, target.audience))

    def _answer(self, asked: _Asked, issuance: Issuance) -> TokenResponse:
        exchange = self.exchange
        if asked.requested_type == ID_TOKEN:
            return self._id_token(issuance, issuance.subject)
        if asked.requested_type == JWT and is_opaque(issuance, exchange.resources):
            raise errors.REQUESTED_TYPE("the resource takes opaque tokens alone")
        response = issue(issuance, exchange.parts.keyring, exchange.resources, exchange.trip)
        response["issued_token_type"] = asked.requested_type
        return response

    def _id_token(self, issuance: Issuance, subject: Subject | None) -> TokenResponse:
        """Not usable as an access token, so its type is N_A (section 2.2.1)."""
        values = self.exchange.request.values("audience") or (issuance.client.client_id,)
        if values != (issuance.client.client_id,) or self.exchange.request.values("resource"):
            raise errors.EXCHANGE_AUDIENCE("an ID token is for the client that asks")
        if subject is None or "openid" not in issuance.scopes:
            raise errors.REQUESTED_TYPE("the subject token has no scope openid")
        token, seconds = issue_id_token(issuance, subject, self.exchange.parts.keyring)
        return TokenResponse(
            access_token=token, issued_token_type=ID_TOKEN, token_type="N_A", expires_in=seconds
        )

    def _event(
        self,
        asked: _Asked,
        subject: Presented,
        actor: Presented | None,
        handing: Handing,
        issuance: Issuance,
    ) -> Event:
        """One record with the whole chain: whose token, through whom, what was asked for, what was given, and why."""
        request = self.exchange.request
        data: dict[str, Any] = {
            **issuance.on_record(self.exchange.resources),
            "issued_token_type": asked.requested_type.rpartition(":")[2],
            "mode": handing.mode,
            "subject": subject.sub,
            "subject_token_type": subject.token_type.rpartition(":")[2],
            "subject_token_id": subject.token_id,
            "subject_client": subject.issued_to or None,
            "subject_issuer": subject.foreign.issuer.issuer if subject.foreign else None,
            "rule": subject.rule.name if subject.rule else None,
            "actors": [str(one.get("sub")) for one in delegation.actors(handing.act)],
            "requested_scopes": list(asked.scopes or ()),
            "requested_resources": list(asked.resources),
            "allowed_by": list(handing.allowed_by),
            "depth": len(handing.hops),
        }
        return Event(
            "token.exchanged",
            tenant_id=request.tenant.id,
            outcome="success",
            user_id=subject.user_id,
            ip=request.remote_address,
            user_agent=request.user_agent,
            mfa_used=assurance.has_second_factor(issuance.amr) if issuance.amr else None,
            session_id=subject.session_id,
            client_id=issuance.client.client_id,
            grant_id=issuance.grant_id,
            data=data,
        )


def _whole(asked: _Asked, target: Target) -> Target:
    """What was asked for by name is given or refused, not silently left out."""
    if asked.scopes is not None and (missing := set(asked.scopes) - set(target.scopes)):
        raise errors.SCOPE_NOT_ALLOWED(f"{sorted(missing)} are not the client's, or of another audience")
    return target
