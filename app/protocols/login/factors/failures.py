"""Failed tries at an account, and the pauses they lead to: counted for a known device, and for all others together.

What begins a sign-in counts apart from what comes second (`FACTOR`): whoever gets in with the one does not begin anew
with the other. Passwords (`PASSWORD`), codes sent by mail (`MAIL`) and passkeys (`PASSKEY`) count apart as well, as
guesses at one, which anybody may make who knows a name, do not keep the owner from the others.

So many failures in a window begin a pause. Each pause is twice as long as the one before it, up to what the tenant
says, until a day went by without one, the owner got in, or somebody unlocked the account.
"""

from dataclasses import dataclass, replace

from app.domain.tenant_settings import LockoutSettings
from app.domain.tenants import TenantContext
from app.infra.limits import SIGN_IN_ALL, SIGN_IN_NETWORK, network_of, taken_back
from app.infra.state import Delete, Increment, Key, Op, Outcome, Raise, SetAdd, SetMembers, StateStore

PASSWORD, MAIL, PASSKEY, FACTOR = "sign-in", "mail", "passkey", "factor"
KINDS = (PASSWORD, MAIL, PASSKEY, FACTOR)

FEW = 5
"""Failures of one network in its window, where passwords are sprayed."""
_DAY_SECONDS = 86400
_DAY_FACTOR = 5
"""A day of unknown devices gets so many times the failures of one window: against guessing too slow for any pause."""
_DEVICES_SECONDS = 3 * _DAY_SECONDS
"""Longer than anything is counted of a device: a window, or a pause and the day after it."""
_UNKNOWN = "unknown"
_NEAR_OF_KNOWN, _NEAR_OF_UNKNOWN = 1, 2
"""Where in a batch the window's counter is."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What one try counts against.

    On a device its owner used before, nothing counts but what was tried there: guesses at the account from elsewhere
    do not keep the owner out, and neither does a flood from the network they share with a guesser.
    """

    tenant: TenantContext
    kind: str
    account: str
    """A person's id, or what stands for a name nobody has."""
    device_id: str | None
    """Of a known device; None: of any other."""
    ip: str

    def count(self, state: StateStore) -> Outcome:
        """Count a try before it is made, so that parallel guesses do not pass together."""
        if not self._is_sprayable:
            return state.execute(*self._operations())
        network, *account = self._operations()
        counted = state.execute(network, self._everybody(), *account)
        if counted.refused == 1:
            # Where many names are tried from many networks, none of them gets more than few. Nobody is kept out by
            # what comes from elsewhere.
            return state.execute(replace(network, amount=0, limit=FEW), *account)
        later = None if counted.refused is None else max(0, counted.refused - 1)
        return Outcome((*counted.results[:1], *counted.results[2:]), later, counted.retry_after_seconds)

    def is_network(self, counted: Outcome) -> bool:
        """Whether the network was refused, not the account. To record each of these would let a flood fill the log."""
        return self.device_id is None and counted.refused == 0

    def take_back(self, state: StateStore) -> None:
        """The try was not made."""
        shared = (self._everybody(),) if self._is_sprayable else ()
        state.execute(*(taken_back(counter) for counter in (*shared, *self._operations())))

    def forgotten(self) -> tuple[Op, ...]:
        """The operations after a right try: whoever made it begins anew, and it does not count against the network."""
        own = tuple(Delete(key) for key in self._keys().every())
        if self.device_id is not None:
            return own
        shared = (self._network(), self._everybody()) if self._is_sprayable else (self._network(),)
        return *(taken_back(counter) for counter in shared), *own

    def failed(self, state: StateStore, counted: Outcome, record: Op) -> None:
        """Put a wrong try on record. The last of a window begins a pause."""
        if self.device_id is None:
            state.execute(record)
        else:
            devices = _devices(self.tenant.id, self.kind, self.account)
            state.execute(SetAdd(devices, self.device_id, _DEVICES_SECONDS), record)
        near = counted.results[_NEAR_OF_UNKNOWN if self.device_id is None else _NEAR_OF_KNOWN]
        if near == self._lockout.failures:
            self._pause(state)

    def blocked(self, state: StateStore, counted: Outcome, record: Op) -> int:
        """Put a refused try on record. Gives the seconds until one is looked at again, at least 1."""
        used_up = Increment(self._keys().day, _DAY_SECONDS, amount=0, limit=self._most_of_a_day - 1)
        outcome = state.execute(record, used_up) if self.device_id is None else state.execute(record)
        return max(counted.retry_after_seconds or 1, outcome.retry_after_seconds or 1)

    def _operations(self) -> tuple[Increment, ...]:
        keys, window_seconds = self._keys(), self._lockout.window_seconds
        account = (
            Increment(keys.paused, window_seconds, amount=0, limit=0),
            Increment(keys.near, window_seconds, limit=self._lockout.failures),
        )
        if self.device_id is not None:
            return account
        return self._network(), *account, Increment(keys.day, _DAY_SECONDS, limit=self._most_of_a_day)

    def _pause(self, state: StateStore) -> None:
        """Begin one. Until it is there, the window's counter refuses; it ends no later than the shortest pause."""
        keys = self._keys()
        number: int = state.execute(Increment(keys.pauses, _DAY_SECONDS)).results[0]
        seconds = pause_seconds(self._lockout, number)
        state.execute(Increment(keys.paused, seconds), Raise(keys.pauses, number, seconds + _DAY_SECONDS))

    def _network(self) -> Increment:
        return SIGN_IN_NETWORK.count(self.tenant.id, network_of(self.ip))

    def _everybody(self) -> Increment:
        return SIGN_IN_ALL.count(self.tenant.id)

    @property
    def _is_sprayable(self) -> bool:
        """Whether anybody may try it with any name, from wherever."""
        return self.kind == PASSWORD and self.device_id is None

    def _keys(self) -> "_Keys":
        return _Keys(self.tenant.id, self.kind, self.account, self.device_id or _UNKNOWN)

    @property
    def _lockout(self) -> LockoutSettings:
        return self.tenant.settings.authentication.lockout

    @property
    def _most_of_a_day(self) -> int:
        return self._lockout.failures * _DAY_FACTOR


