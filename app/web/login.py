"""The pages a person meets on the way to an application: sign in, allow access, not allowed."""

from dataclasses import replace

from flask import Flask, Response, request

from app.domain.client_metadata import redirect_host
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.infra import audit
from app.infra.audit import Event
from app.kernel import uris
from app.protocols.login import engine
from app.protocols.login.engine import Done, Refuse
from app.protocols.login.interactions import Interactions
from app.protocols.oauth.errors import Case
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import consent_page, errors, oauth, pages, sign_in, turns
from app.web.page_forms import ConsentForm, PageForm, SignInForm, checked, make_token
from app.web.turns import Turn


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/sign-in", "sign_in", start_sign_in, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction", _show, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction_step", _take_step, methods=["POST"])


def start_sign_in(return_to: str = "account") -> Response:
    """A sign-in nobody asked for but the person: straight to the form, then on to a page of ours."""
    where = pages.tenant()
    if request.endpoint == "sign_in" and oauth.current_session(where) is not None:
        return pages.see_other(pages.url(return_to))
    turn = turns.begin(where, return_to)
    return turn.deliver(sign_in.page(turn))


def _show(interaction_id: str) -> Response:
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    return turn.deliver(_go_on(turn, oauth.current_session(turn.where), after_post=False))


def _take_step(interaction_id: str) -> Response:
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    asked, step = turn.asked, request.form.get("step", "")
    if step == "sign-in":
        response = _sign_in(turn, checked(SignInForm, turn.bound_to))
    elif step == "consent" and asked is not None:
        response = _consent(turn, asked, checked(ConsentForm, turn.bound_to))
    elif step in ("switch", "cancel") and asked is not None:
        checked(PageForm, turn.bound_to)
        response = _switch(turn, asked) if step == "switch" else _end(turn, asked, refusals.ACCESS_DENIED)
    else:
        response = errors.error_page(400)
    return turn.deliver(response)


def _sign_in(turn: Turn, form: SignInForm) -> Response:
    outcome = sign_in.attempt(turn, form)
    if isinstance(outcome, Response):
        return outcome
    interactions = Interactions(pages.services().state)
    found = interactions.change(turn.where.id, turn.found, signed_in_session=outcome.session.sid)
    if found is None:
        response = turns.expired(turn.where, turn.found.id, turn.stub)
    else:
        response = _go_on(replace(turn, found=found), outcome.session, after_post=True)
    return outcome.deliver(response, turn.where)


def _go_on(
    turn: Turn, session: BrowserSession | None, *, after_post: bool, allowed: bool = False
) -> Response:
    """Whatever comes next: a page, or the end. After a POST pages are redirected to, so that reloading is harmless."""
    where, asked, client = turn.where, turn.asked, turn.client
    if asked is None:
        if session is None or turn.found.signed_in_session != session.sid:
            return sign_in.page(turn)
        Interactions(pages.services().state).drop(where.id, turn.found)
        return pages.see_other(pages.url(turn.found.return_to or "account"))
    if client is None:
        return errors.refused_request(refusals.CLIENT_UNKNOWN, f"client {asked.client_id} is gone")
    standing = oauth.stand(where, asked, client, session, turn.found, allowed_here=allowed)
    step, user = standing.step, standing.user
    if isinstance(step, Done):
        return _finish(turn, asked, client, session, allowed=allowed)
    if oauth.is_answered_at_once(asked, step):
        return _end(turn, asked, oauth.SILENT[step.error])
    if after_post:
        return pages.see_other(turn.action)
    if isinstance(step, Refuse):
        errors.note(step.reason, f"client {client.client_id} is not for whoever is signed in")
        return _not_allowed_page(turn, client, user)
    if step.page == engine.SIGN_IN:
        return sign_in.page(turn, reason=step.reason, user=user)
    return _consent_page(turn, asked, client, user, session)


def _consent_page(
    turn: Turn,
    asked: AuthorizationRequest,
    client: ClientRecord,
    user: User | None,
    session: BrowserSession | None,
) -> Response:
    resources = pages.services().resources.all(turn.where.id)
    return pages.page(
        "login/consent.html",
        opener=True,
        person=consent_page.person_view(user),
        action=turn.action,
        csrf=make_token(turn.bound_to),
        session_id=session.sid if session else "",
        client_name=client.name,
        groups=consent_page.groups(asked.by_resource, resources, turn.where),
        loopback_only=all(uris.is_loopback_uri(uri) for uri in client.redirect_uris),
        redirect_host=redirect_host(asked.redirect_uri),
        account_url=pages.url("account"),
        links=sign_in.links(client),
    )


def _not_allowed_page(turn: Turn, client: ClientRecord, user: User | None) -> Response:
    return pages.page(
        "login/not_allowed.html",
        403,
        opener=True,
        client_name=client.name,
        person=consent_page.person_view(user),
        action=turn.action,
        csrf=make_token(turn.bound_to),
    )


def _consent(turn: Turn, asked: AuthorizationRequest, form: ConsentForm) -> Response:
    """Allowed or not. Allowing counts for this very request alone, and for the person the page named alone: somebody
    else who signed in meanwhile in another tab is asked themselves."""
    session = oauth.current_session(turn.where)
    if form.answer.data == "allow":
        allowed = session is not None and form.session.data == session.sid
        return _go_on(turn, session, after_post=True, allowed=allowed)
    if form.answer.data != "deny":
        return errors.error_page(400)
    origin = pages.origin()
    event = Event(
        "consent.denied",
        tenant_id=turn.where.id,
        outcome="failure",
        reason=refusals.ACCESS_DENIED.reason,
        user_id=session.user_id if session else None,
        ip=origin.ip,
        user_agent=origin.user_agent,
        session_id=session.sid if session else None,
        client_id=asked.client_id,
        data={"scopes": list(asked.scopes)},
    )
    pages.services().state.execute(audit.operation(event))
    return _end(turn, asked, refusals.ACCESS_DENIED)


def _switch(turn: Turn, asked: AuthorizationRequest) -> Response:
    """Another account: whoever is signed in has to sign in again, as themselves or as somebody else."""
    again = replace(asked, prompt=asked.prompt | {"select_account"}, login_hint=None)
    interactions = Interactions(pages.services().state)
    if not interactions.change(turn.where.id, turn.found, request=again.to_json(), signed_in_session=None):
        return turns.expired(turn.where, turn.found.id, turn.stub)
    return pages.see_other(turn.action)


def _finish(
    turn: Turn,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession | None,
    *,
    allowed: bool,
) -> Response:
    """Every requirement holds: of any number of clicks one makes the code."""
    interactions = Interactions(pages.services().state)
    if session is None or not interactions.take(turn.where.id, turn.found):
        return turns.expired(turn.where, turn.found.id, turn.stub)
    redirection = None
    try:
        redirection = oauth.complete(turn.where, asked, client, session, allowed_here=allowed)
    finally:
        if redirection is None:
            # Nothing came of it, so nothing was used up.
            interactions.save(turn.where.id, turn.found)
    if redirection is None:
        return pages.see_other(turn.action)
    response = oauth.answer(redirection, after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response


def _end(turn: Turn, asked: AuthorizationRequest, case: Case) -> Response:
    """No code: the client hears why."""
    if turn.client is None:
        return errors.refused_request(refusals.CLIENT_UNKNOWN, f"client {asked.client_id} is gone")
    errors.note(case.reason, f"client {asked.client_id} is told {case.error}")
    Interactions(pages.services().state).drop(turn.where.id, turn.found)
    response = oauth.answer(oauth.refuse(turn.where, asked, case), after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response
