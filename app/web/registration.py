"""Making an account by oneself: an address, a link in the mail, and then the account.

Nothing is created before somebody read mail at the address, and the pages say the same whether it is taken or not:
only the mail tells. A browser that did the proof of work may ask thirty times an hour from its network; one without
scripts five times, and all of those together sixty times.
"""

import time
from dataclasses import replace

from flask import Flask, Response, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from app.domain import registration, users
from app.domain.tenants import TenantContext
from app.infra import limits, page_slots
from app.kernel.errors import Problem
from app.web import i18n, links, mails, pages, turns
from app.web.page_forms import checked, make_token
from app.web.people_forms import AddressForm
from app.web.standings import Standing
from app.web.turns import Turn


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/register", "register", _begin, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>/register", "register_address", _show, methods=["GET"])
    app.add_url_rule(
        "/interaction/<interaction_id>/register", "register_address_step", _ask, methods=["POST"]
    )


def is_offered(where: TenantContext) -> bool:
    """Whether the sign-in page leads here: where the tenant lets people in, and mail can be sent."""
    return registration.is_offered(where.settings.registration) and pages.services().mailer.can_send


def _require_offered(where: TenantContext) -> None:
    if not registration.is_offered(where.settings.registration):
        raise NotFound
    if not pages.services().mailer.can_send:
        raise Problem("mail.not_configured", "This service cannot send mail at the moment.", status=503)


def show(turn: Turn, _standing: Standing) -> Response:
    """The page of `prompt=create`."""
    return pages.see_other(pages.url("register_address", interaction_id=turn.found.id))


def take(turn: Turn, _standing: Standing, _form: object) -> Response | Turn:
    """An account there is already: sign in with it, for the same request."""
    asked = turn.asked
    if asked is None:
        return turn
    again = replace(asked, prompt=asked.prompt - {"create"})
    return turns.change(turn, request=again.to_json())


def _begin() -> Response:
    where = pages.tenant()
    _require_offered(where)
    turn = turns.begin(where, "start")
    return turn.deliver(pages.see_other(pages.url("register_address", interaction_id=turn.found.id)))


def _show(interaction_id: str) -> Response:
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    _require_offered(turn.where)
    if "sent" in request.args:
        return turn.deliver(pages.page("login/look_in_mail.html", opener=True, kind="registration"))
    return turn.deliver(_address_page(turn))


def _ask(interaction_id: str) -> Response:
    """The same answer in the same time, whatever the address is."""
    started = time.monotonic()
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    _require_offered(turn.where)
    form = checked(AddressForm, turn.bound_to)
    typed = (form.email.data or "").strip()
    try:
        email = registration.address(typed)
    except Problem as problem:
        return turn.deliver(_address_page(turn, typed, _(problem.public)))
    if not registration.admits(turn.where.settings.registration, email):
        fault = _("An account is for addresses of certain domains here, and this is none of them.")
        return turn.deliver(_address_page(turn, typed, fault))
    proven = pages.services().bot_defence.passes(
        turn.where.id, form.challenge.data or "", form.proof.data or ""
    )
    _require_few(turn.where, proven)
    _send(turn, email, proven)
    page_slots.rest_until(started + pages.services().sign_in_floor_seconds)
    target = pages.url("register_address", interaction_id=interaction_id, sent="")
    return turn.deliver(pages.see_other(target))


def _address_page(turn: Turn, email: str = "", fault: str = "") -> Response:
    client = turn.client
    return pages.page(
        "login/register.html",
        400 if fault else 200,
        opener=True,
        action=pages.url("register_address_step", interaction_id=turn.found.id),
        csrf=make_token(turn.bound_to),
        client_name=i18n.client_name(client) if client else "",
        email=email,
        fault=fault,
        domains=turn.where.settings.registration.domains
        if turn.where.settings.registration.people == "domain"
        else (),
        challenge=pages.services().bot_defence.challenge(turn.where.id),
        sign_in=turn.action,
        creates=turn.asked is not None and "create" in turn.asked.prompt,
    )


def _require_few(where: TenantContext, proven: bool) -> None:
    few = limits.REGISTRATION if proven else limits.REGISTRATION_UNPROVEN
    counted = limits.by_network(few, where.id, pages.origin().ip)
    asked = (few,) * len(counted)
    if not proven:
        counted = (*counted, limits.REGISTRATION_UNPROVEN_ALL.count(where.id))
        asked = (*asked, limits.REGISTRATION_UNPROVEN_ALL)
    limits.require(pages.services().state.execute(*counted), *asked)


def _send(turn: Turn, email: str, proven: bool) -> None:
    where, parts = turn.where, pages.services()
    if not parts.state.execute(limits.MAIL_TO_ADDRESS.count(where.id, users.normalize(email))).ok:
        return
    language = i18n.language()
    with parts.tenancy.session(where.id, write=True) as db:
        taken = registration.is_taken(db, email)
        if (user := registration.unfinished(db, where, email)) is not None:
            token = registration.resume(db, user, interaction_id=turn.found.id)
            target = mails.link(where, "registration", token=token)
            mails.send(db, where, "registration", email, language, link=target)
        elif taken:
            mails.send(
                db,
                where,
                "registration_taken",
                email,
                language,
                link=mails.link(where, "sign_in"),
                has_password="password" in where.settings.authentication.methods,
            )
        else:
            token = registration.begin(db, email, interaction_id=turn.found.id)
            target = mails.link(where, "registration", token=token)
            mails.send(db, where, "registration", email, language, link=target)
        links.record(db, "registration.requested", None, proven=proven, taken=taken)
