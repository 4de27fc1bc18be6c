"""Browser sessions: that a person signed in at this server, in one browser. They live in the state store.

The cookie holds three things: the session's public id, a secret of 256 bits of which the store has only the hash, and
the person's id. With these, one trip reads the session and the marks that may have ended it (`domain.revocation`), so
that neither signing out nor revoking a person can be undone by a state store that went back in time. The public id
(`sid`) is what tokens and grants name; it stays when the secret changes.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session

from app.domain import grants, session_notices, user_agents, users
from app.domain.revocation import Revocations, is_before, mark_key
from app.domain.tenants import TenantContext
from app.infra.limits import network_of
from app.infra.state import Delete, Get, Key, Op, Put, Replace, SetAdd, SetMembers, SetRemove, StateStore
from app.kernel import clock, ids
from app.kernel.secrets import b64url, equal, lookup_hash, new_secret, unb64url

RENEW_SECONDS = 60
"""Activity is written down at most this often, so an idle session may end that much early."""

_MAX_COOKIE = 600
_MAX_USER_AGENT = 500
_ATTEMPTS = 5
_INSTANTS = ("auth_time", "created_at", "expires_at", "last_active_at")


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A signed-in browser."""

    sid: str
    """Public, the same for the session's whole life."""
    user_id: str
    user_epoch: int
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    created_at: datetime
    expires_at: datetime
    """The absolute end."""
    last_active_at: datetime
    user_agent: str
    """Of the browser as it is now: it may have grown newer since the session began."""
    ip: str
    """Where it began."""
    last_ip: str = ""
    """Where it was last active; empty until that was written down."""
    clients: tuple[str, ...] = ()
    """Who got tokens or ID tokens under it, in order of first use."""
    secret_hash: str = field(default="", repr=False)
    stored: bytes = field(default=b"", repr=False, compare=False)
    """As it was read, so that a change is made only to what was seen."""
    beside: int = field(default=0, repr=False, compare=False)
    """How many sessions their person had when it began, itself and those that are over among them; 0: it did not begin
    just now."""


