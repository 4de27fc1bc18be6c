"""`watchword worker`: what is done behind the requests. Any number of these may run.

It appends the audit, delivers the outbox, and keeps house. Each unit of work has its own failure: what goes wrong
once is logged and tried again later, and nothing else waits for it.
"""

import logging
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from app import housekeeping
from app.couriers import Couriers
from app.domain import session_notices
from app.infra import audit, heartbeat, logs, mail, metrics, sms
from app.infra.audit_appender import BATCH, AuditAppender
from app.infra.outbox import DeliveryFailed, Handler, Outbox
from app.infra.queue import DirectQueue, Handed, Queue, StreamQueue
from app.infra.sinks import Sink
from app.infra.sinks.stdout import StdoutSink
from app.infra.state import Entry
from app.kernel import ids
from app.kernel.errors import Unavailable
from app.kernel.settings import Settings
from app.protocols.oauth.backchannel_logout import BackchannelLogout
from app.web.services import Services

IDLE_SECONDS = 0.25
"""How long an idle worker waits before it looks again: most of the delay of a delivery."""
LONGEST_PAUSE_SECONDS = 5.0
DELIVERY_THREADS = 2
TENANTS_SECONDS = 1.0
SINKS_EVERY_SECONDS = 30.0

log = logging.getLogger("watchword.worker")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """Something done now and then. `run` may be called by several workers at once."""

    name: str
    every_seconds: float
    run: Callable[[], object]


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. What is in hand is finished first."""
    from app import wiring

    logs.setup(settings.log_level)
    services = wiring.build(settings)
    worker = Worker(services)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    log.info("worker started", extra={"consumer": worker.consumer})
    try:
        worker.run()
    finally:
        services.close()
    log.info("worker stopped")


class Worker:
    """The loops. `run` returns after `stop`."""

    def __init__(
        self,
        services: Services,
        *,
        outbox: Outbox | None = None,
        handlers: Mapping[str, Handler] | None = None,
        sinks: Sequence[Sink] | None = None,
    ) -> None:
        # The same over restarts: Redis remembers every name it ever saw. Workers of one host may share it.
        self.consumer = socket.gethostname()
        self._name = f"{self.consumer}:{ids.new_id()}"
        self._services = services
        self._outbox = outbox or services.outbox
        self._handlers = (
            {
                mail.TOPIC: services.mailer.deliver,
                sms.TOPIC: services.sms.deliver,
                session_notices.TOPIC: BackchannelLogout(
                    services.tenants, services.clients, services.keyring, services.fetcher
                ).deliver,
            }
            if handlers is None
            else dict(handlers)
        )
        self._couriers = Couriers(
            (session_notices.TOPIC,),
            lambda handed: self._attempt("delivering", partial(self._deliver_in_order, handed)),
        )
        self._appender = AuditAppender(
            services.tenancy,
            services.state,
            (StdoutSink(),) if sinks is None else sinks,
            consumer=self.consumer,
        )
        self._queue: Queue = (
            StreamQueue(self._outbox, services.state, self.consumer)
            if services.settings.redis_url
            else DirectQueue(self._outbox)
        )
        self._jobs = (
            Job("heartbeat", heartbeat.INTERVAL_SECONDS, lambda: heartbeat.beat(services.state, self._name)),
            Job("audit sinks", SINKS_EVERY_SECONDS, self._catch_up_sinks),
            *(Job(name, every, job) for name, every, job in housekeeping.jobs(services, self._appender)),
        )
        self._stopping = threading.Event()
        self._tenant_ids: tuple[str, ...] = ()
        self._tenants_at = 0.0

    def stop(self) -> None:
        """Have every loop end after what it has in hand. Safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`. Ends early, with an exception, only when a loop itself is broken."""
        loops = [
            threading.Thread(target=self._loop, args=(self.deliver,), name=f"deliver-{number}")
            for number in range(DELIVERY_THREADS)
        ]
        loops.append(threading.Thread(target=self._loop, args=(self.append_audit,), name="audit"))
        for loop in loops:
            loop.start()
        self._keep_house()
        for loop in loops:
            loop.join()
        for left in self._couriers.stop():
            self._attempt("giving back", partial(self._give_back, left))
        self._attempt("the last heartbeat", partial(heartbeat.end, self._services.state, self._name))

    def append_audit(self) -> bool:
        """Append what is on record but not in the chains yet. Gives whether there is more at hand."""
        tenant_ids = self._tenants()
        streamed = self._appender.streamed(tenant_ids)
        due = self._outbox.due()
        busy = False
        for tenant_id in tenant_ids:
            entries = streamed.get(tenant_id, [])
            if not entries and audit.TOPIC not in due.get(tenant_id, ()):
                continue
            turn = self._attempt("appending the audit", partial(self._append, tenant_id, entries))
            busy = busy or (turn.result or 0) >= BATCH
        return busy

    def deliver(self) -> bool:
        """Deliver what is due. Gives whether anything was."""
        handed = self._queue.fetch(self._tenants(), self._couriers.busy)
        # Those go first: handing over takes no time.
        for each in sorted(handed, key=lambda one: one.claim.topic not in self._couriers.topics):
            if self._stopping.is_set():
                self._give_back(each)
            elif each.claim.topic not in self._couriers.topics:
                self._deliver_in_order(each)
            elif not self._couriers.accept(each):
                self._give_back(each)
        return bool(handed)

    def _give_back(self, handed: Handed) -> None:
        """It was not tried: anybody may have it."""
        self._outbox.release(handed.claim)
        self._queue.done(handed)

    def _deliver_in_order(self, handed: Handed) -> None:
        """Deliver a claim and what has gathered behind it, until one fails or is not due."""
        if self._deliver_one(handed):
            while not self._stopping.is_set():
                following = self._outbox.claim(handed.claim.tenant_id, limit=1, like=handed.claim)
                if not following or not self._deliver_one(Handed(following[0])):
                    break
        self._queue.done(handed)

    def _deliver_one(self, handed: Handed) -> bool:
        claim = handed.claim
        handler = self._handlers.get(claim.topic, _unknown_topic)
        what = f"delivering {claim.topic} {claim.id}"
        attempt = self._attempt(what, partial(handler, claim.tenant_id, claim.payload))
        fault = attempt.fault
        if fault is None:
            self._outbox.delivered(claim, attempt.result)
            metrics.delivered(claim.topic, "delivered")
            return True
        refusal = fault if isinstance(fault, DeliveryFailed) else DeliveryFailed(type(fault).__name__)
        dead = self._outbox.failed(claim, refusal)
        metrics.delivered(claim.topic, "given_up" if dead else "failed")
        return False

    def _append(self, tenant_id: str, entries: Sequence[Entry]) -> int:
        count = self._appender.append(tenant_id, entries)
        if count:
            metrics.appended(count)
            self._appender.feed_sinks(tenant_id)
        return count

    def _catch_up_sinks(self) -> None:
        """A worker that died after a commit leaves lines unwritten."""
        for tenant_id in self._tenants():
            if self._appender.behind(tenant_id):
                self._appender.feed_sinks(tenant_id)

    def _tenants(self) -> tuple[str, ...]:
        """Every tenant, disabled ones included, at most a second old."""
        now = time.monotonic()
        if not self._tenant_ids or now - self._tenants_at > TENANTS_SECONDS:
            self._tenant_ids = tuple(sorted(self._services.tenancy.config_versions()))
            self._tenants_at = now
        return self._tenant_ids

    def _loop(self, turn: Callable[[], bool]) -> None:
        pause = IDLE_SECONDS
        while not self._stopping.is_set():
            taken = self._attempt(f"the loop {threading.current_thread().name}", turn)
            if taken.fault is None:
                pause = IDLE_SECONDS
            else:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS) * random.uniform(0.75, 1.0)  # noqa: S311
            if not taken.result:
                self._stopping.wait(pause)

    def _keep_house(self) -> None:
        # The first round comes soon, but not for all jobs and all workers at the same moment.
        due = [(time.monotonic() + min(job.every_seconds, 2.0) * random.random(), job) for job in self._jobs]  # noqa: S311
        due[0] = (0.0, self._jobs[0])
        while not self._stopping.is_set():
            now = time.monotonic()
            for number, (at, job) in enumerate(due):
                if at <= now and not self._stopping.is_set():
                    self._attempt(job.name, job.run)
                    due[number] = (time.monotonic() + job.every_seconds, job)
            self._stopping.wait(max(0.0, min(at for at, _ in due) - time.monotonic()))

    def _attempt(self, what: str, work: Callable[[], T]) -> "_Attempt[T]":
        """The worker's one boundary: do a unit of work; log and give back what went wrong."""
        try:
            return _Attempt(result=work())
        except DeliveryFailed as fault:
            log.warning("%s failed: %s", what, fault.reason)
            return _Attempt(fault=fault)
        except Unavailable as fault:
            log.warning("%s: %s", what, fault)
            return _Attempt(fault=fault)
        except Exception as fault:
            log.exception("%s failed", what)
            return _Attempt(fault=fault)


@dataclass(frozen=True, slots=True)
class _Attempt(Generic[T]):
    result: T | None = None
    fault: Exception | None = None


def _unknown_topic(_tenant_id: str, _payload: Mapping[str, Any]) -> None:
    """A newer version may know what to do with it, so it waits."""
    raise DeliveryFailed("this version does not know the topic")
