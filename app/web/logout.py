"""Signing out, asked for by the person or by an application."""

import json
from collections.abc import Sequence

from flask import Flask, Response, request
from flask_babel import gettext as _

from app.domain import assurance, session_notices, users
from app.domain.session_notices import Part
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit, limits
from app.infra.audit import Event
from app.infra.limits import AUTHORIZE
from app.infra.state import Key, Put, TakeOnce
from app.kernel.secrets import lookup_hash, new_secret
from app.protocols.oauth import frontchannel_logout, logout
from app.protocols.oauth.errors import Case
from app.protocols.oauth.logout import LogoutRequest
from app.protocols.oauth.responses import Redirection
from app.web import answers, browser, consent_page, errors, i18n, oauth, pages
from app.web.account import shell
from app.web.forms import is_form
from app.web.i18n import later
from app.web.page_forms import ConfirmForm, checked, make_token

ALL = "all"
"""The step that ends every session of this browser."""
KIND = "logout"
LIFETIME_SECONDS = 600
_WRONG_REQUEST = later("The application sent you here with a sign-out request that does not work.")
_LEADS = {
    "logout.redirect_uri": later("The application sent you here with a wrong return address."),
    "logout.redirect_uri_without_client": later("The application sent you here with a wrong return address."),
}
"""What a refused request says to a person, by its reason."""


def register(app: Flask) -> None:
    """Add the end-session endpoint and its short name for people."""
    app.add_url_rule("/logout", "logout", _logout, methods=["GET", "POST"])
    app.add_url_rule("/logout/<handle>", "logout_request", _resume, methods=["GET"])
    app.add_url_rule("/sign-out", "sign_out", _ask_again, methods=["GET"])


def _logout() -> Response:
    """GET and POST (RP-Initiated Logout section 2); our own form posts here too and is known by its token."""
    # Read before it is parsed: afterwards the body would be gone.
    if request.method == "POST" and request.get_data() and "csrf_token" in request.form:
        return _confirmed()
    where, parts = pages.tenant(), pages.services()
    encoded = _encoded()
    asked = (
        logout.read(encoded, where, parts.clients, parts.keyring) if encoded is not None else logout.MALFORMED
    )
    if isinstance(asked, Case):
        return _refused(asked)
    if request.method == "POST":
        # The session's cookie does not come with another site's POST (contracts 14): ask again with GET.
        return pages.see_other(pages.url("logout_request", handle=_keep(where, asked)))
    return _decide(where, asked)


def _encoded() -> str | None:
    if request.method != "POST":
        raw = request.query_string
    elif request.query_string or not is_form(request.headers.get("Content-Type", "")):
        return None
    else:
        raw = request.get_data()
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        return None


def _resume(handle: str) -> Response:
    where = pages.tenant()
    asked = _kept(where, handle)
    if asked is None:
        return errors.error_page(
            400,
            title=later("This request has expired"),
            text=later("Go back to the application and sign out there again."),
        )
    return _decide(where, asked)


def _ask_again() -> Response:
    return _decide(pages.tenant(), LogoutRequest())


def _decide(where: TenantContext, asked: LogoutRequest) -> Response:
    """Sign out at once where the application proved that it knows this sign-in; else ask."""
    session, present = oauth.current_session(where), browser.accounts(where)
    if not present:
        # Nothing to end. Going back needs more than a link anybody can make.
        return _leave(where, asked if asked.user_id else LogoutRequest(), after_post=False)
    meant = [a.session for a in present if asked.user_id and asked.is_about(a.session.user_id, a.session.sid)]
    if meant:
        frames = _end(where, meant, asked)
        return _leave(where, asked, frames, after_post=False)
    client = pages.services().clients.get(where.id, asked.client_id) if asked.client_id else None
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, session.user_id) if session else None
        person = consent_page.person_view(user) if user else None
    return pages.page(
        "logout/confirm.html",
        opener=True,
        client_name=i18n.client_name(client) if client else "",
        person=person,
        action=pages.url("logout"),
        csrf=make_token(shell.bound_here()),
        confirmed=_keep(where, asked) if asked.client_id else "",
        several=len(present) > 1,
        home=pages.url("start"),
    )