class Sessions:
    """Starts, finds, changes and ends browser sessions."""

    def __init__(self, state: StateStore, revocations: Revocations) -> None:
        self._state = state
        self._revocations = revocations

    def start(
        self,
        tenant: TenantContext,
        user_id: str,
        user_epoch: int,
        *,
        amr: Sequence[str],
        acr: str = "",
        user_agent: str = "",
        ip: str = "",
        auth_time: datetime | None = None,
    ) -> tuple[BrowserSession, str]:
        """Sign a person in. Gives the session and the value of its cookie, which nobody can make again."""
        now, secret = clock.now(), new_secret()
        session = BrowserSession(
            sid=ids.new_id(),
            user_id=user_id,
            user_epoch=user_epoch,
            auth_time=now if auth_time is None else auth_time,
            amr=tuple(amr),
            acr=acr,
            created_at=now,
            expires_at=now + timedelta(seconds=tenant.settings.sessions.absolute_seconds),
            last_active_at=now,
            user_agent=user_agent[:_MAX_USER_AGENT],
            ip=ip,
            secret_hash=lookup_hash(secret),
        )
        session = replace(session, stored=_encode(session))
        index = _index(tenant.id, user_id)
        *_, members = self._state.execute(
            Put(_key(tenant.id, session.sid), session.stored, _ttl(tenant, session)),
            SetAdd(index, session.sid, tenant.settings.sessions.absolute_seconds),
            SetMembers(index),
        ).results
        return replace(session, beside=len(members)), _cookie(session, secret)

    def get(
        self, tenant: TenantContext, cookie: str | None, *, ip: str = "", user_agent: str = ""
    ) -> BrowserSession | None:
        """The session a browser's cookie is of, or None when there is none any more. Counts as activity.

        `ip` is where the browser asks from: with `sessions.bind_ip` a session counts only in the network it began in.
        One trip; a second one, once a minute, writes down the activity, and from where and with what it was.
        """
        (session,) = self.peek(tenant, [cookie], ip=ip)
        return None if session is None else self._renew(tenant, session, ip, user_agent)

    def peek(
        self, tenant: TenantContext, cookies: Sequence[str | None], *, ip: str = ""
    ) -> list[BrowserSession | None]:
        """The same for several cookies in one trip, and without counting as activity."""
        parsed = [_parse(cookie) for cookie in cookies]
        asked = [op for one in parsed if one for op in _reading(tenant.id, one[0], one[2])]
        results = self._state.execute(*asked).results if asked else ()
        found: list[BrowserSession | None] = []
        at = 0
        for one in parsed:
            if one is None:
                found.append(None)
                continue
            value, *marks = results[at : at + _READS]
            at += _READS
            session = _standing(tenant, value, marks)
            found.append(session if session and _is_of(tenant, session, one, ip) else None)
        return found

    def find(self, tenant: TenantContext, session_id: str, user_id: str) -> BrowserSession | None:
        """A person's session by its public id; no activity."""
        value, *marks = self._state.execute(*_reading(tenant.id, session_id, user_id)).results
        session = _standing(tenant, value, marks)
        return session if session is not None and session.user_id == user_id else None

    def resume(
        self, tenant: TenantContext, session_id: str, user_id: str, *, ip: str = "", user_agent: str = ""
    ) -> BrowserSession | None:
        """The same for whoever showed otherwise than by its cookie that it is theirs. Counts as activity."""
        session = self.find(tenant, session_id, user_id)
        if session is None or not _is_where_it_began(tenant, session, ip):
            return None
        return self._renew(tenant, session, ip, user_agent)

    def of_user(self, tenant: TenantContext, user_id: str) -> list[BrowserSession]:
        """A person's sessions, the one used last first."""
        index = _index(tenant.id, user_id)
        (members,) = self._state.execute(SetMembers(index)).results
        if not members:
            return []
        asked = [op for sid in members for op in _reading(tenant.id, sid, user_id)]
        results = self._state.execute(*asked).results
        found, gone = [], []
        for at, sid in enumerate(members):
            value, *marks = results[at * _READS : (at + 1) * _READS]
            session = _standing(tenant, value, marks)
            found += [session] if session else []
            gone += [] if session else [SetRemove(index, sid)]
        if gone:
            self._state.execute(*gone)
        return sorted(found, key=lambda session: session.last_active_at, reverse=True)

    def rotate(
        self,
        tenant: TenantContext,
        session: BrowserSession,
        *,
        amr: Sequence[str] | None = None,
        acr: str | None = None,
        auth_time: datetime | None = None,
    ) -> tuple[BrowserSession, str] | None:
        """Give the session a new secret, as every change of privilege must; the old cookie is worth nothing then.

        What is given of `amr`, `acr` and `auth_time` becomes the session's. None when it ended meanwhile.
        """
        secret = new_secret()

        def change(old: BrowserSession) -> BrowserSession:
            return replace(
                old,
                secret_hash=lookup_hash(secret),
                amr=old.amr if amr is None else tuple(amr),
                acr=old.acr if acr is None else acr,
                auth_time=old.auth_time if auth_time is None else auth_time,
            )

        changed = self._change(tenant, session, change)
        return None if changed is None else (changed, _cookie(changed, secret))

    def add_client(self, tenant: TenantContext, session: BrowserSession, client_id: str) -> BrowserSession:
        """Remember that a client took part in the session, so that the person sees it (`domain.session_views`).

        Who is told that the session ends is read from the grants (`domain.session_notices`).
        """
        if client_id in session.clients:
            return session
        return self._change(tenant, session, partial(_with_client, client_id)) or session

    def adding_client(self, tenant: TenantContext, session: BrowserSession, client_id: str) -> Op | None:
        """The same as an operation, to go in a trip with others; None where nothing is to be remembered.

        It gives whether the session was still as it was seen. Where it was not, `add_client` looks again.
        """
        if client_id in session.clients:
            return None
        return _writing(tenant, session, _with_client(client_id, session))[0]

    def end(self, database: Session, tenant: TenantContext, session: BrowserSession) -> None:
        """Sign the browser out, in the caller's transaction: once that commits, nothing brings the session back.

        What lives no longer than the session ends with it: its access tokens, and its grants without `offline_access`.
        The applications that took part are told.
        """
        # Whoever writes a grant under the session holds the person as well: it is there already, or will not be.
        users.hold(database, session.user_id)
        grants.revoke_of_session(database, tenant.id, session.sid, log=self._revocations)
        session_notices.put(database, tenant.id, session.user_id, session.sid)
        self._revocations.revoke_session(database, tenant.id, session.sid, session.expires_at)
        self._state.execute(
            Delete(_key(tenant.id, session.sid)), SetRemove(_index(tenant.id, session.user_id), session.sid)
        )

    def end_all(
        self, database: Session, tenant: TenantContext, user_id: str, *, but: str | None = None
    ) -> list[BrowserSession]:
        """End every session of a person, but the one with that id. Gives those that ended."""
        ended = [session for session in self.of_user(tenant, user_id) if session.sid != but]
        for session in ended:
            self.end(database, tenant, session)
        return ended

    def make_room(
        self, database: Session, tenant: TenantContext, newest: BrowserSession
    ) -> list[BrowserSession]:
        """End a person's oldest sessions beyond `sessions.max_active`, after they signed in to `newest`. Gives those
        that ended."""
        most = tenant.settings.sessions.max_active
        if 0 < newest.beside <= most:
            return []
        others = [s for s in self.of_user(tenant, newest.user_id) if s.sid != newest.sid]
        others.sort(key=lambda session: session.created_at, reverse=True)
        ended = others[most - 1 :]
        for session in ended:
            self.end(database, tenant, session)
        return ended

    def _renew(
        self, tenant: TenantContext, session: BrowserSession, ip: str, user_agent: str
    ) -> BrowserSession:
        settings, now = tenant.settings.sessions, clock.now()
        every = min(RENEW_SECONDS, settings.idle_seconds // 4)
        if not settings.renew_on_activity or (now - session.last_active_at).total_seconds() < every:
            return session
        renewed = replace(session, last_active_at=now, last_ip=ip or session.last_ip)
        if user_agents.is_the_same(session.user_agent, user_agent):
            renewed = replace(renewed, user_agent=user_agent[:_MAX_USER_AGENT])
        # When another request changed it meanwhile, that one wrote the activity down.
        operation, renewed = _writing(tenant, session, renewed)
        self._state.execute(operation)
        return renewed

    def _change(
        self,
        tenant: TenantContext,
        session: BrowserSession,
        change: Callable[[BrowserSession], BrowserSession],
    ) -> BrowserSession | None:
        """Change the session where it is as it was seen; else look again."""
        seen: BrowserSession | None = session
        for _ in range(_ATTEMPTS):
            if seen is None:
                return None
            operation, changed = _writing(tenant, seen, change(seen))
            (was_written,) = self._state.execute(operation).results
            if was_written:
                return changed
            seen = self.find(tenant, session.sid, session.user_id)
        return None


def _with_client(client_id: str, session: BrowserSession) -> BrowserSession:
    if client_id in session.clients:
        return session
    return replace(session, clients=(*session.clients, client_id))


def _key(tenant_id: str, session_id: str) -> Key:
    return Key(tenant_id, "session", session_id)


def _index(tenant_id: str, user_id: str) -> Key:
    return Key(tenant_id, "user-sessions", user_id)


def _reading(tenant_id: str, session_id: str, user_id: str) -> tuple[Op, ...]:
    return (
        Get(_key(tenant_id, session_id)),
        Get(mark_key(tenant_id, "session", session_id)),
        Get(mark_key(tenant_id, "user", user_id)),
    )


_READS = 3
"""So many operations read one session."""


def _is_of(tenant: TenantContext, session: BrowserSession, parsed: tuple[str, str, str], ip: str) -> bool:
    """Whether the session belongs to the cookie it was read for, at the address the cookie came from."""
    _, secret, user_id = parsed
    if session.user_id != user_id or not equal(session.secret_hash, lookup_hash(secret)):
        return False
    return _is_where_it_began(tenant, session, ip)


def _is_where_it_began(tenant: TenantContext, session: BrowserSession, ip: str) -> bool:
    return not tenant.settings.sessions.bind_ip or network_of(ip) == network_of(session.ip)


def _standing(
    tenant: TenantContext, value: bytes | None, marks: Sequence[bytes | None]
) -> BrowserSession | None:
    """The session that was read, unless it was ended or is too old by what the tenant says today."""
    session_mark, user_mark = marks
    if value is None or session_mark is not None:
        return None
    session = _decode(value)
    if is_before(user_mark, session.user_epoch) or _end(tenant, session) <= clock.now():
        return None
    return session


def _end(tenant: TenantContext, session: BrowserSession) -> datetime:
    settings = tenant.settings.sessions
    return min(
        session.expires_at,
        session.created_at + timedelta(seconds=settings.absolute_seconds),
        session.last_active_at + timedelta(seconds=settings.idle_seconds),
    )


def _ttl(tenant: TenantContext, session: BrowserSession) -> int:
    return max(1, math.ceil((_end(tenant, session) - clock.now()).total_seconds()))


def _writing(
    tenant: TenantContext, seen: BrowserSession, changed: BrowserSession
) -> tuple[Op, BrowserSession]:
    changed = replace(changed, stored=_encode(changed), beside=0)
    operation = Replace(_key(tenant.id, changed.sid), seen.stored, changed.stored, _ttl(tenant, changed))
    return operation, changed


def _encode(session: BrowserSession) -> bytes:
    content = asdict(session)
    del content["stored"], content["beside"]
    for name in _INSTANTS:
        content[name] = content[name].timestamp()
    return json.dumps(content, separators=(",", ":")).encode()


def _decode(value: bytes) -> BrowserSession:
    content = json.loads(value)
    for name in ("amr", "clients"):
        content[name] = tuple(content[name])
    for name in _INSTANTS:
        content[name] = clock.from_timestamp(content[name])
    return BrowserSession(**content, stored=value)


def _cookie(session: BrowserSession, secret: str) -> str:
    return f"{session.sid}.{secret}.{b64url(session.user_id.encode())}"


def _parse(cookie: str | None) -> tuple[str, str, str] | None:
    """Public id, secret and person; None for what cannot be a cookie of ours."""
    if not cookie or len(cookie) > _MAX_COOKIE or not cookie.isascii() or cookie.count(".") != 2:
        return None
    session_id, secret, person = cookie.split(".")
    try:
        return session_id, secret, unb64url(person).decode()
    except ValueError:
        return None
