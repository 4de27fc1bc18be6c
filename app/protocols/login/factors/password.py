"""User name or e-mail address, and password.

A refusal tells nothing: unknown names cost a hash as well, count as well, and every refusal takes the same least
time, spent after the hashing slot was given back (contracts 16).
"""

import time
import unicodedata
from dataclasses import dataclass

from sqlalchemy import update

from app.domain import assurance, users
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra import audit, page_slots
from app.infra.audit import Event
from app.infra.limits import SIGN_IN_NETWORK, network_of, taken_back
from app.infra.passwords import Passwords
from app.infra.state import Delete, Increment, Key, Op, StateStore
from app.infra.tenancy import Tenancy
from app.kernel.errors import Unavailable
from app.kernel.secrets import lookup_hash
from app.protocols.login.devices import Device
from app.protocols.login.factors.outcome import Blocked, Failed, Origin, Verified

KIND = "sign-in"
MAX_LOGIN = 320
DAY_SECONDS = 86400
DEAREST_FACTOR = 1.5
"""How far the floor of refusals is above the dearest hash, which is an estimate."""
DAY_FACTOR = 5
"""A day of unknown devices gets so many times the failures of one window: the back-off of slow guessing."""


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom an attempt is for: somebody, or nobody, which must not show."""

    user: User | None
    name: str
    known_device: bool


class PasswordFactor:
    """Checks names and passwords. `floor_seconds` is the least time a refusal takes."""

    def __init__(
        self, tenancy: Tenancy, state: StateStore, passwords: Passwords, *, floor_seconds: float
    ) -> None:
        self._tenancy = tenancy
        self._state = state
        self._passwords = passwords
        self._floor_seconds = floor_seconds

    def attempt(
        self, tenant: TenantContext, login: str, password: str, *, device: Device, origin: Origin
    ) -> Verified | Failed | Blocked:
        """Check one attempt. Raises `Unavailable` when too many people sign in at once; that attempt does not count."""
        with self._passwords.admitted():
            return self._attempt(tenant, login, password, device, origin)

    def _attempt(
        self, tenant: TenantContext, login: str, password: str, device: Device, origin: Origin
    ) -> Verified | Failed | Blocked:
        started = time.monotonic()
        account = self._account(tenant, login, device)
        counters = _counters(tenant, account, device, origin)
        outcome = self._state.execute(*counters)
        if not outcome.ok:
            return self._blocked(
                tenant, account, origin, outcome.refused or 0, outcome.retry_after_seconds or 1
            )
        stored = account.user.password_hash if account.user else None
        try:
            verdict = (
                self._passwords.verify(password, stored) if stored else self._passwords.verify_dummy(password)
            )
        except Unavailable:
            self._state.execute(*(taken_back(counted) for counted in counters))
            raise
        reason = _refusal(account.user, verdict.ok)
        if reason is not None or account.user is None:
            failed = Failed(reason or "user.unknown")
            self._state.execute(audit.operation(_event(tenant, account, origin, failed.reason)))
            floor_seconds = max(self._floor_seconds, self._dearest_seconds(tenant) * DEAREST_FACTOR)
            page_slots.rest_until(started + floor_seconds)
            return failed
        return self._succeeded(tenant, account, account.user, verdict.better, counters)

    def _dearest_seconds(self, tenant: TenantContext) -> float:
        """What checking the dearest hash of the tenant takes: whose name costs that much has to look like any other."""
        with self._tenancy.session(tenant.id) as session:
            return users.dearest_password_ms(session) / 1000

    def _account(self, tenant: TenantContext, login: str, device: Device) -> _Account:
        user = None
        if 0 < len(login) <= MAX_LOGIN and not any(unicodedata.category(c)[0] == "C" for c in login):
            with self._tenancy.session(tenant.id) as session:
                user = users.find_by_login(session, login)
                if user is not None:
                    session.expunge(user)
        if user is None:
            return _Account(None, "?" + lookup_hash(users.normalize(login[:MAX_LOGIN])), known_device=False)
        return _Account(user, user.id, device.knows(user.id, user.password_changed_at))

    def _blocked(
        self, tenant: TenantContext, account: _Account, origin: Origin, refused: int, retry_after: int
    ) -> Blocked:
        # An unknown device's first counter is the network's; recording each of its refusals would let a flood fill
        # the audit log.
        if refused == 0 and not account.known_device:
            return Blocked("rate.network", retry_after)
        self._state.execute(audit.operation(_event(tenant, account, origin, "account.locked")))
        return Blocked("account.locked", retry_after, account.user.id if account.user else None)

    def _succeeded(
        self,
        tenant: TenantContext,
        account: _Account,
        user: User,
        better: str | None,
        counters: tuple[Increment, ...],
    ) -> Verified:
        if better is not None:
            with self._tenancy.session(tenant.id, write=True) as session:
                # Only where nobody changed the password meanwhile.
                session.execute(
                    update(User)
                    .where(User.id == user.id, User.password_hash == user.password_hash)
                    .values(password_hash=better, password_cost_ms=0)
                    .execution_options(synchronize_session=False)
                )
        shared = () if account.known_device else counters[:1]
        forget: list[Op] = [taken_back(counted) for counted in shared]
        self._state.execute(*forget, *(Delete(counted.key) for counted in counters[len(shared) :]))
        return Verified(user.id, user.epoch, assurance.PASSWORD, account.known_device)


def _counters(
    tenant: TenantContext, account: _Account, device: Device, origin: Origin
) -> tuple[Increment, ...]:
    """Counted before the check, so that parallel guesses do not pass together.

    On a device its owner used before, nothing counts but what was tried there: guesses at the account from elsewhere
    do not keep the owner out, and neither does a flood from the network they share with a guesser.
    """
    lockout = tenant.settings.authentication.lockout
    where = device.id if account.known_device else "unknown"
    near = Increment(
        Key(tenant.id, KIND, f"{account.name}:{where}"), lockout.window_seconds, limit=lockout.failures
    )
    if account.known_device:
        return (near,)
    network = SIGN_IN_NETWORK.count(tenant.id, network_of(origin.ip))
    daily = Key(tenant.id, KIND, f"{account.name}:day")
    return network, near, Increment(daily, DAY_SECONDS, limit=lockout.failures * DAY_FACTOR)


def forget_failures(tenant_id: str, user_id: str) -> tuple[Delete, ...]:
    """The operations that unlock an account for unknown devices. Known ones have a counter of their own, and wait."""
    return tuple(Delete(Key(tenant_id, KIND, f"{user_id}:{what}")) for what in ("unknown", "day"))


def _refusal(user: User | None, password_ok: bool) -> str | None:
    if user is None:
        return "user.unknown"
    if not password_ok:
        return "password.wrong"
    return "user.disabled" if user.disabled_at is not None else None


def _event(tenant: TenantContext, account: _Account, origin: Origin, reason: str) -> Event:
    return Event(
        "auth.login.fail",
        tenant_id=tenant.id,
        outcome="failure",
        reason=reason,
        user_id=account.user.id if account.user else None,
        email=account.user.email if account.user else None,
        ip=origin.ip,
        user_agent=origin.user_agent,
        mfa_used=False,
        client_id=origin.client_id,
        data={"method": "password", "known_device": account.known_device},
    )
