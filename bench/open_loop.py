"""Generators that keep their pace whatever is answered. Each runs in a process of its own and tells its CPU time."""

import os
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.load import LOOPBACK

PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Told:
    """What was answered, and how long it took."""

    seconds: float = 0.0
    """How long requests were offered."""
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        """The milliseconds that `share` of the answers took no longer than."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


class _Visit:
    """One request on a connection of its own."""

    def __init__(self, host: str, port: int, source: str, data: bytes, mark: bytes) -> None:
        if host not in LOOPBACK:
            raise ValueError("only this machine is ever loaded")
        self.begun = time.perf_counter()
        self.left, self.received, self._mark = data, b"", mark
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        self.socket.connect_ex((host, port))

    def go_on(self) -> bool:
        """Send or receive what can be; whether it is over."""
        if self.left:
            self.left = self.left[self.socket.send(self.left) :]
            return False
        chunk = self.socket.recv(65536)
        self.received += chunk
        return not chunk

    @property
    def answer(self) -> str:
        """What became of it."""
        head = self.received.partition(b"\r\n\r\n")[0].lower()
        status = head[9:12].decode("ascii", "replace")
        if status == "303" or (status == "200" and self._mark in self.received):
            return "served"
        return "busy" if status == "503" and b"\r\nretry-after:" in head else status or "nothing"


def send(url: str, visits: list[tuple[str, bytes]], per_second: float, mark: bytes) -> Told:
    """Send each of the requests when it is due, from its address, however many are still unanswered. Served is what
    is answered with a redirect, or with 200 and `mark` in the body."""
    with _first_served():
        return _send(url, visits, per_second, mark)


@contextmanager
def _first_served() -> Iterator[None]:
    """A generator that waited for a core would count that as the server's time. It needs next to none of one."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _send(url: str, visits: list[tuple[str, bytes]], per_second: float, mark: bytes) -> Told:
    parts, told = urlsplit(url), Told()
    open_now, waiting = selectors.DefaultSelector(), list(reversed(visits))
    used, started = time.process_time(), time.perf_counter()
    told.seconds = len(visits) / per_second
    while waiting or (open_now.get_map() and time.perf_counter() < started + told.seconds + PATIENCE_SECONDS):
        due = started + (len(visits) - len(waiting)) / per_second
        if waiting and due <= time.perf_counter():
            source, data = waiting.pop()
            visit = _Visit(parts.hostname or "", parts.port or 80, source, data, mark)
            open_now.register(visit.socket, selectors.EVENT_WRITE, visit)
            continue
        for key, _ in open_now.select(max(0.0, due - time.perf_counter()) if waiting else 0.5):
            visit = key.data
            try:
                is_over = visit.go_on()
            except OSError:
                is_over = True
            if is_over:
                open_now.unregister(visit.socket)
                visit.socket.close()
                _note(told, visit)
            elif not visit.left and key.events == selectors.EVENT_WRITE:
                open_now.modify(visit.socket, selectors.EVENT_READ, visit)
    for key in list(open_now.get_map().values()):
        key.data.socket.close()
        _note(told, key.data)
    told.cpu_seconds = time.process_time() - used
    return told


def _note(told: Told, visit: _Visit) -> None:
    answer = visit.answer
    told.answers[answer] = told.answers.get(answer, 0) + 1
    if answer == "served":
        told.latencies.append(time.perf_counter() - visit.begun)
