"""The start page and the account: who somebody is here, and what they allowed."""

import re
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from app.domain import consents, users
from app.domain.access.rbac import Access, access_of
from app.domain.models import Consent, User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.web import consent_page, login, oauth, pages
from app.web.page_forms import WithdrawForm, checked, make_token

_METHODS = {"pwd": "Password"}
_ID = re.compile(r"[0-9a-f-]{36}")


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/", "start", _start, methods=["GET"])
    app.add_url_rule("/account", "account", _account, methods=["GET"])
    app.add_url_rule("/account", "account_step", _withdraw, methods=["POST"])


def binding(session_secret: str) -> str:
    """What the forms of signed-in pages are bound to."""
    return f"session:{session_secret}"


def _start() -> Response:
    where = pages.tenant()
    found = _signed_in(where)
    if found is None:
        return login.start_sign_in("start")
    _, user, access = found
    with pages.services().tenancy.session(where.id) as db:
        standing = consents.of_user(db, user.id)
    apps: dict[str, dict[str, Any]] = {}
    for consent in standing:
        client = pages.services().clients.get(where.id, consent.client_id)
        if client is not None and consent.client_id not in apps:
            link = client.metadata.get("initiate_login_uri") or client.metadata.get("client_uri")
            apps[consent.client_id] = {"name": client.name, "link": link, **_since(consent)}
    return _shell(
        "account/start.html",
        where,
        user,
        current="start",
        person=consent_page.person_view(user),
        apps=list(apps.values()),
        is_admin=access.allows("clients:write"),
        issuer=where.issuer,
    )


def _account() -> Response:
    where = pages.tenant()
    found = _signed_in(where)
    if found is None:
        return login.start_sign_in("account")
    session, user, access = found
    parts = pages.services()
    resources = parts.resources.all(where.id)
    with parts.tenancy.session(where.id) as db:
        standing = consents.of_user(db, user.id)
    rows = []
    for consent in standing:
        client = parts.clients.get(where.id, consent.client_id)
        rows.append(
            {
                "id": consent.id,
                "client": client.name if client else consent.client_id,
                "resource": consent_page.resource_title(consent.resource, resources, where),
                "scopes": [consent_page.scope_words(consent.resource, s, resources) for s in consent.scopes],
                **_since(consent),
            }
        )
    return _shell(
        "account/account.html",
        where,
        user,
        current="account",
        action=pages.url("account_step"),
        facts=_facts(user, access),
        signed_in=pages.in_words(session.auth_time),
        signed_in_iso=session.auth_time.isoformat(),
        signed_in_with=", ".join(_METHODS.get(method, method) for method in session.amr),
        consents=rows,
        notice="The access was taken back." if request.args.get("done") == "withdrawn" else "",
    )


def _withdraw() -> Response:
    where, parts = pages.tenant(), pages.services()
    form = checked(WithdrawForm, binding(pages.cookies().read(where) or ""))
    found = _signed_in(where)
    if found is None:
        return pages.see_other(pages.url("account"))
    session, user, _ = found
    origin, consent_id = pages.origin(), form.consent.data or ""
    if not _ID.fullmatch(consent_id):
        raise NotFound
    with parts.tenancy.session(where.id, write=True) as db:
        consent = consents.withdraw(db, consent_id, user_id=user.id, log=parts.revocations)
        audit.record(
            db,
            Event(
                "consent.withdrawn",
                tenant_id=where.id,
                outcome="success",
                user_id=user.id,
                email=user.email,
                ip=origin.ip,
                user_agent=origin.user_agent,
                session_id=session.sid,
                client_id=consent.client_id,
                data={"resource": consent.resource or where.issuer, "scopes": consent.scopes, "via": "page"},
            ),
        )
    return pages.see_other(pages.url("account", done="withdrawn"))


def _signed_in(where: TenantContext) -> tuple[BrowserSession, User, Access] | None:
    """Who is signed in, unless their account was closed."""
    session = oauth.current_session(where)
    if session is None:
        return None
    with pages.services().tenancy.session(where.id) as db:
        user = users.get(db, session.user_id)
        if user is None or user.disabled_at is not None:
            return None
        access = access_of(db, user.id)
        db.expunge(user)
    return session, user, access


def _shell(template: str, where: TenantContext, user: User, *, current: str, **values: Any) -> Response:
    rail = [
        (label, pages.url(name), name == current)
        for label, name in (("Start", "start"), ("Account", "account"))
    ]
    return pages.page(
        template,
        rail=rail,
        sign_out=pages.url("logout"),
        confirmed="",
        csrf=make_token(binding(pages.cookies().read(where) or "")),
        **values,
    )


def _facts(user: User, access: Access) -> list[tuple[str, str]]:
    facts = [("Name", str(user.claims.get("name") or "")), ("User name", user.username)]
    if user.email:
        facts.append(("E-mail", user.email + ("" if user.email_verified else " (not confirmed)")))
    facts.append(("Roles", ", ".join(sorted(access.roles))))
    facts.append(("Groups", ", ".join(sorted(access.groups))))
    return [(label, value) for label, value in facts if value]


def _since(consent: Consent) -> dict[str, str]:
    return {"since": pages.in_words(consent.updated_at), "since_iso": consent.updated_at.isoformat()}
