"""The page behind the link of `watchword admin link`: it makes the first administrator."""

from flask import Flask, Response, request
from flask_babel import gettext as _
from markupsafe import Markup, escape

from app.domain import admin_links, assurance, password_policy
from app.domain.tenants import DEFAULT_SLUG
from app.infra import audit, limits
from app.infra.audit import Event
from app.kernel.errors import Problem
from app.protocols.login.factors.outcome import Verified
from app.web import errors, login, new_account, pages, strength, turns
from app.web.factors import passkey
from app.web.i18n import later
from app.web.page_forms import FirstAdminForm, checked, make_token

_FIELDS = {
    "user.invalid": "username",
    "user.exists": "username",
    "password.policy": "password",
    "password.invalid": "password",
}
_ANOTHER = later(
    "Make a new one on the server with: %(command)s (and with --recover, if there is an administrator already)"
)


def register(app: Flask) -> None:
    """Add the page."""
    app.add_url_rule("/first-admin/<token>", "first_admin", _show, methods=["GET"])
    app.add_url_rule("/first-admin/<token>", "first_admin_step", _make, methods=["POST"])


def _show(token: str) -> Response:
    recover = _recovers(token)
    return _gone() if recover is None else _form(token, recover, {}, {})


def _make(token: str) -> Response:
    """Everything in one transaction: the link is used up only if the administrator was made."""
    where, parts = pages.tenant(), pages.services()
    recover = _recovers(token)
    if recover is None:
        return _gone()
    form = checked(FirstAdminForm, _binding(token))
    username, email = (form.username.data or "").strip(), (form.email.data or "").strip()
    values = {"username": username, "email": email}
    password_hash = None
    try:
        if not _has_passkey_instead():
            password = form.password.data or ""
            password_hash = parts.new_passwords.hash(where, password, own=(username, email))
        with parts.tenancy.session(where.id, write=True) as db:
            user = admin_links.consume(
                db, token, username=username, email=email or None, password_hash=password_hash
            )
            audit.record(
                db, _event("admin.link.consumed", where.id, user.id, {"recover": recover, "target": user.id})
            )
            made = Verified(user.id, user.epoch, assurance.PASSWORD if password_hash else assurance.LINK)
    except Problem as problem:
        if problem.code in ("admin_link.invalid", "admin.exists"):
            return _gone()
        if problem.code not in _FIELDS:
            raise
        field = (
            "email"
            if problem.code == "user.invalid" and "e-mail" in problem.public
            else _FIELDS[problem.code]
        )
        return _form(token, recover, values, {field: new_account.said(problem)}, status=400)
    return login.go_on(turns.begin(where, "start", verified=made))


def _recovers(token: str) -> bool | None:
    """Whether the link is a break-glass one; None when it cannot be used.

    Raises `RateLimited` for a network that tries links out.
    """
    where, parts = pages.tenant(), pages.services()
    with parts.tenancy.session(where.id) as db:
        if (link := admin_links.find(db, token)) is not None:
            return link.recover
    network = limits.network_of(pages.origin().ip)
    limits.require(parts.state.execute(limits.FIRST_ADMIN.count(where.id, network)), limits.FIRST_ADMIN)
    return None


def _form(
    token: str, recover: bool, values: dict[str, str], faults: dict[str, str], *, status: int = 200
) -> Response:
    rules = password_policy.rules(pages.tenant().settings.authentication.password)
    return pages.page(
        "login/first_admin.html",
        status,
        action=pages.url("first_admin_step", token=token),
        csrf=make_token(_binding(token)),
        recover=recover,
        values=values,
        faults=faults,
        needs_passkey=_has_passkey_instead(),
        password_hint=new_account.password_hint(rules),
        **strength.meter(request.form.get("password", "") if faults else ""),
    )


def _has_passkey_instead() -> bool:
    """Whether the administrator adds a passkey next, as passwords are no method. Where mail alone is one, a password
    lets them in this once: nobody knows yet whether the address is theirs."""
    return not new_account.asks_for_password(pages.tenant()) and passkey.is_offered(pages.tenant())


def _gone() -> Response:
    slug = pages.tenant().slug
    command = "watchword admin link" + ("" if slug == DEFAULT_SLUG else f" --tenant {slug}")
    return errors.error_page(
        404,
        title=later("This link cannot be used"),
        text=later(
            "It was used before, it has expired, a newer one was made, or there is an administrator already."
        ),
        advice=escape(_(_ANOTHER)) % {"command": Markup("<code dir=ltr>%s</code>") % command},
    )


def _binding(token: str) -> str:
    return f"admin-link:{token}"


def _event(name: str, tenant_id: str, user_id: str, data: dict[str, object]) -> Event:
    origin = pages.origin()
    return Event(
        name,
        tenant_id=tenant_id,
        outcome="success",
        user_id=user_id,
        ip=origin.ip,
        user_agent=origin.user_agent,
        data=data,
    )
