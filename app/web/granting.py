"""What comes of a yes: consents, a grant, and the codes and tokens an authorization response carries."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.domain import assurance, codes, consents, grants, users
from app.domain.clients import ClientRecord
from app.domain.codes import CodeRecord
from app.domain.models import Consent, Grant, User
from app.domain.resources import ResourceRecord
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.login.factors.outcome import Origin
from app.protocols.oauth import front_channel, pushed, responses, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.issuance import Issuance, uses
from app.protocols.oauth.responses import Redirection
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.protocols.oauth.trip import Trip
from app.web import device_ending, pages, standings


def complete(
    where: TenantContext,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    *,
    allowed_here: bool,
) -> Redirection | None:
    """Write down consent and grant, make what was asked for, and address the answer.

    None when the session ended, the consent this stands on was withdrawn, or the account closed, a moment ago. Raises
    `OAuthError` when a pushed request was answered before.
    """
    parts = pages.services()
    with parts.tenancy.session(where.id, write=True) as db:
        written = granted(db, where, asked, client, session, pages.origin(), allowed_here=allowed_here)
        if written is None:
            return None
        user, grant = written
        record = code_record(where, asked, session, user, grant)
        if asked.device is not None:
            parts.sessions.add_client(where, session, client.client_id)
            return device_ending.let_in(where, asked.device, db, grant, record)
        issuance = _front_channel(db, where, asked, client, session, user, grant)
        if asked.pushed is not None:
            # Within the transaction: of several windows the first has an answer, and the others make no grant.
            outcome = parts.state.execute(*pushed.spend(where.id, asked.pushed))
            if outcome.refused is not None:
                raise refusals.PUSHED_SPENT()
    # Signing may have to make a key, which takes a transaction of its own.
    parameters = _answered(where, asked, client, session, record, issuance)
    return responses.send(responses.address_of(asked, where, parts.keyring), parameters)


def granted(
    db: Session,
    where: TenantContext,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    came_from: Origin,
    *,
    allowed_here: bool,
) -> tuple[User, Grant] | None:
    """Write down consent and grant in the caller's transaction. None when the session ended, the consent this stands
    on was withdrawn, or the account closed, a moment ago."""
    # Signing out waits for the same row: it comes before this and is seen here, or after it and revokes the grant.
    user = users.hold(db, session.user_id)
    is_over = pages.services().revocations.is_session_over(db, where.id, session.sid)
    if user is None or user.disabled_at is not None or user.epoch != session.user_epoch or is_over:
        return None
    standing = _consents(db, where, asked, client, session, user, came_from, allowed_here=allowed_here)
    if standing is None:
        return None
    return user, _grant(db, asked, client, session, standing, came_from)


def _consents(
    db: Session,
    where: TenantContext,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    user: User,
    came_from: Origin,
    *,
    allowed_here: bool,
) -> list[Consent] | None:
    """What the grant stands on: allowed just now, or before. None when that was withdrawn meanwhile."""
    wanted, details = standings.wanted(asked), asked.authorization_details
    if allowed_here:
        standing = consents.allow(db, user.id, client.client_id, wanted, details=details)
        for consent in standing:
            audit.record(db, _consent_event(where, session, user, consent, came_from))
        return standing
    if client.first_party:
        return []
    return consents.covering(db, user.id, client.client_id, wanted, details=details, hold=True)


def _grant(
    db: Session,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    standing: list[Consent],
    came_from: Origin,
) -> Grant:
    return grants.create(
        db,
        user_id=session.user_id,
        client_id=client.client_id,
        session_id=session.sid,
        scopes=asked.scopes,
        resources=asked.resources,
        auth_time=session.auth_time,
        amr=session.amr,
        acr=assurance.acr_of(tuple(session.amr)),
        offline=asked.offline,
        consents=standing,
        claims_request=asked.claims,
        authorization_details=list(asked.authorization_details),
        ip=came_from.ip,
        user_agent=came_from.user_agent,
    )


def _front_channel(
    db: Session,
    where: TenantContext,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    user: User,
    grant: Grant,
) -> Issuance | None:
    """What tokens in the answer depend on; None where there are none."""
    if asked.response_type == "code":
        return None
    resources = pages.services().resources.all(where.id)
    target = Target(asked.scopes, asked.resources)
    issuance = Issuance(
        tenant=where,
        client=client,
        grant_type="implicit",
        scopes=asked.scopes,
        audience=asked.resources,
        subject=subjects.load(db, user, client, resources, target, asked.claims, whole=True),
        grant_id=grant.id,
        session_id=session.sid,
        offline=asked.offline,
        not_after=clock.timestamp(session.expires_at),
        auth_time=clock.timestamp(session.auth_time),
        acr=grant.acr,
        amr=tuple(session.amr),
        nonce=asked.nonce,
        claims_request=asked.claims,
        authorization_details=asked.authorization_details,
    )
    audit.record(db, _issued_event(where, session, user, issuance, resources))
    return issuance


def _answered(
    where: TenantContext,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    record: CodeRecord,
    issuance: Issuance | None,
) -> list[tuple[str, str]]:
    """The parameters of the answer, once what they stand for is in the state store, and that the client took part in
    the session."""
    parts, code = pages.services(), None
    trip = Trip(parts.state)
    for noted in uses(where.id, client):
        trip.add(noted)
    parameters: list[tuple[str, str]] = []
    if "code" in asked.response_types:
        code, store = codes.new(where.id, record)
        trip.add(store)
        parameters.append(("code", code))
    if issuance is not None and issuance.subject is not None:
        resources = parts.resources.all(where.id)
        parameters += front_channel.answer(
            asked, issuance, issuance.subject, parts.keyring, resources, trip, code
        )
    send(trip, where, session, client)
    return parameters


def send(trip: Trip, where: TenantContext, session: BrowserSession, client: ClientRecord) -> None:
    """Go on a trip, and remember on it that the client took part in the session."""
    sessions = pages.services().sessions
    took_part = sessions.adding_client(where, session, client.client_id)
    place = trip.add(took_part) if took_part is not None else None
    results = trip.go()
    if place is not None and not results[place]:
        sessions.add_client(where, session, client.client_id)


def code_record(
    where: TenantContext, asked: AuthorizationRequest, session: BrowserSession, user: User, grant: Grant
) -> CodeRecord:
    """What is remembered of a code."""
    return CodeRecord(
        grant_id=grant.id,
        client_id=grant.client_id,
        user_id=user.id,
        user_epoch=user.epoch,
        redirect_uri=asked.redirect_uri,
        redirect_uri_given=asked.redirect_uri_given,
        code_challenge=asked.code_challenge,
        nonce=asked.nonce,
        scopes=asked.scopes,
        resources=asked.resources,
        session_id=session.sid,
        session_expires_at=clock.timestamp(session.expires_at),
        auth_time=clock.timestamp(session.auth_time),
        amr=tuple(session.amr),
        acr=grant.acr,
        offline=asked.offline,
        claims_request=asked.claims,
        expires_at=clock.timestamp(clock.after(where.settings.tokens.code_seconds)),
        dpop_jkt=asked.dpop_jkt,
        authorization_details=asked.authorization_details,
    )


def _consent_event(
    where: TenantContext, session: BrowserSession, user: User, consent: Consent, came_from: Origin
) -> Event:
    return Event(
        "consent.allowed",
        data={"resource": consent.resource or where.issuer, "scopes": consent.scopes},
        **_whose(where, session, user, consent.client_id, came_from),
    )


def _issued_event(
    where: TenantContext,
    session: BrowserSession,
    user: User,
    issuance: Issuance,
    resources: Mapping[str, ResourceRecord],
) -> Event:
    return Event(
        "token.issued",
        mfa_used=assurance.has_second_factor(issuance.amr),
        grant_id=issuance.grant_id,
        data=issuance.on_record(resources),
        **_whose(where, session, user, issuance.client.client_id, pages.origin()),
    )


def _whose(
    where: TenantContext, session: BrowserSession, user: User, client_id: str, came_from: Origin
) -> dict[str, Any]:
    """Who said yes to whom, and where: what both go on record with."""
    return {
        "tenant_id": where.id,
        "outcome": "success",
        "user_id": user.id,
        "email": user.email,
        "ip": came_from.ip,
        "user_agent": came_from.user_agent,
        "session_id": session.sid,
        "client_id": client_id,
    }
