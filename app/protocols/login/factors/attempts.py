"""How often somebody may try a second factor, a passkey, or a code that was sent: per person, on a known device and on
all others.

All second factors of a person count together, so that a guesser gains nothing by changing between them. Refusals are on
record, and take the same least time (contracts 16).
"""

import time
from dataclasses import dataclass

from app.domain.tenants import TenantContext
from app.infra import audit, page_slots
from app.infra.audit import Event
from app.infra.state import Outcome, StateStore
from app.protocols.login.factors import failures
from app.protocols.login.factors.failures import Counters
from app.protocols.login.factors.outcome import Blocked, Failed, Origin


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: by whom, with what, from where."""

    counters: Counters
    counted: Outcome
    email: str | None
    method: str
    origin: Origin
    began: float
    """By the monotonic clock."""

    @property
    def known_device(self) -> bool:
        """Whether the person signed in there before."""
        return self.counters.device_id is not None

    @property
    def person_id(self) -> str | None:
        """Whose it is. A name nobody has counts as well; on record it is nobody."""
        return None if self.counters.account.startswith("?") else self.counters.account


class Attempts:
    """Counts tries before they are checked, so that parallel guesses do not pass together."""

    def __init__(self, state: StateStore, *, floor_seconds: float) -> None:
        self._state = state
        self._floor_seconds = floor_seconds

    def begin(
        self,
        tenant: TenantContext,
        user_id: str,
        email: str | None,
        method: str,
        *,
        device_id: str,
        known_device: bool,
        origin: Origin,
        kind: str = failures.FACTOR,
    ) -> Attempt | Blocked:
        """Count a try; `kind` is what it counts as (`failures`). `Blocked` when there were too many."""
        began, known_id = time.monotonic(), device_id if known_device else None
        counters = Counters(tenant, kind, user_id, known_id, origin.ip)
        counted = counters.count(self._state)
        attempt = Attempt(counters, counted, email, method, origin, began)
        if counted.ok:
            return attempt
        if counters.is_network(counted):
            return Blocked("rate.network", counted.retry_after_seconds or 1)
        record = audit.operation(_event(attempt, "account.locked"))
        retry_after = counters.blocked(self._state, counted, record)
        return Blocked("account.locked", retry_after, attempt.person_id)

    def succeeded(self, attempt: Attempt) -> None:
        """The try was right: whoever made it begins anew, and it does not count against the network."""
        self._state.execute(*attempt.counters.forgotten(), audit.operation(_event(attempt, None)))

    def failed(self, attempt: Attempt, reason: str) -> Failed:
        """The try was wrong. Takes its time."""
        record = audit.operation(_event(attempt, reason))
        attempt.counters.failed(self._state, attempt.counted, record)
        page_slots.rest_until(attempt.began + self._floor_seconds)
        return Failed(reason)


def _event(attempt: Attempt, reason: str | None) -> Event:
    return Event(
        "auth.factor.fail" if reason else "auth.factor.success",
        tenant_id=attempt.counters.tenant.id,
        outcome="failure" if reason else "success",
        reason=reason,
        user_id=attempt.person_id,
        email=attempt.email,
        ip=attempt.origin.ip,
        user_agent=attempt.origin.user_agent,
        mfa_used=False if reason else None,
        client_id=attempt.origin.client_id,
        data={"method": attempt.method, "known_device": attempt.known_device},
    )
