"""The authorization endpoint: from a request to a page, or to an answer carried by the browser."""

from collections.abc import Mapping

from flask import Flask, Response, request
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
from app.protocols.login.engine import Done, Need, Refuse
from app.protocols.login.factors.outcome import Origin
from app.protocols.login.interactions import Interactions
from app.protocols.oauth import authorize, front_channel, profiles, pushed, refused, responses, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.authorize import Rejected
from app.protocols.oauth.errors import Case
from app.protocols.oauth.issuance import Issuance, uses
from app.protocols.oauth.responses import Address, Redirection
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest, Directories
from app.protocols.oauth.trip import Trip
from app.web import browser, device_ending, errors, pages, standings
from app.web.cookies import Stub
from app.web.forms import is_form

SILENT = {
    case.error: case
    for case in (
        refusals.LOGIN_REQUIRED,
        refusals.CONSENT_REQUIRED,
        refusals.ACCOUNT_SELECTION_REQUIRED,
        refusals.INTERACTION_REQUIRED,
        refusals.NOT_ALLOWED,
        refusals.ACR_UNMET,
    )
}
"""What an unmet requirement becomes where no page may be shown."""


def register(app: Flask) -> None:
    """Add the authorization endpoint."""
    app.add_url_rule("/authorize", "authorize", _authorize, methods=["GET", "POST"])


def _authorize() -> Response:
    """GET and POST (OIDC Core section 3.1.2.1), from exactly one source (contracts 17)."""
    where, parts = pages.tenant(), pages.services()
    encoded = _encoded()
    if encoded is None:
        return errors.refused_request(refusals.MALFORMED, "not one form, or parameters in two places")
    outcome = authorize.start(encoded, where, directories(), remote_address=pages.origin().ip)
    if isinstance(outcome, Rejected):
        if outcome.client is not None:
            _record_refusal(where, outcome.client, outcome.case)
        if outcome.address is None:
            return errors.refused_request(outcome.case, outcome.detail)
        errors.note(outcome.case.reason, outcome.detail)
        return answer(responses.refusal(outcome.address, outcome.case))
    asked, client = outcome.request, outcome.client
    if request.method == "POST":
        # The session's cookie does not come with another site's POST (contracts 14): ask again with GET.
        found, _ = Interactions(parts.state).begin(
            where.id, address=pages.origin().ip, request=asked.to_json(), bound=False
        )
        return pages.see_other(pages.url("interaction", interaction_id=found.id))
    session = _session_for(where, asked)
    step = standings.find(where, asked, client, session).step
    if isinstance(step, Done):
        finished = complete(where, asked, client, session, allowed_here=False) if session else None
        return answer(finished) if finished else begin(where, asked)
    if is_answered_at_once(asked, step):
        errors.note(step.reason, f"client {client.client_id} is told {step.error}")
        return answer(refuse(where, asked, SILENT[step.error]))
    bring_to_work(where, asked)
    return begin(where, asked)


def bring_to_work(where: TenantContext, asked: AuthorizationRequest) -> None:
    """Before pages are shown for a request: they are for the account it means."""
    session = _session_for(where, asked)
    if session is not None:
        browser.switch(where, session.sid)


def _session_for(where: TenantContext, asked: AuthorizationRequest) -> BrowserSession | None:
    """Of the accounts that are signed in here the one the client means, or the one at work."""
    if "select_account" in asked.prompt:
        return current_session(where)
    return browser.fitting(where, user_id=asked.hinted_user_id, login_hint=asked.login_hint)


def is_answered_at_once(asked: AuthorizationRequest, step: Need | Refuse) -> bool:
    """Whether the client is told without a page: it forbade pages, or none would help. A person who may not use the
    client reads why first."""
    return asked.silent or (isinstance(step, Refuse) and step.error != "access_denied")


def directories() -> Directories:
    """Where the checks of a request look things up."""
    parts = pages.services()
    return Directories(
        clients=parts.clients,
        resources=parts.resources,
        keyring=parts.keyring,
        details_types=parts.details_types,
        client_keys=parts.client_keys,
        fetcher=parts.fetcher.for_strangers,
        state=parts.state,
    )


