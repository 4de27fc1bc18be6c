"""The form an account is made with, by registration or by invitation: user name, password, profile, terms."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import assurance, password_policy, registration
from app.domain.models import User
from app.domain.password_policy import SENTENCES, PolicyProblem, Rules
from app.domain.profile import ProfileFaults
from app.domain.registration import Newcomer
from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Verified
from app.web import i18n, links, pages, profile_fields, strength
from app.web.page_forms import checked, make_token
from app.web.people_forms import NewAccountForm

_FIELDS = {
    "user.invalid": "username",
    "user.exists": "username",
    "password.policy": "password",
    "password.invalid": "password",
    "terms.unmet": "agreed",
    "terms.changed": "agreed",
}

Make = Callable[[Session, Newcomer], User]
"""Makes the account, its rights and the record of it, in the session's transaction."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where the form is, and for which address."""

    action: str
    token: str
    email: str
    title: str
    lead: str


def password_hint(rules: Rules) -> str:
    """What a password has to look like, in the reader's language."""
    demanded = password_policy.demands(rules)
    return " ".join(_(SENTENCES[fault.code]).format(fault.number) for fault in demanded)


def said(problem: Problem) -> str:
    """What is wrong, in the reader's language."""
    if not isinstance(problem, PolicyProblem):
        return _(problem.public)
    sentences = [_(SENTENCES[fault.code]).format(fault.number) for fault in problem.faults]
    return " ".join([_("This password cannot be used."), *sentences])


def show(page: Page, *, faults: dict[str, str] | None = None, status: int = 200) -> Response:
    """The form, with what is wrong and what was typed in."""
    where = pages.tenant()
    faults = faults or {}
    rules = password_policy.rules(where.settings.authentication.password)
    asked = profile_fields.fields(
        where, {}, faults, profile_fields.sent(where) if status != 200 else None, only_required=True
    )
    return pages.page(
        "login/new_account.html",
        status,
        action=page.action,
        csrf=make_token(links.bound_to(page.token)),
        title=page.title,
        lead=page.lead,
        email=page.email,
        username=request.form.get("username", page.email),
        fields=asked,
        faults=faults,
        password_hint=password_hint(rules),
        terms=where.settings.terms,
        **strength.meter(request.form.get("password", "") if status != 200 else ""),
    )


def take(page: Page, make: Make) -> Response | Verified:
    """Make the account of what was sent; the form again where something is wrong, or word that the link is gone."""
    where, parts = pages.tenant(), pages.services()
    form = checked(NewAccountForm, links.bound_to(page.token))
    username, password = (form.username.data or "").strip(), form.password.data or ""
    attributes = profile_fields.sent(where, only_required=True)
    own = registration.own_words(username, page.email, attributes)
    try:
        newcomer = Newcomer(
            username=username or page.email,
            password_hash=parts.new_passwords.hash(where, password, own=own),
            attributes=attributes,
            terms_version=form.agreed.data or None,
            locale=i18n.language(),
        )
        with parts.tenancy.session(where.id, write=True) as db:
            user = make(db, newcomer)
            return Verified(user.id, user.epoch, assurance.PASSWORD)
    except ProfileFaults as fault:
        return show(page, faults=fault.faults, status=400)
    except Problem as problem:
        if problem.code == "link.invalid":
            return links.gone()
        if problem.code not in _FIELDS:
            raise
        return show(page, faults={_FIELDS[problem.code]: said(problem)}, status=400)
