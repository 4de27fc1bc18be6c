"""Signing in by e-mail, where the tenant has it (`authentication.methods`): a code to type, and a link to open.

Both are in one message and good once, in the browser that asked for it alone. A link that is opened in another browser
signs in neither: who sent for the message need not be who reads it, and whoever is fooled into opening a link would let
a stranger in. That browser says to type the code where the sign-in began, which nobody does by accident.

Nothing tells whether there is an account: unknown names wait as long, count as much, and see the same pages. Only
confirmed addresses count, as an account somebody made with another's address must not become theirs by it.
"""

import time

from flask import Flask, Response, request
from flask_babel import gettext as _

from app.domain import assurance, users
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra import audit, page_slots
from app.kernel.secrets import lookup_hash
from app.protocols.login.factors import failures, sent_codes
from app.protocols.login.factors.outcome import Blocked, Failed, Verified
from app.protocols.login.factors.sent_codes import EMAIL_LIMITS
from app.protocols.login.interactions import Interactions
from app.web import errors, mails, pages, turns
from app.web.factors import tries
from app.web.page_forms import PageForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn

WAY = "email"
PURPOSE = "email-sign-in"
_MAX_LOGIN = 320


def register(app: Flask) -> None:
    """Add the address of the links."""
    app.add_url_rule("/interaction/<interaction_id>/email/<token>", "sign_in_link", _open, methods=["GET"])


def is_offered(where: TenantContext) -> bool:
    """Whether people may begin with it."""
    return WAY in where.settings.authentication.methods and pages.services().mailer.can_send


def send(turn: Turn, login: str) -> Response | Turn | Blocked:
    """Send a message to whoever it is, if there is anybody, and go on to the page for its code."""
    kept = ask(turn, login)
    if isinstance(kept, Blocked):
        return kept
    changed = turns.change(turn, data={**turn.found.data, WAY: kept})
    return changed if isinstance(changed, Response) else pages.see_other(f"{turn.action}?way={WAY}")


def ask(turn: Turn, login: str) -> dict[str, str] | Blocked:
    """Send a message to whoever it is, if there is anybody. Gives what `judge` has to know when a code is typed."""
    started, where, parts, made = time.monotonic(), turn.where, pages.services(), tries.codes()
    user = _whose(where, login)
    whom = user.id if user else "?" + lookup_hash(users.normalize(login[:_MAX_LOGIN]))
    # Where the owner was before they have messages of their own, which nobody elsewhere uses up.
    is_theirs = user is not None and tries.knows(turn, user)
    budget = f"{whom} {turn.terminal.device.id}" if is_theirs else whom
    blocked = made.allow(where.id, budget, EMAIL_LIMITS, turn.terminal.origin)
    if blocked is not None:
        # Nobody's messages are counted like somebody's: this tells nothing, and costs no time of ours.
        return blocked
    _send(turn, user, whom)
    # A transaction more or less must not show.
    page_slots.rest_until(started + parts.sign_in_floor_seconds)
    return {"whom": whom, "login": login[:_MAX_LOGIN]}


def is_under_way(turn: Turn) -> bool:
    """Whether a message was asked for here, and the page for its code is wanted."""
    return request.args.get("way") == WAY and WAY in turn.found.data


def show(turn: Turn, standing: Standing) -> Response:
    """Where the code is typed."""
    return page(turn)


def take(turn: Turn, standing: Standing, form: PageForm) -> Response | Turn:
    """The code, or the link opened in this browser."""
    kept = turn.found.data.get(WAY)
    if kept is None or not is_offered(turn.where):
        return turn
    kind = "link" if request.form.get("link") else "code"
    outcome = judge(turn, kept, request.form.get(kind, ""), kind=kind)
    if isinstance(outcome, Blocked):
        errors.note(outcome.reason, "a code was refused before anything was checked")
        response = page(turn, fault=tries.wait(outcome.retry_after_seconds), status=429)
        response.headers["Retry-After"] = str(outcome.retry_after_seconds)
        return response
    if isinstance(outcome, Verified):
        return turns.shows(turn, outcome)
    errors.note(outcome.reason, "sign-in by e-mail refused")
    is_link = kind == "link"
    fault = _("That link was used or has expired.") if is_link else _("That code is wrong or has expired.")
    return page(turn, fault=fault, status=401)


def judge(turn: Turn, kept: dict[str, str], typed: str, *, kind: str = "code") -> Verified | Failed | Blocked:
    """One try with a code, or with the link. `kept` is what `ask` gave."""
    user = _by_id(turn.where, kept["whom"])
    known = user is not None and tries.knows(turn, user)
    attempt = tries.begin(
        turn, kept["whom"], user.email if user else None, WAY, known=known, kind=failures.MAIL
    )
    if isinstance(attempt, Blocked):
        return attempt
    subject = tries.codes().check(turn.where.id, turn.found.id, PURPOSE, typed, kind=kind)
    is_right = user is not None and subject == user.id
    reason = None if is_right else "factor.link_invalid" if kind == "link" else "factor.code_expired"
    return tries.end(attempt, reason, user, assurance.EMAIL)


def page(turn: Turn, *, fault: str = "", status: int = 200) -> Response:
    """The page for the code. What it says is the same whether there is an account or not."""
    return pages.page(
        "login/email_code.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        login=turn.found.data[WAY]["login"],
        fault=fault,
        can_cancel=turn.asked is not None,
    )


def _open(interaction_id: str, token: str) -> Response:
    """A link that was opened: a button in the browser that asked for it, an explanation in every other one."""
    where = pages.tenant()
    stub = pages.cookies().stub(where, interaction_id)
    found = Interactions(pages.services().state).find(where.id, interaction_id)
    if stub is None or found is None or not found.is_for(stub.secret):
        errors.note("interaction.expired", "a link to sign in was opened in another browser, or too late")
        return pages.page("login/email_elsewhere.html", opener=True, home=pages.url("start"))
    turn = Turn(where, found, stub, is_new=False)
    return pages.page(
        "login/email_here.html",
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        link=token,
    )


def _send(turn: Turn, user: User | None, whom: str) -> None:
    where = turn.where
    sent = tries.codes().make(where.id, turn.found.id, PURPOSE, user.id if user else whom)
    if user is None:
        return
    # A link leads to a browser, and the person may sit at an application that knows of none.
    has_link = turn.elsewhere is None
    link = (
        {"link": mails.link(where, "sign_in_link", interaction_id=turn.found.id, token=sent.link)}
        if has_link
        else {}
    )
    with pages.services().tenancy.session(where.id, write=True) as db:
        mails.send(
            db,
            where,
            "sign_in_link" if has_link else "sign_in_code",
            user.email or "",
            mails.language_of(user),
            secret=sent.code,
            minutes=sent_codes.MINUTES,
            **link,
        )
        audit.record(db, tries.code_event(turn, user, WAY, "sign-in"))


def _whose(where: TenantContext, login: str) -> User | None:
    if not 0 < len(login) <= _MAX_LOGIN or not login.isprintable():
        return None
    with pages.services().tenancy.session(where.id) as db:
        user = users.find_by_login(db, login)
        if user is None or user.disabled_at is not None or not user.email or not user.email_verified:
            return None
        db.expunge(user)
        return user


def _by_id(where: TenantContext, user_id: str) -> User | None:
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, user_id)
        if user is None or user.disabled_at is not None:
            return None
        db.expunge(user)
        return user
