"""The way to an application or a page of ours, page by page, at one address: `/interaction/<id>`.

What comes next is asked of `protocols.login.engine` after every step; which page that is, of `web.steps`.
"""

from dataclasses import replace

from flask import Flask, Response, request

from app.domain import access_rules
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.protocols.login import engine
from app.protocols.login.engine import Done, Need, Refuse, Visit
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import (
    consent_page,
    email_sign_in,
    endings,
    errors,
    factor_page,
    i18n,
    oauth,
    pages,
    session_start,
    standings,
    steps,
    turns,
)
from app.web.page_forms import PageForm, checked, make_token
from app.web.session_start import Accepted
from app.web.standings import Standing
from app.web.turns import Turn


def register(app: Flask) -> None:
    """Add the pages."""
    email_sign_in.register(app)
    app.add_url_rule("/sign-in", "sign_in", start_sign_in, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction", _show, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction_step", _take_step, methods=["POST"])


def start_sign_in(return_to: str = "account", *, max_age: int | None = None) -> Response:
    """A sign-in nobody asked for but the person: straight to the form, then on to a page of ours.

    `max_age` is what that page demands: seconds since whoever is signed in last showed who they are.
    """
    where = pages.tenant()
    if request.endpoint == "sign_in" and oauth.current_session(where) is not None:
        return pages.see_other(pages.url(return_to))
    turn = turns.begin(where, return_to, visit=Visit(max_age=max_age) if max_age is not None else None)
    return turn.deliver(_answer(turn, _stand(turn, oauth.current_session(where)), after_post=False))


def go_on(turn: Turn, *, after_post: bool = True) -> Response:
    """Whatever comes next: a page, or the end. Starts the session when everything before it holds."""
    session, accepted = oauth.current_session(turn.where), None
    standing = _stand(turn, session)
    if isinstance(standing.step, Need) and standing.step.page == engine.START:
        accepted = _started(turn, standing)
        sid, before = accepted.session.sid, turn
        turn = replace(turn, found=replace(turn.found, shown=None, signed_in_session=sid))
        standing = _stand(turn, accepted.session, before=standing)
        # Where this was all, it is not written down before it is taken away.
        if not isinstance(standing.step, Done):
            changed = turns.change(before, shown=None, signed_in_session=sid)
            if isinstance(changed, Response):
                return before.deliver(accepted.deliver(changed, before.where))
            turn = changed
    response = _answer(turn, standing, after_post=after_post)
    if accepted is not None:
        response = accepted.deliver(response, turn.where)
    return turn.deliver(response)


def _show(interaction_id: str) -> Response:
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    if turn.is_new and turn.asked is not None:
        # A request that was posted came without the cookies that say which account it means.
        oauth.bring_to_work(turn.where, turn.asked)
    return go_on(turn, after_post=False)


def _take_step(interaction_id: str) -> Response:
    if request.form.get("step") == "sign-in" and request.form.get("password"):
        pages.services().passwords.look_for_room()
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    asked, step = turn.asked, request.form.get("step", "")
    if step in ("switch", "cancel") and asked is not None:
        checked(PageForm, turn.bound_to)
        if step == "switch":
            return turn.deliver(_switch(turn, asked))
        return turn.deliver(endings.refuse(turn, asked, refusals.ACCESS_DENIED))
    page = steps.named(step)
    if page is None:
        return turn.deliver(errors.error_page(400))
    form = checked(page.form, turn.bound_to)
    standing = _stand(turn, oauth.current_session(turn.where))
    is_due = isinstance(standing.step, Need) and standing.step.page == page.name
    taken = page.take(turn, standing, form) if is_due or page.at_any_time else turn
    return turn.deliver(taken) if isinstance(taken, Response) else go_on(taken)


def _stand(turn: Turn, session: BrowserSession | None, *, before: Standing | None = None) -> Standing:
    allowed, asked = turn.is_allowed(session), turn.asked
    return standings.find(
        turn.where, asked, turn.client, session, turn.found, allowed_here=allowed, before=before
    )


def _started(turn: Turn, standing: Standing) -> Accepted:
    if standing.shown is None or standing.user is None:
        raise RuntimeError("a session starts for somebody")
    asked = turn.asked
    return session_start.start(
        turn.where,
        standing.user,
        standing.shown,
        asked.client_id if asked else None,
        trust=factor_page.TRUST in turn.found.data,
    )


def _answer(turn: Turn, standing: Standing, *, after_post: bool) -> Response:
    """The page or the end a standing leads to. After a POST pages are redirected to, so that reloading is harmless."""
    asked, client, step = turn.asked, turn.client, standing.step
    if asked is not None and client is None:
        return errors.refused_request(refusals.CLIENT_UNKNOWN, f"client {asked.client_id} is gone")
    if isinstance(step, Done):
        if asked is None or client is None:
            return endings.return_home(turn)
        return endings.finish(turn, asked, client, standing.session)
    if asked is not None and oauth.is_answered_at_once(asked, step):
        return endings.refuse(turn, asked, oauth.SILENT[step.error])
    if after_post:
        return pages.see_other(turn.action)
    if isinstance(step, Refuse):
        return _not_allowed_page(turn, standing, step)
    page = steps.named(step.page)
    if page is None:
        raise RuntimeError(f"no page meets {step.page}")
    return page.show(turn, standing)


def _not_allowed_page(turn: Turn, standing: Standing, step: Refuse) -> Response:
    client = turn.client
    errors.note(
        step.reason, f"{client.client_id if client else 'signing in'} is not for whoever is signed in"
    )
    if standing.user is not None and step.reason in (access_rules.NETWORK, access_rules.HOURS):
        record_refusal(turn, standing.user, step.reason)
    return pages.page(
        "login/not_allowed.html",
        403,
        opener=True,
        reason=step.reason,
        address=pages.origin().ip,
        hours=_hours(turn.where),
        client_name=i18n.client_name(client) if client else "",
        person=consent_page.person_view(standing.user),
        action=turn.action,
        csrf=make_token(turn.bound_to),
    )


def record_refusal(turn: Turn, user: User, reason: str) -> None:
    """Somebody who showed who they are, but from where or when they may not."""
    origin = turn.terminal.origin
    event = Event(
        "auth.login.fail",
        tenant_id=turn.where.id,
        outcome="failure",
        reason=reason,
        user_id=user.id,
        email=user.email,
        ip=origin.ip,
        user_agent=origin.user_agent,
        client_id=origin.client_id,
        data={"method": "+".join(turn.found.shown.methods) if turn.found.shown else "session"},
    )
    pages.services().state.execute(audit.operation(event))


def _hours(where: TenantContext) -> dict[str, str] | None:
    """When people may work, in the words of their language."""
    hours = where.settings.hours
    if hours is None:
        return None
    names = i18n.locale_of(i18n.language()).days["stand-alone"]["wide"]
    return {
        "days": ", ".join(names[day - 1] for day in hours.days),
        "start": f"{hours.start}:00",
        "end": f"{hours.end}:00",
        "timezone": hours.timezone,
    }


def _switch(turn: Turn, asked: AuthorizationRequest) -> Response:
    """Another account: whoever is signed in has to sign in again, as themselves or as somebody else."""
    again = replace(asked, prompt=asked.prompt | {"select_account"}, login_hint=None)
    changed = turns.change(turn, request=again.to_json(), shown=None, signed_in_session=None, data={})
    return changed if isinstance(changed, Response) else pages.see_other(turn.action)