def pause_seconds(lockout: LockoutSettings, number: int) -> int:
    """How long the first, second, ... pause in a row is."""
    longest = max(lockout.window_seconds, lockout.longest_pause_seconds)
    return min(lockout.window_seconds << min(number - 1, 32), longest)


def forget(state: StateStore, tenant_id: str, user_id: str, *kinds: str) -> None:
    """Unlock an account, for known devices as for others. `kinds`: of what, `KINDS` for everything."""
    devices = state.execute(*(SetMembers(_devices(tenant_id, kind, user_id)) for kind in kinds)).results
    keys = [
        key
        for kind, known in zip(kinds, devices, strict=True)
        for where in (_UNKNOWN, *known)
        for key in _Keys(tenant_id, kind, user_id, where).every()
    ]
    sets = [_devices(tenant_id, kind, user_id) for kind in kinds]
    state.execute(*(Delete(key) for key in (*keys, *sets)))


@dataclass(frozen=True, slots=True)
class _Keys:
    """The names of an account's counters: of one known device, or of all others."""

    tenant_id: str
    kind: str
    account: str
    where: str

    @property
    def near(self) -> Key:
        """Failures in a window."""
        return self._of(self.where)

    @property
    def paused(self) -> Key:
        """There while a pause lasts."""
        return self._of(f"{self.where}:paused")

    @property
    def pauses(self) -> Key:
        """How many there were in a row."""
        return self._of(f"{self.where}:pauses")

    @property
    def day(self) -> Key:
        """Failures in a day, of unknown devices alone."""
        return self._of("day")

    def every(self) -> tuple[Key, ...]:
        """All of them."""
        own = self.near, self.paused, self.pauses
        return (*own, self.day) if self.where == _UNKNOWN else own

    def _of(self, what: str) -> Key:
        return Key(self.tenant_id, self.kind, f"{self.account}:{what}")


def _devices(tenant_id: str, kind: str, account: str) -> Key:
    """The set of known devices something was tried on in vain."""
    return Key(tenant_id, f"{kind}-devices", account)
