"""The authorization endpoint: from a request to a page, or to an answer carried by the browser."""

from flask import Flask, Response, request

from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.protocols.login.engine import Done, Need, Refuse
from app.protocols.login.interactions import Interactions
from app.protocols.oauth import authorize, responses
from app.protocols.oauth.authorize import Rejected
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest, Directories
from app.web import answers, browser, errors, granting, pages, standings
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
            answers.record_refusal(where, outcome.client, outcome.case)
        if outcome.address is None:
            return errors.refused_request(outcome.case, outcome.detail)
        errors.note(outcome.case.reason, outcome.detail)
        return answers.carry(responses.refusal(outcome.address, outcome.case))
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
        finished = granting.complete(where, asked, client, session, allowed_here=False) if session else None
        return answers.carry(finished) if finished else begin(where, asked)
    if is_answered_at_once(asked, step):
        errors.note(step.reason, f"client {client.client_id} is told {step.error}")
        return answers.carry(answers.refuse(where, asked, SILENT[step.error]))
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