def _confirmed() -> Response:
    where = pages.tenant()
    present = browser.accounts(where)
    if not present:
        return _leave(where, LogoutRequest(), after_post=True)
    form = checked(ConfirmForm, shell.bound_here())
    asked = (_kept(where, form.confirmed.data) if form.confirmed.data else None) or LogoutRequest()
    session = oauth.current_session(where)
    # Without an account at work there is nobody else to mean than all of them.
    of_all = form.step.data == ALL or session is None
    ended = [a.session for a in present if of_all or (session and a.session.sid == session.sid)]
    frames = _end(where, ended, asked)
    return _leave(where, asked, frames, after_post=True)


def _end(where: TenantContext, sessions: Sequence[BrowserSession], asked: LogoutRequest) -> tuple[str, ...]:
    """End sessions, their access tokens, and every grant that lives no longer than they. Gives what this browser has
    to load of the applications that took part."""
    parts, origin = pages.services(), pages.origin()
    took_part: list[Part] = []
    with parts.tenancy.session(where.id, write=True) as db:
        for session in sessions:
            parts.sessions.end(db, where, session)
            took_part += session_notices.parts(db, where.id, session.user_id, (session.sid,))
            user = users.get(db, session.user_id)
            audit.record(
                db,
                Event(
                    "auth.logout",
                    tenant_id=where.id,
                    outcome="success",
                    user_id=session.user_id,
                    email=user.email if user else None,
                    ip=origin.ip,
                    user_agent=origin.user_agent,
                    mfa_used=assurance.has_second_factor(session.amr),
                    session_id=session.sid,
                    client_id=asked.client_id,
                    data={"initiator": "client" if asked.client_id else "user"},
                ),
            )
    browser.forget(where, {session.sid for session in sessions})
    return frontchannel_logout.frames(where, parts.clients, took_part)


def farewell(where: TenantContext, took_part: Sequence[Part]) -> Response:
    """The page that says so, after a form of ours ended sessions; applications that took part sign out in its
    frames."""
    frames = frontchannel_logout.frames(where, pages.services().clients, took_part)
    return _leave(where, LogoutRequest(), frames, after_post=True)


def _leave(
    where: TenantContext, asked: LogoutRequest, frames: Sequence[str] = (), *, after_post: bool
) -> Response:
    # Another site's POST comes without the cookie (Lax): answering it with a deletion would sign people out for them.
    if pages.cookies().read(where) is not None and oauth.current_session(where) is None:
        pages.cookies().put(where, None)
    target = asked.target()
    if target is not None:
        onward = Redirection(target)
        if not frames:
            return answers.carry(onward, after_post=after_post)
        return pages.page(
            "logout/leaving.html", opener=True, frames=frames, target=onward.uri, host=onward.host
        )
    beside = browser.people(where, browser.accounts(where))
    return pages.page(
        "logout/signed_out.html",
        opener=True,
        frames=frames,
        sign_in=pages.url("start"),
        beside=[consent_page.person_view(user) for _, user in beside],
        action=pages.url("logout"),
        csrf=make_token(shell.bound_here()),
    )


def _refused(case: Case) -> Response:
    """Nothing is ended and nobody is sent anywhere; the person can still sign out by themselves."""
    errors.note(case.reason, case.description)
    return errors.error_page(
        400,
        title=later("Signing out did not work"),
        text=_LEADS.get(case.reason, _WRONG_REQUEST),
        advice=later("You are not signed out yet, if you were signed in."),
        case=case,
        home=pages.url("sign_out"),
        home_label=_("Sign out here"),
    )


def _keep(where: TenantContext, asked: LogoutRequest) -> str:
    handle = new_secret()
    content = json.dumps(asked.to_json()).encode()
    outcome = pages.services().state.execute(
        # Anybody may ask, and each answer is kept for a while.
        AUTHORIZE.count(where.id, limits.network_of(pages.origin().ip)),
        Put(Key(where.id, KIND, lookup_hash(handle)), content, LIFETIME_SECONDS),
    )
    limits.require(outcome, AUTHORIZE)
    return handle


def _kept(where: TenantContext, handle: str) -> LogoutRequest | None:
    key = Key(where.id, KIND, lookup_hash(handle[:64]))
    raw = pages.services().state.execute(TakeOnce(key)).results[0]
    return LogoutRequest(**json.loads(raw)) if raw is not None else None
