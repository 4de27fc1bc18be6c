"""Deliveries to other people's servers: many at once, so that a slow one holds up nobody but itself.

What a worker has claimed for a receiver waits here for its turn. A receiver has two deliveries under way at most, a
tenant half of the threads; whatever there is no room for stays in the outbox, and is not even claimed while a receiver
is `busy`. Nothing waits longer than a lease: the numbers below come to some thirty seconds at the worst.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from app.infra.outbox import Claim, Lane
from app.infra.queue import Handed

THREADS = 16
PER_RECEIVER = 2
PER_TENANT = THREADS // 2
WAITING_PER_RECEIVER = 8
WAITING_PER_TENANT = 24
WAITING = 96


class Couriers:
    """Delivers what belongs to `topics`, whose subjects begin with the receiver and a space."""

    def __init__(self, topics: Collection[str], deliver: Callable[[Handed], object]) -> None:
        self.topics = frozenset(topics)
        self._deliver = deliver
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="courier")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[tuple[str, Lane], deque[Handed]] = OrderedDict()
        self._under_way: Counter[tuple[str, Lane]] = Counter()
        self._stopped = False

    def accept(self, handed: Handed) -> bool:
        """Take a claim over. False when there is no room for it: it has to be given back."""
        key = _receiver(handed.claim)
        with self._lock:
            if (
                self._stopped
                or self._is_full(key[0])
                or len(self._waiting.get(key, ())) >= WAITING_PER_RECEIVER
            ):
                return False
            self._waiting.setdefault(key, deque()).append(handed)
            self._start()
        return True

    def busy(self, tenant_id: str) -> list[Lane]:
        """What of a tenant should not be claimed at the moment."""
        with self._lock:
            if self._is_full(tenant_id):
                return [(topic, "") for topic in sorted(self.topics)]
            return [lane for tenant, lane in self._waiting if tenant == tenant_id]

    def stop(self) -> list[Handed]:
        """Finish what is under way. Gives what was not begun, which has to be given back."""
        with self._lock:
            self._stopped = True
            left = [handed for waiting in self._waiting.values() for handed in waiting]
            self._waiting.clear()
        self._pool.shutdown()
        return left

    def _is_full(self, tenant_id: str) -> bool:
        mine = sum(len(waiting) for (tenant, _), waiting in self._waiting.items() if tenant == tenant_id)
        return mine >= WAITING_PER_TENANT or sum(map(len, self._waiting.values())) >= WAITING

    def _start(self) -> None:
        """Begin whatever may begin, one of each receiver in turn. The lock is held."""
        for key in list(self._waiting):
            if self._under_way.total() >= THREADS:
                return
            tenant_id = key[0]
            of_tenant = sum(n for (tenant, _), n in self._under_way.items() if tenant == tenant_id)
            if self._under_way[key] >= PER_RECEIVER or of_tenant >= PER_TENANT:
                continue
            handed = self._waiting[key].popleft()
            self._waiting.move_to_end(key)
            if not self._waiting[key]:
                del self._waiting[key]
            self._under_way[key] += 1
            self._pool.submit(self._work, key, handed)

    def _work(self, key: tuple[str, Lane], handed: Handed) -> None:
        try:
            self._deliver(handed)
        finally:
            with self._lock:
                self._under_way[key] -= 1
                if not self._under_way[key]:
                    del self._under_way[key]
                if not self._stopped:
                    self._start()


def _receiver(claim: Claim) -> tuple[str, Lane]:
    return claim.tenant_id, (claim.topic, claim.subject.partition(" ")[0] + " ")
