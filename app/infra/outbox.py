"""The durable outbox: what must be delivered is committed with the change that causes it.

Delivered at least once and in order per topic and subject. The row is the truth until the message was delivered;
a worker takes the oldest message of a subject by writing the end of its lease into it, so that a killed worker's
message is taken again and nobody overtakes it. What fails is tried again later and later, and in the end becomes a
dead letter, which stays until an operator retries it. Audit rows have their own way out (`audit_chain`).

Two transactions that write about one subject at the same time have to take a lock before they `put`, if the order
between the two matters: the numbers are given at `put`, not at commit.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import CursorResult, Update, delete, func, not_, select, update
from sqlalchemy.orm import Session, aliased

from app.infra import audit
from app.infra.log_tables import OutboxMessage
from app.infra.redaction import redact
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel import clock
from app.kernel.errors import Problem

LEASE_SECONDS = 90
"""Longer than any handler takes."""
MAX_ATTEMPTS = 15
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 3600.0
MAX_ERROR_TEXT = 500

Lane = tuple[str, str]
"""A topic, and what the subjects of some of its messages begin with."""

Handler = Callable[[str, Mapping[str, Any]], audit.Event | None]
"""Delivers one message of a tenant, and may give an event to put on record with it. Raises `DeliveryFailed`.

May be called again for what it already delivered."""


class DeliveryFailed(Exception):
    """A message could not be delivered. `permanent`: trying again is of no use; `attempts`: of no use beyond so many.

    `event` is put on record if the message is given up.
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        attempts: int | None = None,
        event: audit.Event | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.attempts = attempts
        self.event = event


