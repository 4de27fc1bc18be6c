"""Sessions: where somebody is signed in, and how to end that."""

from collections.abc import Sequence

from flask import Flask, Response, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.domain import one_time_links, session_views
from app.domain.session_views import SessionView
from app.domain.sessions import BrowserSession
from app.infra import audit
from app.web import browser, errors, everywhere, i18n, logout, pages
from app.web.account import shell
from app.web.account.forms import ID, SessionsForm
from app.web.account.shell import Visitor
from app.web.page_forms import checked

PAGE = "account_sessions"


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/account/sessions", PAGE, _show, methods=["GET"])
    app.add_url_rule("/account/sessions", PAGE + "_step", _end, methods=["POST"])


def _show() -> Response:
    found = shell.entered(PAGE)
    if isinstance(found, Response):
        return found
    notices = {"one": _("That session has ended."), "others": _("All other sessions have ended.")}
    return shell.render(
        "account/sessions.html",
        found,
        "/account/sessions",
        action=pages.url(PAGE + "_step"),
        sessions=listed(found),
        notice=notices.get(request.args.get("done", ""), ""),
    )


def listed(found: Visitor) -> list[SessionView]:
    """Every session of the person, this one first, then the one used last."""
    parts, where = pages.services(), found.where

    def client_name(client_id: str) -> str | None:
        client = parts.clients.get(where.id, client_id)
        return client.name if client else None

    views = [
        session_views.view(
            session,
            places=parts.places,
            language=i18n.language(),
            client_name=client_name,
            current_id=found.session.sid,
        )
        for session in parts.sessions.of_user(where, found.user.id)
    ]
    return sorted(views, key=lambda view: not view.is_current)


def _end() -> Response:
    form = checked(SessionsForm, shell.bound_here())
    found = shell.acting(PAGE)
    if isinstance(found, Response):
        return found
    step, parts = form.step.data, pages.services()
    if step == "end-all":
        return _end_all(found)
    if step == "end-others":
        mine = parts.sessions.of_user(found.where, found.user.id)
        end(found, [session for session in mine if session.sid != found.session.sid])
        return pages.see_other(pages.url(PAGE, done="others"))
    session_id = form.session.data or ""
    if step != "end" or session_id == found.session.sid:
        return errors.error_page(400)
    session = (
        parts.sessions.find(found.where, session_id, found.user.id) if ID.fullmatch(session_id) else None
    )
    if session is None:
        raise NotFound
    end(found, [session])
    return pages.see_other(pages.url(PAGE, done="one"))


def _end_all(found: Visitor) -> Response:
    """Sign out everywhere, here too."""
    where, sid = found.where, found.session.sid
    done = everywhere.sign_out(where, found.user.id, asked_in=sid, event=found.event)
    browser.forget(where, {sid, *(session.sid for session in done.sessions)})
    return logout.farewell(where, done.took_part)


def end(found: Visitor, sessions: Sequence[BrowserSession]) -> None:
    """End sessions of the person, each on record, all or none of them."""
    parts = pages.services()
    with parts.tenancy.session(found.where.id, write=True) as db:
        for session in sessions:
            parts.sessions.end(db, found.where, session)
            audit.record(db, found.event("session.revoked", target=session.sid))
        # Who ends sessions does not trust what was asked for in them.
        one_time_links.withdraw_of(db, found.user.id, one_time_links.CHANGE_EMAIL)
    browser.forget(found.where, {session.sid for session in sessions})
