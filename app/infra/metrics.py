"""Numbers for Prometheus. With several processes they lie in one folder that all of them write to.

The folder is named by `PROMETHEUS_MULTIPROC_DIR` before this module is imported (`watchword serve` does so). Labels
are names of ours: never a client, a person, a path or an address.
"""

import atexit
import os
from bisect import bisect_left
from collections import Counter as Tally
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import REGISTRY, Collector

if TYPE_CHECKING:
    from app.infra.outbox import Backlog

T = TypeVar("T")

CONTENT_TYPE = CONTENT_TYPE_LATEST

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_REQUESTS = Counter("watchword_requests", "Answered requests.", ["endpoint", "status"])


class _Latencies(Histogram):
    """A histogram that is told of many at once."""

    def observe_all(self, amounts: list[float]) -> None:
        """As `observe` of each."""
        self._sum.inc(sum(amounts))
        for bucket, count in Tally(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[bucket].inc(count)


_SECONDS = _Latencies("watchword_request_seconds", "Time to answer.", ["endpoint"], buckets=_LATENCY_BUCKETS)
_ISSUED = Counter(
    "watchword_tokens_issued", "Answers of the token endpoint that carried tokens.", ["grant_type"]
)
_REFUSED = Counter("watchword_refusals", "Refusals by their reason code.", ["reason"])
_DELIVERED = Counter("watchword_deliveries", "Attempts to deliver outbox messages.", ["topic", "outcome"])
_APPENDED = Counter("watchword_audit_records", "Records appended to audit chains.")
_HASHING = Gauge(
    "watchword_password_hashes_running", "Password hashes being computed.", multiprocess_mode="livesum"
)
_HASHING_REFUSED = Counter(
    "watchword_password_hashes_refused", "Password checks refused because the pool was full."
)

_request_children: dict[tuple[str, int], Counter] = {}
_second_children: dict[str, "_Latencies"] = {}
_issued_children: dict[str, Counter] = {}


NOTED_AT_MOST = 256
SETTLE_SECONDS = 0.5

_issued: list[str] = []
_noted: list[tuple[str, int, float]] = []
"""Answered requests that are not counted yet: a number in the shared file costs the same whether one is added or a
hundred, and more than all else that is done about a request here."""


def observe(endpoint: str, _method: str, status: int, seconds: float, *_who: str | None) -> None:
    """Count one answered request. `endpoint` is a name of ours, never a path. In every request's way: microseconds.

    It is told from `settle` on.
    """
    _noted.append((endpoint, status, seconds))
    if len(_noted) >= NOTED_AT_MOST:
        settle()


def settle() -> None:
    """Count what was observed. Done at every scrape this process answers, twice a second, and when it ends."""
    noted = _drained(_noted)
    for (endpoint, status), count in Tally((endpoint, status) for endpoint, status, _ in noted).items():
        if (endpoint, status) not in _request_children:
            _request_children[endpoint, status] = _REQUESTS.labels(endpoint, str(status))
        _request_children[endpoint, status].inc(count)
    took: dict[str, list[float]] = {}
    for endpoint, _, seconds in noted:
        took.setdefault(endpoint, []).append(seconds)
    for endpoint, many in took.items():
        if endpoint not in _second_children:
            _second_children[endpoint] = _SECONDS.labels(endpoint)
        _second_children[endpoint].observe_all(many)
    for grant_type, count in Tally(_drained(_issued)).items():
        if grant_type not in _issued_children:
            _issued_children[grant_type] = _ISSUED.labels(grant_type)
        _issued_children[grant_type].inc(count)


def _drained(found: list[T]) -> list[T]:
    """All there is, taken so that no other thread gets it too."""
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(found.pop())
    return taken


atexit.register(settle)
os.register_at_fork(after_in_child=_noted.clear)
os.register_at_fork(after_in_child=_issued.clear)


def issued(grant_type: str) -> None:
    """Count tokens issued by a grant. It is told from `settle` on."""
    _issued.append(grant_type)


def refused(reason: str) -> None:
    """Count a refusal by its stable reason code."""
    _REFUSED.labels(reason).inc()


def delivered(topic: str, outcome: str) -> None:
    """Count an attempt to deliver: `delivered`, `failed` (to be tried again) or `given_up`."""
    _DELIVERED.labels(topic, outcome).inc()


def appended(count: int) -> None:
    """Count records appended to audit chains."""
    _APPENDED.inc(count)


def hashing_started() -> None:
    """A password hash takes a place in the pool."""
    _HASHING.inc()


def hashing_ended() -> None:
    """A password hash gives its place back."""
    _HASHING.dec()


def hashing_refused() -> None:
    """A password check found no place in the pool."""
    _HASHING_REFUSED.inc()


def exposition(backlog: "Backlog | None", worker_age_seconds: int | None) -> bytes:
    """Everything, of all processes, in Prometheus' text format. Without `backlog`: the database does not answer."""
    settle()
    registry = CollectorRegistry()
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        _forget_dead_processes(folder)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    if backlog is not None:
        registry.register(_Now(backlog, worker_age_seconds))
    return generate_latest(registry)


class _Now(Collector):
    """What is asked at the moment of scraping, rather than counted."""

    def __init__(self, backlog: "Backlog", worker_age_seconds: int | None) -> None:
        self._backlog = backlog
        self._worker_age_seconds = worker_age_seconds

    def collect(self) -> list[Metric]:
        """The gauges."""
        waiting = GaugeMetricFamily(
            "watchword_outbox_waiting", "Messages not delivered yet.", labels=["topic"]
        )
        for topic, count in self._backlog.waiting.items():
            waiting.add_metric([topic], count)
        dead = GaugeMetricFamily("watchword_outbox_dead_letters", "Messages given up on.", labels=["topic"])
        for topic, count in self._backlog.dead.items():
            dead.add_metric([topic], count)
        oldest = GaugeMetricFamily(
            "watchword_outbox_oldest_seconds",
            "Age of the oldest message that waits.",
            self._backlog.oldest_seconds,
        )
        alive = GaugeMetricFamily(
            "watchword_worker_up",
            "Whether a background worker is alive.",
            float(self._worker_age_seconds is not None),
        )
        return [waiting, dead, oldest, alive]


def _forget_dead_processes(folder: str) -> None:
    """The gauges of a killed process would stay for ever. Its counters stay: they tell what happened."""
    for name in os.listdir(folder):
        if name.startswith("gauge_live") and (pid := name.rpartition("_")[2].removesuffix(".db")).isdigit():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                mark_process_dead(int(pid), folder)  # type: ignore[no-untyped-call]
            except PermissionError:
                continue
