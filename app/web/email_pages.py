"""Confirming addresses: at sign-in where the tenant asks for it, and the links that confirm, change and take back."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask, Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import account_access, account_deletion, authenticators, new_passwords, one_time_links, users
from app.domain.models import OneTimeLink, User
from app.domain.tenants import TenantContext
from app.infra import limits
from app.kernel import clock
from app.kernel.errors import Problem
from app.web import links, mails, pages, turns
from app.web.factors import keeping
from app.web.i18n import later
from app.web.page_forms import PageForm, checked, make_token
from app.web.people_forms import AnswerForm
from app.web.standings import Standing
from app.web.turns import Turn

AROUND = timedelta(days=1)
"""What was added to sign in with so long before a change of address was asked for goes when the change is taken back:
whoever comes into an account adds something of their own first."""


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str
    button: str
    done_title: str
    done: str


_ACTIONS = {
    "confirm": one_time_links.VERIFY_EMAIL,
    "change": one_time_links.CHANGE_EMAIL,
    "undo": one_time_links.UNDO_EMAIL,
}
_WORDS = {
    "confirm": _Words(
        later("Confirm your e-mail address"),
        later("Is %(address)s your address?"),
        later("Confirm the address"),
        later("Address confirmed"),
        later("Your address is confirmed. Go on in the window where you signed in."),
    ),
    "change": _Words(
        later("Confirm your new e-mail address"),
        later("Your account is to use %(address)s from now on."),
        later("Use this address"),
        later("Address changed"),
        later("Your account uses this address from now on. The former one was told."),
    ),
    "undo": _Words(
        later("Take back the change of address"),
        later(
            "Your account is to use %(address)s again. You are signed out everywhere, and set a new password. Passkeys"
            " and second factors that were added since the day before the change are removed."
        ),
        later("Take it back"),
        "",
        "",
    ),
}


def register(app: Flask) -> None:
    """Add the pages."""
    path = "/email/<any(confirm,change,undo):action>/<token>"
    app.add_url_rule(path, "email_link", _open, methods=["GET"])
    app.add_url_rule(path, "email_link_step", _use, methods=["POST"])


def show(turn: Turn, standing: Standing) -> Response:
    """The page somebody meets whose address is not confirmed. The first visit sends the mail."""
    user = standing.user
    if user is None:
        raise RuntimeError("somebody whose address is not confirmed is somebody")
    notice = ""
    if not turn.found.data.get("email_sent"):
        send_confirmation(turn.where, user)
        turn = _remember(turn)
    elif "sent" in request.args:
        notice = _("A new link is on its way.")
    return turn.deliver(
        pages.page(
            "login/verify_email.html",
            opener=True,
            action=turn.action,
            csrf=make_token(turn.bound_to),
            email=user.email,
            notice=notice,
            can_cancel=turn.asked is not None,
        )
    )


def take(turn: Turn, standing: Standing, form: AnswerForm) -> Response | Turn:
    """Another mail, or on: whether the address is confirmed by now is asked again by itself."""
    if form.answer.data == "resend" and standing.user is not None:
        send_confirmation(turn.where, standing.user)
        return pages.see_other(f"{turn.action}?sent=")
    return turn


def _remember(turn: Turn) -> Turn:
    changed = turns.change(turn, data={**turn.found.data, "email_sent": True})
    return turn if isinstance(changed, Response) else changed


def send_confirmation(where: TenantContext, user: User) -> None:
    """Sent at most a few times an hour; beyond that the earlier link is good still."""
    parts = pages.services()
    if user.email is None or not parts.state.execute(limits.EMAIL_CHANGES.count(where.id, user.id)).ok:
        return
    with parts.tenancy.session(where.id, write=True) as db:
        token = one_time_links.create(
            db, one_time_links.VERIFY_EMAIL, user_id=user.id, data={"email": user.email}
        )
        target = mails.link(where, "email_link", action="confirm", token=token)
        mails.send(db, where, "verify_email", user.email, mails.language_of(user), link=target)


def _open(action: str, token: str) -> Response:
    link = links.find(_ACTIONS[action], token)
    if link is None:
        return links.gone()
    words = _WORDS["undo" if action == "change" and _goes_back(link) else action]
    return pages.page(
        "login/email_link.html",
        action=pages.url("email_link_step", action=action, token=token),
        csrf=make_token(links.bound_to(token)),
        title=_(words.title),
        text=_(words.text) % {"address": link.data["email"]},
        button=_(words.button),
    )


def _goes_back(link: OneTimeLink) -> bool:
    """Whether a change of address is to the one that may be taken back: then that is what happens."""
    with pages.services().tenancy.session(pages.tenant().id) as db:
        return one_time_links.restoring(db, link.user_id or "", link.data["email"]) is not None


def _use(action: str, token: str) -> Response:
    """Everything in one transaction: the link is used up only if what it is for was done."""
    where, parts = pages.tenant(), pages.services()
    if links.find(_ACTIONS[action], token) is None:
        return links.gone()
    checked(PageForm, links.bound_to(token))
    target = ""
    try:
        with parts.tenancy.session(where.id, write=True) as db:
            link = one_time_links.take(db, _ACTIONS[action], token)
            user = users.get(db, link.user_id or "")
            if user is None or user.disabled_at is not None:
                # Raised, so that the link is not used up: whoever is let in again may still need it.
                raise Problem("link.invalid", "This link was used before or has expired.", status=404)
            if action == "confirm":
                _confirm(db, user, link)
            elif action == "change":
                target = _change(db, where, user, link)
            else:
                target = _undo(db, where, user, link, verified=bool(link.data["verified"]))
    except Problem as problem:
        if problem.code not in ("link.invalid", "user.exists"):
            raise
        return links.gone()
    if target:
        return pages.see_other(target)
    words = _WORDS[action]
    return pages.page(
        "login/email_done.html", title=_(words.done_title), text=_(words.done), home=pages.url("start")
    )


def _confirm(db: Session, user: User, link: OneTimeLink) -> None:
    if user.email_key != users.normalize(link.data["email"]):
        raise Problem("link.invalid", "The address is another by now.", status=404)
    user.email_verified = True
    links.record(db, "email.verified", user)


def _change(db: Session, where: TenantContext, user: User, link: OneTimeLink) -> str:
    """The new address takes the place of the old one, which hears of it.

    The old one may take it back for some days, unless an older one may: of a thief's addresses none gets a way back.
    An owner who changes the address back in the console used theirs. Gives where to go on, empty to stay.
    """
    if (back := one_time_links.restoring(db, user.id, link.data["email"])) is not None:
        return _undo(db, where, user, back, verified=True)
    before, was_verified, language = user.email, user.email_verified, mails.language_of(user)
    users.set_email(user, link.data["email"], verified=True)
    users.check_free(db, user)
    # A link to the old mailbox would still set a new password.
    one_time_links.withdraw_of(db, user.id)
    if before is not None:
        target = None
        if not one_time_links.undoing(db, user.id):
            since = link.created_at - AROUND
            data = {"email": before, "verified": was_verified, "since": since.isoformat()}
            token = one_time_links.create(db, one_time_links.UNDO_EMAIL, user_id=user.id, data=data)
            target = mails.link(where, "email_link", action="undo", token=token)
        mails.send(
            db,
            where,
            "email_changed",
            before,
            language,
            new_address=user.email,
            when=clock.now(),
            link=target,
        )
    links.record(db, "email.changed", user, changes=["email"])
    return ""


def _undo(db: Session, where: TenantContext, user: User, link: OneTimeLink, *, verified: bool) -> str:
    """The old address is back, everything issued meanwhile is worth nothing, and its reader sets a new password.

    The present password, and the factors added around the change, open nothing any more; and an account that was about
    to be deleted stays.
    """
    users.set_email(user, link.data["email"], verified=verified)
    users.check_free(db, user)
    account_access.take_back(db, user, "email_undone", revocations=pages.services().revocations)
    one_time_links.withdraw_of(db, user.id)
    one_time_links.withdraw_undoing_since(db, link)
    new_passwords.drop(db, user, where.settings.authentication.password)
    links.record(db, "email.change.undone", user, changes=["email"])
    if user.delete_at is not None:
        account_deletion.keep(user)
        links.record(db, "account.deletion.withdrawn", user)
    since = datetime.fromisoformat(link.data["since"]) if "since" in link.data else link.created_at
    for row in authenticators.remove_added_since(db, user.id, since):
        links.record(db, "factor.removed", user, method=row.kind, name=row.name, target=row.id)
        keeping.tell(db, where, user, row.name or row.kind, added=False)
    token = one_time_links.create(
        db, one_time_links.RESET_PASSWORD, user_id=user.id, data={"email": user.email_key}
    )
    return pages.url("reset", token=token)