@dataclass(frozen=True, slots=True)
class Claim:
    """A message a worker holds as long as its lease. `attempt` names the lease."""

    tenant_id: str
    id: int
    topic: str
    subject: str
    payload: Mapping[str, Any]
    attempt: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and how much was given up on, by topic."""

    waiting: Mapping[str, int]
    dead: Mapping[str, int]
    oldest_seconds: float
    """The age of the oldest message that waits; 0 when none does."""


def put(
    session: Session, topic: str, subject: str, payload: Mapping[str, Any], *, tenant_id: str | None = None
) -> None:
    """Have `payload` delivered by the handler of `topic` once the session's transaction is committed.

    `tenant_id` is needed in sessions that belong to no tenant. Secrets in the payload have to be sealed.
    """
    message = OutboxMessage(topic=topic, subject=subject, payload=dict(payload))
    if tenant_id is not None:
        message.tenant_id = tenant_id
    session.add(message)


class Outbox:
    """The worker's side: which messages are due, who has them, what became of them."""

    def __init__(
        self, tenancy: Tenancy, *, max_attempts: int = MAX_ATTEMPTS, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._tenancy = tenancy
        self._max_attempts = max_attempts
        self._lease_seconds = lease_seconds

    def due(self) -> dict[str, set[str]]:
        """The topics with messages that may be delivered now, by tenant."""
        with self._tenancy.system(SystemReason.OUTBOX) as session:
            rows = session.execute(
                select(OutboxMessage.tenant_id, OutboxMessage.topic)
                .where(OutboxMessage.dead_at.is_(None), OutboxMessage.available_at <= clock.now())
                .distinct()
            )
            found: dict[str, set[str]] = {}
            for tenant_id, topic in rows:
                found.setdefault(tenant_id, set()).add(topic)
            return found

    def claim(
        self,
        tenant_id: str,
        *,
        limit: int = 20,
        like: Claim | None = None,
        but: Sequence[Lane] = (),
        reserve: bool = False,
    ) -> list[Claim]:
        """Take due messages of a tenant, the oldest of each subject only; `like` asks for that subject alone, `but`
        leaves lanes out.

        With `reserve` nobody else gets them for as long as a lease, but they still have to be taken (`take`).
        """
        earlier = aliased(OutboxMessage)
        now = clock.now()
        query = (
            select(OutboxMessage)
            .where(
                OutboxMessage.topic != audit.TOPIC,
                OutboxMessage.dead_at.is_(None),
                OutboxMessage.available_at <= now,
                ~select(earlier.id)
                .where(
                    earlier.topic == OutboxMessage.topic,
                    earlier.subject == OutboxMessage.subject,
                    earlier.id < OutboxMessage.id,
                    earlier.dead_at.is_(None),
                )
                .exists(),
            )
            .order_by(OutboxMessage.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        if like is not None:
            query = query.where(OutboxMessage.topic == like.topic, OutboxMessage.subject == like.subject)
        for topic, prefix in but:
            in_lane = OutboxMessage.subject.startswith(prefix, autoescape=True)
            query = query.where(not_((OutboxMessage.topic == topic) & in_lane))
        with self._tenancy.session(tenant_id, write=True) as session:
            taken = list(session.scalars(query))
            for message in taken:
                message.available_at = now + timedelta(seconds=self._lease_seconds)
                message.attempts += 0 if reserve else 1
            return [_claim_of(message) for message in taken]

    def take(self, tenant_id: str, message_id: int, attempt: int) -> Claim | None:
        """Take a message that was reserved at this attempt; None when somebody did already."""
        with self._tenancy.session(tenant_id, write=True) as session:
            message = session.scalar(
                select(OutboxMessage)
                .where(OutboxMessage.id == message_id, OutboxMessage.attempts == attempt)
                .where(OutboxMessage.dead_at.is_(None))
                .with_for_update()
            )
            if message is None:
                return None
            message.available_at = clock.after(self._lease_seconds)
            message.attempts += 1
            return _claim_of(message)

    def delivered(self, claim: Claim, event: audit.Event | None = None) -> bool:
        """Remove a delivered message and record `event`. False when the lease had passed to another worker."""
        with self._tenancy.session(claim.tenant_id, write=True) as session:
            done = _touched(
                session.execute(
                    delete(OutboxMessage).where(
                        OutboxMessage.id == claim.id, OutboxMessage.attempts == claim.attempt
                    )
                )
            )
            if done and event is not None:
                audit.record(session, event)
            return done

    def failed(self, claim: Claim, fault: DeliveryFailed) -> bool:
        """Put a message back for a later attempt, or give up on it. True when it became a dead letter."""
        most = self._max_attempts if fault.attempts is None else min(self._max_attempts, fault.attempts)
        dead = fault.permanent or claim.attempt >= most
        told = redact(fault.reason)[:MAX_ERROR_TEXT]
        changes: dict[str, Any] = {"last_error": told}
        if dead:
            changes["dead_at"] = clock.now()
        else:
            changes["available_at"] = clock.after(backoff_seconds(claim.attempt))
        with self._tenancy.session(claim.tenant_id, write=True) as session:
            held = _touched(session.execute(_held(claim).values(changes)))
            if held and dead:
                audit.record(session, _given_up(claim, told))
                if fault.event is not None:
                    audit.record(session, fault.event)
            return held and dead

    def release(self, claim: Claim) -> None:
        """Give back a message that was not tried."""
        with self._tenancy.session(claim.tenant_id, write=True) as session:
            session.execute(_held(claim).values(available_at=clock.now(), attempts=claim.attempt - 1))

    def backlog(self) -> Backlog:
        """What waits and what is dead, over all tenants."""
        with self._tenancy.system(SystemReason.OUTBOX) as session:
            rows = session.execute(
                select(OutboxMessage.topic, OutboxMessage.dead_at.is_not(None), func.count()).group_by(
                    OutboxMessage.topic, OutboxMessage.dead_at.is_not(None)
                )
            ).all()
            oldest = session.scalar(
                select(OutboxMessage.created_at)
                .where(OutboxMessage.dead_at.is_(None))
                .order_by(OutboxMessage.id)
                .limit(1)
            )
        return Backlog(
            waiting={topic: count for topic, dead, count in rows if not dead},
            dead={topic: count for topic, dead, count in rows if dead},
            oldest_seconds=max(0.0, (clock.now() - oldest).total_seconds()) if oldest else 0.0,
        )


def dead_letters(session: Session, *, after: int = 0, limit: int = 50) -> list[OutboxMessage]:
    """What was given up on in the session's tenant, oldest first, from the one after number `after`."""
    return list(
        session.scalars(
            select(OutboxMessage)
            .where(OutboxMessage.dead_at.is_not(None), OutboxMessage.id > after)
            .order_by(OutboxMessage.id)
            .limit(limit)
        )
    )


def retry(session: Session, message_id: int) -> OutboxMessage:
    """Have a dead letter delivered after all, from its first attempt on.

    Raises `Problem` (`dead_letter.unknown`, 404) when the session's tenant has no such dead letter.
    """
    query = select(OutboxMessage).where(OutboxMessage.id == message_id, OutboxMessage.dead_at.is_not(None))
    message = session.scalar(query.with_for_update()) if message_id < 1 << 63 else None
    if message is None:
        raise Problem("dead_letter.unknown", "There is no such dead letter.", status=404)
    message.dead_at = None
    message.attempts = 0
    message.available_at = clock.now()
    return message


def backoff_seconds(attempt: int) -> float:
    """How long to wait after the `attempt`-th try: twice as long each time, within a bound, never all at once."""
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing


def _claim_of(message: OutboxMessage) -> Claim:
    return Claim(
        message.tenant_id, message.id, message.topic, message.subject, message.payload, message.attempts
    )


def _held(claim: Claim) -> Update:
    return update(OutboxMessage).where(OutboxMessage.id == claim.id, OutboxMessage.attempts == claim.attempt)


def _touched(result: Any) -> bool:
    return isinstance(result, CursorResult) and result.rowcount == 1


def _given_up(claim: Claim, error: str) -> audit.Event:
    return audit.Event(
        "worker.dead_letter",
        tenant_id=claim.tenant_id,
        outcome="failure",
        reason="delivery.given_up",
        data={"topic": claim.topic, "message_id": claim.id, "attempts": claim.attempt, "error": error},
    )
