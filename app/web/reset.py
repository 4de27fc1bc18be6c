"""A forgotten password: a link in the mail, and a new one. The second factor stays what it was.

The pages say the same in the same time whether there is such a person or not (contracts 16).
"""

import time

from flask import Flask, Response, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.exceptions import NotFound

from app.domain import account_access, new_passwords, one_time_links, password_policy, users
from app.domain.models import Authenticator, OneTimeLink, User
from app.domain.tenants import TenantContext
from app.infra import limits, page_slots
from app.kernel import clock
from app.kernel.errors import Problem
from app.protocols.login.factors import failures
from app.protocols.login.factors.password import MAX_LOGIN
from app.web import links, mails, new_account, pages, strength, turns, way_back
from app.web.page_forms import checked, make_token
from app.web.people_forms import ForgottenForm, NewPasswordForm
from app.web.turns import Turn
from app.web.way_back import Finish


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/forgot", "forgot", _begin, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>/forgot", "forgot_login", _show, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>/forgot", "forgot_login_step", _ask, methods=["POST"])
    app.add_url_rule("/reset/<token>", "reset", _open, methods=["GET"])
    app.add_url_rule("/reset/<token>", "reset_step", _set, methods=["POST"])
    app.add_url_rule("/password-set", "password_set", _was_set, methods=["GET"])


def is_offered(where: TenantContext) -> bool:
    """Whether the sign-in page leads here: where people have passwords, and mail can be sent."""
    return pages.services().mailer.can_send and new_account.asks_for_password(where)


def _begin() -> Response:
    where = pages.tenant()
    if not is_offered(where):
        raise NotFound
    turn = turns.begin(where, "start")
    return turn.deliver(pages.see_other(pages.url("forgot_login", interaction_id=turn.found.id)))


def _show(interaction_id: str) -> Response:
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    if not is_offered(turn.where):
        raise NotFound
    if "sent" in request.args:
        return turn.deliver(
            pages.page("login/look_in_mail.html", opener=True, kind="reset", back=turn.action)
        )
    asked = turn.asked
    return turn.deliver(
        pages.page(
            "login/forgot.html",
            opener=True,
            action=pages.url("forgot_login_step", interaction_id=interaction_id),
            csrf=make_token(turn.bound_to),
            login=(asked.login_hint if asked else None) or "",
            back=turn.action,
        )
    )


def _ask(interaction_id: str) -> Response:
    started = time.monotonic()
    turn = turns.resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    if not is_offered(turn.where):
        raise NotFound
    form, parts = checked(ForgottenForm, turn.bound_to), pages.services()
    few = limits.RESET_NETWORK
    outcome = parts.state.execute(*limits.by_network(few, turn.where.id, pages.origin().ip))
    limits.require(outcome, few, few)
    _send(turn, (form.login.data or "").strip())
    page_slots.rest_until(started + parts.sign_in_floor_seconds)
    return turn.deliver(pages.see_other(pages.url("forgot_login", interaction_id=interaction_id, sent="")))


def _send(turn: Turn, typed: str) -> None:
    where, parts = turn.where, pages.services()
    if not 0 < len(typed) <= MAX_LOGIN or not typed.isprintable():
        return
    with parts.tenancy.session(where.id, write=True) as db:
        user = users.find_by_login(db, typed)
        if user is None or user.email is None or not _may_reset(db, user):
            return
        if not parts.state.execute(limits.MAIL_TO_ADDRESS.count(where.id, user.id)).ok:
            return
        send_link(db, where, user)
        links.record(db, "password.reset.requested", user)


def send_link(db: Session, where: TenantContext, user: User) -> None:
    """Send a person the link that sets a new password."""
    token = one_time_links.create(
        db, one_time_links.RESET_PASSWORD, user_id=user.id, data={"email": user.email_key}
    )
    target = mails.link(where, "reset", token=token)
    mails.send(db, where, "reset_password", user.email or "", mails.language_of(user), link=target)


def _may_reset(db: Session, user: User) -> bool:
    """Not who was disabled; and a mailbox does not make a password for whoever has only a passkey."""
    if user.disabled_at is not None:
        return False
    passkey = select(Authenticator.id).where(
        Authenticator.user_id == user.id,
        Authenticator.kind == "passkey",
        Authenticator.confirmed_at.is_not(None),
    )
    return user.password_hash is not None or db.scalar(passkey) is None


def _open(token: str) -> Response:
    link = links.find(one_time_links.RESET_PASSWORD, token)
    if link is None:
        return links.gone()
    return page(pages.url("reset_step", token=token), link, token)


