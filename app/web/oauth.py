"""The authorization endpoint: from a request to a page, or to an answer carried by the browser."""

from flask import Flask, Response, request

from app.domain import assurance, codes, consents, grants, users
from app.domain.clients import ClientRecord
from app.domain.codes import CodeRecord
from app.domain.models import Consent, User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock
from app.protocols.login.engine import Done, Need, Refuse
from app.protocols.login.interactions import Interactions
from app.protocols.oauth import authorize, responses
from app.protocols.oauth.authorize import Rejected
from app.protocols.oauth.errors import Case
from app.protocols.oauth.responses import Redirection
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest, Directories
from app.web import browser, errors, pages, standings
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
        fetcher=parts.fetcher,
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
    """Write down consent and grant, make the code, and address the answer.

    None when the consent this stands on was withdrawn, or the account closed, a moment ago.
    """
    parts = pages.services()
    with parts.tenancy.session(where.id, write=True) as db:
        user = users.get(db, session.user_id)
        if user is None or user.disabled_at is not None:
            return None
        standing: list[Consent] | None
        if allowed_here:
            standing = consents.allow(db, user.id, client.client_id, standings.wanted(asked))
            for consent in standing:
                audit.record(db, _consent_event(where, session, user, consent))
        elif client.first_party:
            standing = []
        else:
            standing = consents.covering(db, user.id, client.client_id, standings.wanted(asked), hold=True)
        if standing is None:
            return None
        acr = assurance.acr_of(tuple(session.amr))
        grant = grants.create(
            db,
            user_id=user.id,
            client_id=client.client_id,
            session_id=session.sid,
            scopes=asked.scopes,
            resources=asked.resources,
            auth_time=session.auth_time,
            amr=session.amr,
            acr=acr,
            offline=asked.offline,
            consents=standing,
            claims_request=asked.claims,
        )
        record = CodeRecord(
            grant_id=grant.id,
            client_id=client.client_id,
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
            acr=acr,
            offline=asked.offline,
            claims_request=asked.claims,
            expires_at=clock.timestamp(clock.after(where.settings.tokens.code_seconds)),
        )
    code, store = codes.new(where.id, record)
    parts.state.execute(store)
    parts.sessions.add_client(where, session, client.client_id)
    return responses.success(responses.address_of(asked, where.issuer), code)


def refuse(where: TenantContext, asked: AuthorizationRequest, case: Case) -> Redirection:
    """An error for the client."""
    return responses.refusal(responses.address_of(asked, where.issuer), case)


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
    if after_post:
        return pages.page("login/continue.html", opener=True, target=redirection.uri, host=redirection.host)
    return pages.see_other(redirection.uri)


def _consent_event(where: TenantContext, session: BrowserSession, user: User, consent: Consent) -> Event:
    came_from = pages.origin()
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
