"""Taking back what was issued: tokens, grants and sessions one by one, a person's or a client's all at once.

The database holds the truth. A revocation is a row of the log `revocations`, written in the transaction of the change
it belongs to; a person's or client's is besides an `epoch` that their later tokens carry. What is asked at every
introspection is a *mark* in the state store, written as soon as that transaction has committed. Where the mark cannot
be written, the commit raises `Unavailable`, and nobody was told that anything was revoked.

That leaves two gaps, and both are closed from the log.

* **The process died between commit and mark.** Once a second some process runs `sweep`: it marks what the log has
  beyond the high-water mark, which lies beside the marks in the state store.
* **The state store forgot** (an old snapshot, a promoted replica, a file copied back or deleted). It is guarded by
  `replay`, which does the same, on every new connection to a server that is not known, before its first answer.

What makes it right is what the high-water mark means: *this store holds a mark for every row up to here*. It is written
only after those marks, to the same store, so a store that went back in time has an older high-water mark too and gets
exactly the rows it lacks, or more. Rows may become visible out of order (a transaction took its number early and
committed late), so it never passes a row younger than `SETTLE_SECONDS`; no transaction that revokes takes that long.
On SQLite writers take turns and order is certain. If the database itself went back in time, the high-water mark is
beyond its last row: then it counts for nothing and everything is marked again.
"""

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, event, func, inspect, select
from sqlalchemy.orm import Session

from app.domain import session_notices
from app.domain.models import Client, Revocation, User
from app.infra.state import Execute, Get, Key, Op, Put, PutIfAbsent, Raise, Replace, StateStore
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel import clock

LONGEST_ACCESS_SECONDS = 86400
"""No access token lives longer (`TenantSettings.tokens.access_seconds`)."""
LONGEST_SESSION_SECONDS = 366 * 86400
MARGIN_SECONDS = 600
"""How long a mark outlives what it concerns: clocks differ."""
SETTLE_SECONDS = 60
SWEEP_SECONDS = 1

