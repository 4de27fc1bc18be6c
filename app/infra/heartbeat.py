"""Whether a background worker is alive, told through the state store."""

from app.infra.state import Get, Key, Put, StateStore
from app.kernel import clock

INTERVAL_SECONDS = 10
FORGOTTEN_SECONDS = 60

_KEY = Key("deployment", "heartbeat", "worker")


def beat(state: StateStore) -> None:
    """Say that a worker of this deployment is alive."""
    state.execute(Put(_KEY, str(clock.timestamp(clock.now())).encode("ascii"), FORGOTTEN_SECONDS))


def age_seconds(state: StateStore) -> int | None:
    """Seconds since some worker was last known to be alive; None when that is a minute or more ago."""
    told = state.execute(Get(_KEY)).results[0]
    return None if told is None else max(0, clock.timestamp(clock.now()) - int(told))
