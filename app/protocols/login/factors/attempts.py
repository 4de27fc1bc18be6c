"""How often somebody may try a second factor, or a code that was sent: per person, on a known device and on all others.

All factors of a person count together, so that a guesser gains nothing by changing between them. Refusals are on
record, and take the same least time (contracts 16).
"""

import time
from dataclasses import dataclass

from app.domain.tenants import TenantContext
from app.infra import audit, page_slots
from app.infra.audit import Event
from app.infra.limits import SIGN_IN_NETWORK, network_of, taken_back
from app.infra.state import Delete, Increment, Key, StateStore
from app.protocols.login.factors.outcome import Blocked, Failed, Origin

KIND = "factor"
DAY_SECONDS = 86400
DAY_FACTOR = 5
"""A day of unknown devices gets so many times the failures of one window: the back-off of slow guessing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: by whom, with what, from where."""

    tenant: TenantContext
    user_id: str
    email: str | None
    method: str
    device_id: str
    known_device: bool
    origin: Origin
    began: float
    """By the monotonic clock."""


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
    ) -> Attempt | Blocked:
        """Count a try. `Blocked` when there were too many."""
        attempt = Attempt(tenant, user_id, email, method, device_id, known_device, origin, time.monotonic())
        outcome = self._state.execute(*_counters(attempt))
        if outcome.ok:
            return attempt
        # An unknown device's first counter is the network's; recording each of its refusals would let a flood fill
        # the audit log.
        if outcome.refused == 0 and not known_device:
            return Blocked("rate.network", outcome.retry_after_seconds or 1)
        self._record(attempt, "account.locked")
        return Blocked("account.locked", outcome.retry_after_seconds or 1)

    def succeeded(self, attempt: Attempt) -> None:
        """The try was right: whoever made it begins anew, and it does not count against the network."""
        counters = _counters(attempt)
        shared = () if attempt.known_device else counters[:1]
        self._state.execute(
            *(taken_back(counter) for counter in shared),
            *(Delete(counter.key) for counter in counters[len(shared) :]),
            audit.operation(_event(attempt, None)),
        )

    def failed(self, attempt: Attempt, reason: str) -> Failed:
        """The try was wrong. Takes its time."""
        self._record(attempt, reason)
        page_slots.rest_until(attempt.began + self._floor_seconds)
        return Failed(reason)

    def _record(self, attempt: Attempt, reason: str) -> None:
        self._state.execute(audit.operation(_event(attempt, reason)))


def _counters(attempt: Attempt) -> tuple[Increment, ...]:
    """What one try counts against. On a known device nothing counts but what was tried there (see `password`)."""
    tenant, lockout = attempt.tenant, attempt.tenant.settings.authentication.lockout
    where = attempt.device_id if attempt.known_device else "unknown"
    near = Increment(
        Key(tenant.id, KIND, f"{attempt.user_id}:{where}"), lockout.window_seconds, limit=lockout.failures
    )
    if attempt.known_device:
        return (near,)
    network = SIGN_IN_NETWORK.count(tenant.id, network_of(attempt.origin.ip))
    daily = Key(tenant.id, KIND, f"{attempt.user_id}:day")
    return network, near, Increment(daily, DAY_SECONDS, limit=lockout.failures * DAY_FACTOR)


def _event(attempt: Attempt, reason: str | None) -> Event:
    return Event(
        "auth.factor.fail" if reason else "auth.factor.success",
        tenant_id=attempt.tenant.id,
        outcome="failure" if reason else "success",
        reason=reason,
        # A name nobody has counts as well; on record it is nobody.
        user_id=None if attempt.user_id.startswith("?") else attempt.user_id,
        email=attempt.email,
        ip=attempt.origin.ip,
        user_agent=attempt.origin.user_agent,
        mfa_used=False if reason else None,
        client_id=attempt.origin.client_id,
        data={"method": attempt.method, "known_device": attempt.known_device},
    )
