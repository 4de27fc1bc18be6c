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
from app.infra.passwords import Passwords
from app.infra.state import Outcome, StateStore
from app.infra.tenancy import Tenancy
from app.kernel.errors import Unavailable
from app.kernel.secrets import lookup_hash
from app.protocols.login.devices import Device
from app.protocols.login.factors import failures
from app.protocols.login.factors.failures import Counters
from app.protocols.login.factors.outcome import Blocked, Failed, Origin, Verified

MAX_LOGIN = 320
DEAREST_FACTOR = 1.5
"""How far the floor of refusals is above the dearest hash, which is an estimate."""


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
        known_id = device.id if account.known_device else None
        counters = Counters(tenant, failures.PASSWORD, account.name, known_id, origin.ip)
        counted = counters.count(self._state)
        if not counted.ok:
            return self._blocked(counters, counted, account, origin)
        stored = account.user.password_hash if account.user else None
        try:
            verdict = (
                self._passwords.verify(password, stored) if stored else self._passwords.verify_dummy(password)
            )
        except Unavailable:
            counters.take_back(self._state)
            raise
        reason = _refusal(account.user, verdict.ok)
        if reason is not None or account.user is None:
            failed = Failed(reason or "user.unknown")
            counters.failed(
                self._state, counted, audit.operation(_event(tenant, account, origin, failed.reason))
            )
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

    def _blocked(self, counters: Counters, counted: Outcome, account: _Account, origin: Origin) -> Blocked:
        if counters.is_network(counted):
            return Blocked("rate.network", counted.retry_after_seconds or 1)
        record = audit.operation(_event(counters.tenant, account, origin, "account.locked"))
        retry_after = counters.blocked(self._state, counted, record)
        return Blocked("account.locked", retry_after, account.user.id if account.user else None)

    def _succeeded(
        self,
        tenant: TenantContext,
        account: _Account,
        user: User,
        better: str | None,
        counters: Counters,
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
        self._state.execute(*counters.forgotten())
        return Verified(user.id, user.epoch, assurance.PASSWORD, account.known_device)


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