def _set(token: str) -> Response:
    asked_by = links.find(one_time_links.RESET_PASSWORD, token)
    if asked_by is None:
        return links.gone()

    def finish(db: Session, link: OneTimeLink, user: User, grants: int) -> None:
        if link.data.get("email") == user.email_key:
            user.email_verified = True
        links.record(db, "password.reset", user, grants=grants)

    return take(asked_by, token, pages.url("reset_step", token=token), finish)


def page(action: str, link: OneTimeLink, token: str, *, recovers: bool = False) -> Response:
    """What is behind a link: the form for a new password, where people have one."""
    if not new_account.asks_for_password(pages.tenant()):
        return way_back.page(action, token, recovers=recovers)
    return password_page(action, link, token, recovers=recovers)


def take(
    asked_by: OneTimeLink, token: str, action: str, finish: Finish, *, recovers: bool = False
) -> Response:
    """Do what its form says."""
    if not new_account.asks_for_password(pages.tenant()):
        return way_back.take(asked_by, token, finish, recovers=recovers)
    return set_password(asked_by, token, action, finish, recovers=recovers)


def password_page(
    action: str, link: OneTimeLink, token: str, *, fault: str = "", recovers: bool = False
) -> Response:
    """The form for a new password behind a link."""
    where = pages.tenant()
    rules = password_policy.rules(where.settings.authentication.password)
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, link.user_id or "")
        username = user.username if user else ""
    return pages.page(
        "login/new_password.html",
        400 if fault else 200,
        action=action,
        csrf=make_token(links.bound_to(token)),
        fault=fault,
        recovers=recovers,
        username=username,
        password_hint=new_account.password_hint(rules),
        **strength.meter(request.form.get("password", "") if fault else ""),
    )


def set_password(
    asked_by: OneTimeLink, token: str, action: str, finish: Finish, *, recovers: bool = False
) -> Response:
    """Set the password that was sent and take everything back that was issued before; `finish` does the rest.

    All in one transaction with the link's one use. Nobody is signed in by it: the sign-in page asks for the new
    password, and for the second factor.
    """
    where, parts, purpose = pages.tenant(), pages.services(), asked_by.purpose
    password = checked(NewPasswordForm, links.bound_to(token)).password.data or ""
    links.count(token)
    try:
        password_hash = _hash(purpose, token, password)
        with parts.tenancy.session(where.id, write=True) as db:
            link = one_time_links.take(db, purpose, token)
            user = links.person(db, link)
            new_passwords.store(db, user, password_hash, where.settings.authentication.password)
            grants = account_access.take_back(db, user, "password_reset", revocations=parts.revocations)
            finish(db, link, user, grants)
            _tell(db, where, user)
            user_id = user.id
    except Problem as problem:
        if problem.code == "link.invalid":
            return links.gone()
        if problem.code not in ("password.policy", "password.invalid"):
            raise
        return password_page(action, asked_by, token, fault=new_account.said(problem), recovers=recovers)
    # Whoever reads the person's mail does not get new guesses at the second factor by it; where an administrator let
    # them in, the factors that were guessed at are gone.
    failures.forget(parts.state, where.id, user_id, *(failures.KINDS if recovers else (failures.PASSWORD,)))
    return pages.see_other(pages.url("password_set"))


def _hash(purpose: str, token: str, password: str) -> str:
    """What to store of the password, outside of any transaction. The person's second factor counts where it stays."""
    where, parts = pages.tenant(), pages.services()
    settings = where.settings.authentication.password
    with parts.tenancy.session(where.id) as db:
        link = one_time_links.find(db, purpose, token)
        if link is None:
            raise Problem("link.invalid", "This link was used before or has expired.", status=404)
        user = links.person(db, link)
        own, former = new_passwords.own_of(user), new_passwords.former_of(db, user, settings)
        keeps = purpose == one_time_links.RESET_PASSWORD and new_passwords.has_second_factor(
            db, user.id, where.settings.authentication.mfa
        )
    return parts.new_passwords.hash(where, password, own=own, former=former, second_factor=keeps)


def _tell(db: Session, where: TenantContext, user: User) -> None:
    """The notice, to whoever did not do this."""
    if user.email is None or not pages.services().mailer.can_send:
        return
    mails.send(
        db,
        where,
        "password_changed",
        user.email,
        mails.language_of(user),
        when=clock.now(),
        signed_out=True,
        link=mails.link(where, "forgot"),
    )


def _was_set() -> Response:
    return pages.page("login/password_set.html", opener=True, sign_in=pages.url("sign_in"))
