"""The form an account is made with, by registration or by invitation: user name, password, profile, terms.

A password is asked for where people sign in with one. Without it, mail that was read is enough where people sign in by
that; else a passkey is added before anything else (`engine.NO_WAY_IN`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain import assurance, password_policy, registration
from app.domain.assurance import Method
from app.domain.models import User
from app.domain.password_policy import SENTENCES, PolicyProblem, Rules
from app.domain.profile import ProfileFaults
from app.domain.registration import Newcomer
from app.domain.tenants import TenantContext
from app.infra.limits import RateLimited
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


def asks_for_password(where: TenantContext) -> bool:
    """Whether a new account has a password, unless its person has a passkey instead."""
    return "password" in where.settings.authentication.methods


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
    methods = where.settings.authentication.methods
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
        has_password=asks_for_password(where),
        has_passkey="passkey" in methods,
        needs_passkey="passkey" in methods and not {"password", "email"} & set(methods),
        password_hint=password_hint(rules),
        terms=where.settings.terms,
        **strength.meter(request.form.get("password", "") if status != 200 else ""),
    )


def take(page: Page, make: Make) -> Response | Verified:
    """Make the account of what was sent; the form again where something is wrong, or word that the link is gone."""
    where, parts = pages.tenant(), pages.services()
    form = checked(NewAccountForm, links.bound_to(page.token))
    try:
        links.count(page.token)
    except RateLimited as refusal:
        # What was typed stays, but the password.
        response = show(page, faults={"username": _("Wait a while, then try again.")}, status=429)
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
        return response
    username = (form.username.data or "").strip()
    attributes = profile_fields.sent(where, only_required=True)
    own = registration.own_words(username, page.email, attributes)
    try:
        newcomer = Newcomer(
            username=username or page.email,
            password_hash=None,
            attributes=attributes,
            terms_version=form.agreed.data or None,
            locale=i18n.language(),
        )
        with parts.tenancy.session(where.id) as db:
            registration.check(db, where, newcomer, email=page.email)
        # Outside of any transaction, and only for who can have an account.
        newcomer = replace(newcomer, password_hash=_hash(where, form, own))
        with parts.tenancy.session(where.id, write=True) as db:
            user = make(db, newcomer)
            return Verified(user.id, user.epoch, _shown(where, user))
    except ProfileFaults as fault:
        return show(page, faults=fault.faults, status=400)
    except Problem as problem:
        if problem.code == "link.invalid":
            return links.gone()
        if problem.code not in _FIELDS:
            raise
        return show(page, faults={_FIELDS[problem.code]: said(problem)}, status=400)


def _hash(where: TenantContext, form: NewAccountForm, own: Iterable[str]) -> str | None:
    """What to store of the password; nothing where there is to be none."""
    wants_passkey = form.way.data == "passkey" and "passkey" in where.settings.authentication.methods
    if wants_passkey or not asks_for_password(where):
        return None
    return pages.services().new_passwords.hash(where, form.password.data or "", own=own)


def _shown(where: TenantContext, user: User) -> Method:
    """What somebody showed who made an account: what they would sign in with, or the link alone."""
    if user.password_hash is not None:
        return assurance.PASSWORD
    has_email = "email" in where.settings.authentication.methods and user.email_verified
    return assurance.EMAIL if has_email and not asks_for_password(where) else assurance.LINK