def _encoded() -> str | None:
    """The form-encoded parameters; None when there is not exactly one source of them."""
    if request.method == "GET" or request.method == "HEAD":
        raw = request.query_string
    elif request.query_string or not is_form(request.headers.get("Content-Type", "")):
        return None
    else:
        raw = request.get_data(cache=False)
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        return None


def begin(where: TenantContext, asked: AuthorizationRequest) -> Response:
    """Save the interaction, bind it to the browser, and go to its page."""
    found, secret = Interactions(pages.services().state).begin(
        where.id, address=pages.origin().ip, request=asked.to_json()
    )
    response = pages.see_other(pages.url("interaction", interaction_id=found.id))
    if secret is not None:
        pages.cookies().set_stub(response, where, found.id, stub_of(secret, asked))
    return response


def stub_of(secret: str, asked: AuthorizationRequest | None) -> Stub:
    """What the browser keeps of an interaction."""
    if asked is None:
        return Stub(secret)
    return Stub(secret, asked.client_id, asked.redirect_uri, asked.response_mode, asked.state)


def current_session(where: TenantContext) -> BrowserSession | None:
    """The session of the account at work in this browser."""
    return browser.current(where)


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
            return device_ending.let_in(where, asked.device, db, record)
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
    return user, _grant(db, asked, client, session, standing)


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


def refuse(where: TenantContext, asked: AuthorizationRequest, case: Case) -> Redirection:
    """An error for the client. It is an answer, too: a pushed request is used up by it."""
    parts = pages.services()
    if asked.pushed is not None:
        parts.state.execute(*pushed.spend(where.id, asked.pushed))
    if asked.device is not None:
        return device_ending.keep_out(where, asked.device)
    return responses.refusal(responses.address_of(asked, where, parts.keyring), case)


def address(
    where: TenantContext, client: ClientRecord, redirect_uri: str, response_mode: str, state: str | None
) -> Address:
    """Where an answer goes whose request is not at hand any more."""
    alg = profiles.signing_algorithm(client.authorization_signed_response_alg, client, where)
    return responses.address(
        where,
        pages.services().keyring,
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        response_mode=response_mode,
        state=state,
        alg=alg,
    )


def _record_refusal(where: TenantContext, client: ClientRecord, case: Case) -> None:
    came_from = pages.origin()
    refused.record(
        pages.services().state,
        "authorization.refused",
        tenant_id=where.id,
        client_id=client.client_id,
        reason=case.reason,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
        data={"endpoint": "authorize", "error": case.error},
    )


def answer(redirection: Redirection, *, after_post: bool = False) -> Response:
    """Let the browser carry an answer to where it belongs.

    After a POST of ours by a page that goes on by itself: Chromium applies `form-action` to every redirect that
    follows a form, and our policy names nobody but us (contracts 14).
    """
    if redirection.is_form:
        return pages.page(
            "login/form_post.html",
            form_action=redirection.source,
            opener=True,
            target=redirection.uri,
            host=redirection.host,
            fields=redirection.fields,
        )
    if after_post and not redirection.uri.startswith("/"):
        return pages.page("login/continue.html", opener=True, target=redirection.uri, host=redirection.host)
    return pages.see_other(redirection.uri)


def _consent_event(
    where: TenantContext, session: BrowserSession, user: User, consent: Consent, came_from: Origin
) -> Event:
    return Event(
        "consent.allowed",
        tenant_id=where.id,
        outcome="success",
        user_id=user.id,
        email=user.email,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
        session_id=session.sid,
        client_id=consent.client_id,
        data={"resource": consent.resource or where.issuer, "scopes": consent.scopes},
    )


def _issued_event(
    where: TenantContext,
    session: BrowserSession,
    user: User,
    issuance: Issuance,
    resources: Mapping[str, ResourceRecord],
) -> Event:
    came_from = pages.origin()
    return Event(
        "token.issued",
        tenant_id=where.id,
        outcome="success",
        user_id=user.id,
        email=user.email,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
        mfa_used=assurance.has_second_factor(issuance.amr),
        session_id=session.sid,
        client_id=issuance.client.client_id,
        grant_id=issuance.grant_id,
        data=issuance.on_record(resources),
    )