_PAGE = 1000
_BATCH = 200
_PENDING = "watchword.revocations"
_HIGH_WATER = Key("_", "revocations", "high-water")
_TURN = Key("_", "revocations", "turn")
_HIGH_WATER_SECONDS = 10 * LONGEST_SESSION_SECONDS
_SESSION_OVER = (
    select(Revocation.seq)
    .where(
        Revocation.tenant_id == bindparam("of_tenant"),
        Revocation.ref == bindparam("session_id"),
        Revocation.kind == "session",
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What of a token decides whether it was taken back. None: the token has no such thing."""

    tenant_id: str
    token_id: str
    """`jti`"""
    client_id: str
    client_epoch: int
    user_id: str | None = None
    user_epoch: int = 0
    grant_id: str | None = None
    session_id: str | None = None
    ancestors: "tuple[TokenFacts, ...]" = ()
    """Of the tokens it was exchanged for, directly or not: whatever takes one of them back takes it back too."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the state store is told of a revocation. `epoch` for a `user` or `client`: smaller ones are revoked."""

    tenant_id: str
    kind: str
    ref: str
    epoch: int | None
    expires_at: datetime

    def operation(self, now: datetime) -> Op | None:
        """What writes it down, or None when what it concerns is gone by itself."""
        seconds = math.ceil((self.expires_at - now).total_seconds())
        if seconds < 1:
            return None
        key = mark_key(self.tenant_id, self.kind, self.ref)
        return Put(key, b"1", seconds) if self.epoch is None else Raise(key, self.epoch, seconds)


def mark_key(tenant_id: str, kind: str, ref: str) -> Key:
    """Where the mark of a `token`, `grant`, `session`, `user` or `client` lies, if there is one."""
    return Key(tenant_id, f"revoked-{kind}", ref)


def is_before(mark: bytes | None, epoch: int) -> bool:
    """Whether what carries `epoch` was taken back by a person's or client's mark."""
    return mark is not None and epoch < int(mark)


class Revocations:
    """Writes and reads revocations. One per process."""

    def __init__(self, tenancy: Tenancy, state: StateStore) -> None:
        self._tenancy = tenancy
        self._state = state
        self._settle = timedelta(seconds=0 if tenancy.engine.dialect.name == "sqlite" else SETTLE_SECONDS)
        self._swept: set[int] = set()
        """Rows beyond the high-water mark that were marked by a sweep, so that it does not do so every second."""
        self._replays = 0
        self._guarding = threading.Lock()

    def revoke_token(self, session: Session, tenant_id: str, jti: str, expires_at: datetime) -> None:
        """Revoke one access token, which would expire at `expires_at`."""
        self._revoke(
            session, Mark(tenant_id, "token", jti, None, expires_at + timedelta(seconds=MARGIN_SECONDS))
        )

    def revoke_grant(self, session: Session, tenant_id: str, grant_id: str) -> None:
        """Revoke every access token of a grant. (Its refresh families are `domain.grants.revoke`'s.)"""
        self._revoke(session, Mark(tenant_id, "grant", grant_id, None, _after_tokens()))

    def revoke_session(self, session: Session, tenant_id: str, session_id: str, expires_at: datetime) -> None:
        """End for good a browser session that would end at `expires_at`, and its access tokens."""
        until = max(expires_at + timedelta(seconds=MARGIN_SECONDS), _after_tokens())
        self._revoke(session, Mark(tenant_id, "session", session_id, None, until))

    def is_session_over(self, session: Session, tenant_id: str, session_id: str) -> bool:
        """Whether a browser session was ended for good, by what the database says in this transaction."""
        about = {"of_tenant": tenant_id, "session_id": session_id}
        return session.scalar(_SESSION_OVER, about) is not None

    def revoke_user(self, session: Session, tenant_id: str, user_id: str) -> None:
        """Revoke every access token and browser session of a person. An unknown person has none.

        The applications that took part in the sessions are told.
        """
        row = session.scalar(select(User).where(User.tenant_id == tenant_id, User.id == user_id))
        if row is not None:
            row.epoch = User.epoch + 1
            session.flush()
            session_notices.put_all(session, tenant_id, user_id)
            until = clock.after(LONGEST_SESSION_SECONDS + MARGIN_SECONDS)
            self._revoke(session, Mark(tenant_id, "user", user_id, row.epoch, until))

    def revoke_client(self, session: Session, tenant_id: str, client_id: str) -> None:
        """Revoke every access token of a client. An unknown client has none."""
        row = session.scalar(
            select(Client).where(Client.tenant_id == tenant_id, Client.client_id == client_id)
        )
        if row is not None:
            row.epoch = Client.epoch + 1
            session.flush()
            self._revoke(session, Mark(tenant_id, "client", client_id, row.epoch, _after_tokens()))

    @staticmethod
    def check_ops(facts: TokenFacts) -> tuple[Get, ...]:
        """The operations that ask for every mark a token might fall under; they go into the caller's one trip."""
        return tuple(Get(mark_key(facts.tenant_id, kind, ref)) for kind, ref, _ in _concerns(facts))

    def is_revoked(self, results: Sequence[bytes | None], facts: TokenFacts) -> bool:
        """Whether the results of `check_ops(facts)` say that the token was taken back."""
        return self.revoked_by(results, facts) is not None

    def revoked_by(self, results: Sequence[bytes | None], facts: TokenFacts) -> str | None:
        """What took the token back (`token`, `grant`, `session`, `user` or `client`), or None."""
        if results.count(None) == len(results):
            return None
        for (kind, _, epoch), mark in zip(_concerns(facts), results, strict=True):
            if mark is not None if epoch is None else is_before(mark, epoch):
                return kind
        return None

    def replay(self, execute: Execute) -> None:
        """Mark all that the state store may lack. The function for `StateStore.guard`."""
        with self._guarding:
            self._replays += 1
            self._swept = set()
        self._catch_up(execute, execute(Get(_HIGH_WATER)).results[0], set())

    def sweep(self) -> None:
        """Mark what a process that died left unmarked. Called every second in every process; one does it."""
        replays, swept = self._replays, set(self._swept)
        outcome = self._state.execute(
            PutIfAbsent(_TURN, b"1", SWEEP_SECONDS, required=True), Get(_HIGH_WATER)
        )
        if not outcome.ok:
            return
        marked = self._catch_up(self._state.execute, outcome.results[1], swept)
        with self._guarding:
            # Were the store replaced meanwhile, these marks might be in the old one.
            if replays == self._replays:
                self._swept = marked

    def purge_expired(self, session: Session) -> int:
        """Delete rows that concern nothing any more, in a writing system session. Gives how many.

        The newest row stays: it is how a database from the past is told from one that was tidied up.
        """
        newest = select(func.max(Revocation.seq)).scalar_subquery()
        gone = session.execute(
            delete(Revocation)
            .where(Revocation.expires_at < clock.now(), Revocation.seq < newest)
            .execution_options(synchronize_session=False)
        )
        return int(gone.rowcount)  # type: ignore[attr-defined]

    def _revoke(self, session: Session, mark: Mark) -> None:
        row = Revocation(
            tenant_id=mark.tenant_id,
            kind=mark.kind,
            ref=mark.ref,
            epoch=mark.epoch,
            expires_at=mark.expires_at,
        )
        session.add(row)
        session.flush()
        if _PENDING not in session.info:
            session.info[_PENDING] = []
            event.listen(session, "after_commit", self._after_commit)
        session.info[_PENDING].append((row, mark))

    def _after_commit(self, session: Session) -> None:
        if session.in_nested_transaction():
            return
        pending = session.info.pop(_PENDING, [])
        # A row that a savepoint took back is no longer the session's.
        _write(self._state.execute, [mark for row, mark in pending if inspect(row).persistent])

    def _catch_up(self, execute: Execute, stored: bytes | None, marked: set[int]) -> set[int]:
        """Mark the rows beyond the `stored` high-water mark but those `marked`; gives those it may not pass yet."""
        reached = 0 if stored is None else int(stored)
        with self._tenancy.system(SystemReason.RECONCILE) as session:
            newest = session.scalar(select(func.max(Revocation.seq))) or 0
        high_water = cursor = 0 if newest < reached else reached
        young: set[int] = set()
        while rows := self._page(cursor):
            _write(execute, [_mark(row) for row in rows if row.seq not in marked])
            cursor = rows[-1].seq
            settled_before = clock.now() - self._settle
            for row in rows:
                if young or row.created_at > settled_before:
                    young.add(row.seq)
                else:
                    high_water = row.seq
        if stored is None:
            execute(PutIfAbsent(_HIGH_WATER, b"%d" % high_water, _HIGH_WATER_SECONDS))
        elif high_water != reached:
            execute(Replace(_HIGH_WATER, stored, b"%d" % high_water, _HIGH_WATER_SECONDS))
        return young

    def _page(self, after: int) -> Sequence[Any]:
        columns = (
            Revocation.seq,
            Revocation.tenant_id,
            Revocation.kind,
            Revocation.ref,
            Revocation.epoch,
            Revocation.created_at,
            Revocation.expires_at,
        )
        with self._tenancy.system(SystemReason.RECONCILE) as session:
            return session.execute(
                select(*columns).where(Revocation.seq > after).order_by(Revocation.seq).limit(_PAGE)
            ).all()


def _concerns(facts: TokenFacts) -> list[tuple[str, str, int | None]]:
    """Kind and name of every mark that counts, with the epoch it is compared with where it is a number."""
    found = [
        ("token", facts.token_id, None),
        ("grant", facts.grant_id, None),
        ("session", facts.session_id, None),
        ("user", facts.user_id, facts.user_epoch),
        ("client", facts.client_id, facts.client_epoch),
    ]
    own = [(kind, ref, epoch) for kind, ref, epoch in found if ref is not None]
    return own + [one for ancestor in facts.ancestors for one in _concerns(ancestor)]


def _mark(row: Any) -> Mark:
    return Mark(row.tenant_id, row.kind, row.ref, row.epoch, row.expires_at)


def _write(execute: Execute, marks: Iterable[Mark]) -> None:
    """Batches of one tenant each, as their keys lie together."""
    now = clock.now()
    by_tenant: dict[str, list[Op]] = {}
    for mark in marks:
        if operation := mark.operation(now):
            by_tenant.setdefault(mark.tenant_id, []).append(operation)
    for operations in by_tenant.values():
        for start in range(0, len(operations), _BATCH):
            execute(*operations[start : start + _BATCH])


def _after_tokens() -> datetime:
    return clock.after(LONGEST_ACCESS_SECONDS + MARGIN_SECONDS)
