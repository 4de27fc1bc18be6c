"""The sign-in page."""

import time

from flask import Response
from flask_babel import gettext as _
from flask_babel import ngettext

from app.domain import passkey_models, registration
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.protocols.login.engine import Need
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.web import branding, email_sign_in, errors, i18n, lockout, pages, turns
from app.web.factors import passkey
from app.web.i18n import later
from app.web.page_forms import SignInForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn

WRONG = later("Wrong username or password")
NO_PASSKEY = later("That passkey was not accepted. Try again, or sign in another way.")
_WHY = {
    "session.too_old": later("It has been a while since you signed in. Show once more that it is you."),
    "prompt.login": later("Show once more that it is you."),
    "prompt.select_account": later("Sign in with the account you want to use."),
    "session.other_person": later("You are signed in with another account than the one that is asked for."),
}


def show(turn: Turn, standing: Standing) -> Response:
    """The form, and why somebody who is signed in sees it."""
    if email_sign_in.is_under_way(turn):
        return email_sign_in.show(turn, standing)
    reason = standing.step.reason if isinstance(standing.step, Need) else ""
    return page(turn, reason=reason, user=standing.user)


def take(turn: Turn, standing: Standing, form: SignInForm) -> Response | Turn:
    """One attempt with user name and password, or a message to be sent in place of the password."""
    where = turn.where
    login, password = (form.username.data or "").strip(), form.password.data or ""
    if form.way.data == email_sign_in.WAY and email_sign_in.is_offered(where):
        sent = email_sign_in.send(turn, login)
        return _blocked(turn, login, sent) if isinstance(sent, Blocked) else sent
    if form.way.data == passkey.WAY and passkey.is_offered(where):
        return _by_passkey(turn, form.credential.data or "")
    if "password" not in where.settings.authentication.methods:
        return turn
    outcome = attempt(turn, login, password)
    if isinstance(outcome, Blocked):
        return _blocked(turn, login, outcome)
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "sign-in failed")
        return page(turn, username=login, fault=_(WRONG), is_wrong=True, status=401)
    return turns.shows(turn, outcome)


def attempt(turn: Turn, login: str, password: str) -> Verified | Failed | Blocked:
    """Check name and password; whose account is paused is told. Raises `Unavailable` when too many sign in at once."""
    started, where, parts, at = time.monotonic(), turn.where, pages.services(), turn.terminal
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    outcome = factor.attempt(where, login, password, device=at.device, origin=at.origin)
    if isinstance(outcome, Blocked):
        lockout.tell(where, outcome, started)
    return outcome


def _by_passkey(turn: Turn, answer: str) -> Response | Turn:
    outcome = passkey.verify(turn, None, answer)
    if isinstance(outcome, Blocked):
        return _blocked(turn, "", outcome)
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "sign-in by passkey failed")
        is_refused = outcome.reason in (passkey_models.NOT_ALLOWED, passkey_models.COMPROMISED)
        fault = _(passkey.REFUSED_MODEL if is_refused else NO_PASSKEY)
        is_unknown = outcome.reason == "passkey.unknown"
        signals = passkey.unknown_signals(turn.where, answer) if is_unknown else ""
        return page(turn, username="", fault=fault, signals=signals, status=401)
    return turns.shows(turn, outcome)


def page(
    turn: Turn,
    *,
    reason: str = "",
    user: User | None = None,
    username: str | None = None,
    fault: str = "",
    is_wrong: bool = False,
    signals: str = "",
    status: int = 200,
) -> Response:
    """The form. `reason` says why somebody who is signed in sees it; `user` is who that is;
    `is_wrong` whether the fault lies in what was typed; `signals` what the browser is told of a passkey."""
    asked, client = turn.asked, turn.client
    if reason == "prompt.login" and asked and "select_account" in asked.prompt:
        reason = "prompt.select_account"
    if username is None:
        again = user.username if user is not None and reason in ("session.too_old", "prompt.login") else ""
        username = (asked.login_hint if asked else None) or again
    can_send = pages.services().mailer.can_send
    resets = can_send and "password" in turn.where.settings.authentication.methods
    registers = can_send and registration.is_offered(turn.where.settings.registration)
    return pages.page(
        "login/sign_in.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        client_name=i18n.client_name(client) if client else "",
        client_logo=branding.client_logo(client),
        why=_(_WHY[reason]) if reason in _WHY else "",
        fault=fault,
        is_wrong=is_wrong,
        signals=signals,
        username=username,
        can_cancel=asked is not None,
        has_password="password" in turn.where.settings.authentication.methods,
        passkey=passkey.sign_in_options(turn) if passkey.is_offered(turn.where) else "",
        has_email=email_sign_in.is_offered(turn.where),
        forgot=pages.url("forgot_login", interaction_id=turn.found.id) if resets else "",
        register=pages.url("register_address", interaction_id=turn.found.id) if registers else "",
        links=links(client) if client else [],
    )


def links(client: ClientRecord) -> list[tuple[str, str]]:
    """What the client says about itself, as it registered it."""
    labels = (("policy_uri", _("Privacy")), ("tos_uri", _("Terms")))
    return [(label, uri) for name, label in labels if (uri := i18n.of_client(client, name))]


def _blocked(turn: Turn, login: str, blocked: Blocked) -> Response:
    errors.note(blocked.reason, "sign-in refused before anything was checked")
    response = page(turn, username=login, fault=_wait(blocked.retry_after_seconds), status=429)
    response.headers["Retry-After"] = str(blocked.retry_after_seconds)
    return response


def _wait(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return ngettext(
        "Too many attempts. Wait a minute, then try again.",
        "Too many attempts. Wait %(num)s minutes, then try again.",
        max(minutes, 1),
    )
