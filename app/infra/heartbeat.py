"""Whether a background worker is alive, told through the state store."""

from app.infra.state import Delete, Get, Key, Put, SetAdd, SetMembers, SetRemove, StateStore
from app.kernel import clock

INTERVAL_SECONDS = 10
FORGOTTEN_SECONDS = 60

_KEY = Key("deployment", "heartbeat", "worker")
_WORKERS = Key("deployment", "heartbeat-workers", "all")


def beat(state: StateStore, worker: str) -> None:
    """Say that a worker of this deployment is alive; `worker` is a name no other process has."""
    now = str(clock.timestamp(clock.now())).encode("ascii")
    state.execute(Put(_KEY, now, FORGOTTEN_SECONDS), SetAdd(_WORKERS, worker, FORGOTTEN_SECONDS))


def end(state: StateStore, worker: str) -> None:
    """Say that this worker ends. After the last of them none is known to be alive."""
    left = state.execute(SetRemove(_WORKERS, worker), SetMembers(_WORKERS)).results[1]
    if not left:
        state.execute(Delete(_KEY))


def age_seconds(state: StateStore) -> int | None:
    """Seconds since some worker was last known to be alive; None when that is a minute or more ago."""
    told = state.execute(Get(_KEY)).results[0]
    return None if told is None else max(0, clock.timestamp(clock.now()) - int(told))
