"""The page behind a link that gives an account back, where people have no passwords.

It takes back what was issued and, of an administrator's link, what signed in before. Who has a way in left is led to
the sign-in page; anybody else adds a passkey before anything else (`engine.NO_WAY_IN`).
"""

from collections.abc import Callable

from flask import Response
from sqlalchemy.orm import Session

from app.domain import (
    account_access,
    assurance,
    authenticators,
    new_passwords,
    one_time_links,
    passkey_models,
)
from app.domain.models import OneTimeLink, User
from app.kernel.errors import Problem
from app.protocols.login.factors import failures
from app.protocols.login.factors.outcome import Verified
from app.web import links, login, pages, turns
from app.web.page_forms import PageForm, checked, make_token

Finish = Callable[[Session, OneTimeLink, User, int], None]
"""What else a link does with its person, in the transaction that uses it up; the number is of grants revoked."""


def page(action: str, token: str, *, recovers: bool) -> Response:
    """What the link does, and the button that does it."""
    return pages.page(
        "login/way_back.html",
        action=action,
        csrf=make_token(links.bound_to(token)),
        recovers=recovers,
        adds_passkey=_has_passkeys(),
    )


def take(asked_by: OneTimeLink, token: str, finish: Finish, *, recovers: bool) -> Response:
    """Use the link up; `finish` does what is its own, in the same transaction."""
    where, parts, settings = pages.tenant(), pages.services(), pages.tenant().settings.authentication
    checked(PageForm, links.bound_to(token))
    try:
        with parts.tenancy.session(where.id, write=True) as db:
            link = one_time_links.take(db, asked_by.purpose, token)
            user = links.person(db, link)
            # One there was must not come back with the setting.
            new_passwords.drop(db, user, settings.password)
            grants = account_access.take_back(db, user, "password_reset", revocations=parts.revocations)
            finish(db, link, user, grants)
            db.flush()
            report = parts.attestation_trust.report_on
            held = passkey_models.holdings(db, settings.passkeys, user, report)
            is_back = authenticators.can_sign_in(held, settings.methods)
            by_link = Verified(user.id, user.epoch, assurance.LINK)
    except Problem as problem:
        if problem.code != "link.invalid":
            raise
        return links.gone()
    failures.forget(
        parts.state, where.id, by_link.user_id, *(failures.KINDS if recovers else (failures.PASSWORD,))
    )
    if is_back or not _has_passkeys():
        return pages.see_other(pages.url("sign_in"))
    return login.go_on(turns.begin(where, "account", verified=by_link))


def _has_passkeys() -> bool:
    return "passkey" in pages.tenant().settings.authentication.methods
