"""The accounts of a browser: several may be signed in beside each other, and one of them is at work.

The session's cookie is that of the account at work. The cookies of the others lie sealed in a second cookie of the same
tenant, so that no page is ever answered for anybody but the one account, and a page made for another one does not fit:
its forms are bound to that account's secret.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from app.domain import users
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra.vault import SealError
from app.kernel.secrets import b64url, unb64url
from app.web import pages

MAX_ACCOUNTS = 5
OTHERS = "others"

_PURPOSE = "accounts-cookie"
_MAX_BYTES = 3000


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is signed in in this browser."""

    session: BrowserSession
    cookie: str = field(repr=False)


def current(where: TenantContext) -> BrowserSession | None:
    """The session of the account at work."""
    cookie = pages.cookies().read(where)
    return _active(where, cookie) if cookie else None


def accounts(where: TenantContext) -> list[Account]:
    """Every account that is signed in here, the one at work first."""
    cookies = [cookie for cookie in (pages.cookies().read(where), *_others(where)) if cookie]
    if not cookies:
        return []
    sessions = pages.services().sessions.peek(where, cookies, ip=pages.origin().ip)
    found: dict[str, Account] = {}
    for cookie, session in zip(cookies, sessions, strict=True):
        if session is not None:
            found.setdefault(session.user_id, Account(session, cookie))
    return list(found.values())


def people(where: TenantContext, present: Sequence[Account]) -> list[tuple[Account, User]]:
    """The same with whose they are, without accounts that were closed."""
    with pages.services().tenancy.session(where.id) as db:
        found = [(account, users.get(db, account.session.user_id)) for account in present]
        known = [(account, user) for account, user in found if user is not None and user.disabled_at is None]
        for _, user in known:
            db.expunge(user)
    return known


def switch(where: TenantContext, session_id: str) -> BrowserSession | None:
    """Have another account at work, under a new secret; None when it is not signed in here any more."""
    present = accounts(where)
    chosen = next((account for account in present if account.session.sid == session_id), None)
    if chosen is None or chosen.cookie == pages.cookies().read(where):
        return chosen.session if chosen else None
    rotated = pages.services().sessions.rotate(where, chosen.session)
    if rotated is None:
        return None
    session, cookie = rotated
    pages.cookies().put(where, cookie)
    _keep(where, [account.cookie for account in present if account is not chosen])
    return session


def keep_beside(where: TenantContext, user_id: str) -> list[BrowserSession]:
    """Before an account of `user_id` comes to work here: whoever was at work is kept beside it. Gives the sessions
    there is no room for, which the caller has to end."""
    others = [account for account in accounts(where) if account.session.user_id != user_id]
    _keep(where, [account.cookie for account in others[: MAX_ACCOUNTS - 1]])
    return [account.session for account in others[MAX_ACCOUNTS - 1 :]]


def forget(where: TenantContext, session_ids: Collection[str]) -> None:
    """After sessions ended: their cookies go. Nobody else comes to work by that; who does is chosen."""
    present, at_work = accounts(where), pages.cookies().read(where)
    left = [account.cookie for account in present if account.session.sid not in session_ids]
    if at_work is not None and at_work not in left:
        pages.cookies().put(where, None)
    _keep(where, [cookie for cookie in left if cookie != at_work])


def fitting(
    where: TenantContext, *, user_id: str | None = None, login_hint: str | None = None
) -> BrowserSession | None:
    """The session of the account that is asked for, if it is signed in here; else of the one at work.

    `user_id` is whom an `id_token_hint` names, `login_hint` what the client thinks they sign in with (OIDC Core
    section 3.1.2.1). Nothing is switched by asking.
    """
    at_work = current(where)
    if not pages.cookies().read(where, OTHERS) or (user_id is None and not login_hint):
        return at_work
    if user_id is None and login_hint:
        with pages.services().tenancy.session(where.id) as db:
            user = users.find_by_login(db, login_hint) if login_hint.isprintable() else None
            user_id = user.id if user else None
    if user_id is None or (at_work is not None and at_work.user_id == user_id):
        return at_work
    chosen = next((account for account in accounts(where) if account.session.user_id == user_id), None)
    if chosen is None:
        return at_work
    return _active(where, chosen.cookie) or at_work


def _active(where: TenantContext, cookie: str) -> BrowserSession | None:
    origin = pages.origin()
    return pages.services().sessions.get(where, cookie, ip=origin.ip, user_agent=origin.user_agent or "")


def _others(where: TenantContext) -> list[str]:
    sealed = pages.cookies().read(where, OTHERS)
    if not sealed or len(sealed) > _MAX_BYTES:
        return []
    try:
        content = pages.services().vault.open(_PURPOSE, unb64url(sealed), **_place(where))
    except (SealError, ValueError):
        return []
    found: list[str] = json.loads(content)
    return found[: MAX_ACCOUNTS - 1]


def _keep(where: TenantContext, others: Sequence[str]) -> None:
    if list(others) == _others(where):
        return
    content = json.dumps(list(others), separators=(",", ":")).encode()
    sealed = b64url(pages.services().vault.seal(_PURPOSE, content, **_place(where)))
    pages.cookies().put(where, sealed if others else None, OTHERS)


def _place(where: TenantContext) -> dict[str, str]:
    return {"tenant": where.id, "table": "cookies", "column": "accounts", "row": ""}
