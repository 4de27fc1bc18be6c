"""The figures both web servers share. Each worker is one process on about one core."""

import gc
import os
import sys

CONNECTIONS = 16
"""Connections to each store that a worker keeps; as many more may be opened. Who waits for a turn needs none."""

THREADS = 48
"""Requests a worker has in hand at once. Most of them may wait: for a turn, for a hash, for storage."""

PAGES_AT_ONCE = 2
"""Pages that are made at a time, all of which want the interpreter."""

SIGN_IN_THREADS = 12
"""So many threads at most belong to people who sign in, who wait for a hash or for the time a refusal takes."""

PAGE_THREADS = THREADS - SIGN_IN_THREADS - 4
"""So many at most belong to pages, made or waiting. The rest is always there for everything that is over in a
millisecond, even when as many sign in by way of the protocol."""

SWITCH_SECONDS = 0.0002
"""How long a thread that computes keeps the interpreter from the others. A request for a token needs it several times;
behind some pages that are being made, the five milliseconds that Python has by itself add up."""

GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""When to look for garbage that refers to itself: a page makes thousands of objects, and next to none of them does."""

WAITING_PER_THREAD = 3
"""Accepted requests per thread before granian lets further ones wait in the listening socket."""

BACKLOG = 1024
"""Connections the kernel holds for us."""

HEADER_SECONDS = 15
"""The time a client has to send its headers: slow senders hold no thread."""

KEEP_ALIVE_SECONDS = 75
"""An idle connection is kept this long: longer than the proxy in front keeps it, so that only the proxy closes."""

GRACEFUL_SECONDS = 20
"""After SIGTERM, requests under way have this long to finish."""

REQUEST_LINE_BYTES = 8190
"""The longest request line, as nginx has it by default."""


def tune_interpreter() -> None:
    """What a process that answers requests wants of Python."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def hashing_at_once(workers: int) -> int:
    """Passwords hashed at once in a process, each of which fills a core: as many as it has cores to itself. `workers`
    is how many processes there are; 0: one per core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (workers or cores))
