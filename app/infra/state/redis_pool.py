"""Connections to Redis that are trusted only after the other end was recognised.

Redis may forget what it was told, by a crash between two writes of its log, an old snapshot or a failover, and it
does not say so. But it can do none of these without dropping its connections or refusing a write. So every
connection, before it carries anything else, asks who is at the other end (`run_id`, role, replication history). When
that is not who we knew, or when a connection was lost since, the guard (`StateStore.guard`) runs on it first. A
replica is never used: every command we send counts as a write, so a server that becomes one refuses them.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from redis.connection import Connection, parse_url
from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.infra.state import Op, Outcome, Replay, wire
from app.kernel.errors import Unavailable

_STALE_AFTER_SECONDS = 1.0


class Link(Protocol):
    """What is used of redis-py's connections."""

    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def send_packed_command(self, command: list[bytes], check_health: bool = ...) -> None: ...
    def read_response(self) -> Any: ...
    def can_read(self, timeout: float = ...) -> bool: ...


class Pool:
    """Idle connections of this process, most recently used first."""

    replay: Replay | None = None

    def __init__(self, url: str, *, size: int, timeout_seconds: float) -> None:
        parsed: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        self._class: type[Any] = parsed.pop("connection_class", Connection)
        self._arguments = {
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": min(timeout_seconds, 1.0),
            "protocol": 2,
            "driver_info": None,
            **parsed,
        }
        self._timeout_seconds = timeout_seconds
        self._size = size
        self._start_process()

    def _start_process(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[tuple[Link, float]] = deque()
        self._known_server: tuple[str, str] | None = None
        self._reconciling = threading.Lock()

    def take(self, repeatable: bool) -> Link:
        """A connection that may be used. What cannot be repeated is not entrusted to one the server may have closed."""
        if self._pid != os.getpid():
            self._start_process()
        while True:
            try:
                link, used_at = self._idle.pop()
            except IndexError:
                return self.connect()
            if repeatable or time.monotonic() - used_at < _STALE_AFTER_SECONDS or not _is_stale(link):
                return link
            self._forget(link)

    def give_back(self, link: Link) -> None:
        """Keep a connection that did its work."""
        if len(self._idle) < self._size:
            self._idle.append((link, time.monotonic()))
        else:
            link.disconnect()

    def broken(self, link: Link, fault: RedisError) -> Unavailable:
        """Drop a connection that failed; the error to raise."""
        self._forget(link)
        return unavailable(fault)

    def _forget(self, link: Link) -> None:
        """After a failure nothing is known of the server any more, nor of the connections beside this one."""
        link.disconnect()
        self._known_server = None
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[0].disconnect()

    def connect(self) -> Link:
        """A new connection to a recognised master. Raises `Unavailable`."""
        link: Link = self._class(**self._arguments)
        try:
            link.connect()
            self._recognise(link)
        except RedisError as fault:
            link.disconnect()
            raise unavailable(fault) from fault
        except BaseException:
            link.disconnect()
            raise
        return link

    def _recognise(self, link: Link) -> None:
        """Make sure the other end is a master that remembers. Raises `Unavailable` while that is not certain."""
        (info,) = pipeline(link, [wire.pack(b"INFO", b"server", b"replication")])
        if isinstance(info, ResponseError):
            raise info
        facts = facts_of(info)
        if facts["role"] != "master":
            raise Unavailable("state.not_master", detail="Redis is a replica; its data may be stale")
        server = (facts["run_id"], facts["master_replid"])
        if self._known_server == server:
            return
        if not self._reconciling.acquire(timeout=self._timeout_seconds):
            raise Unavailable("state.reconciling", detail="revocations are being written to Redis again")
        try:
            if self._known_server != server and self.replay is not None:
                self.replay(lambda *operations: run(link, operations))
            self._known_server = server
        finally:
            self._reconciling.release()


def run(link: Link, operations: Sequence[Op]) -> Outcome:
    """Carry out a batch on one connection, in one trip unless the server does not know the script yet."""
    link.send_packed_command([wire.encode(operations)], check_health=False)
    try:
        answer = link.read_response()
    except NoScriptError:
        link.send_packed_command([wire.encode(operations, whole_script=True)], check_health=False)
        answer = link.read_response()
    return wire.decode(operations, answer)


def pipeline(link: Link, packed: list[bytes]) -> list[Any]:
    """The answers to several commands in one trip; an error that concerns one command is in its place."""
    link.send_packed_command(packed, check_health=False)
    answers: list[Any] = []
    for _ in packed:
        try:
            answers.append(link.read_response())
        except ResponseError as fault:
            answers.append(fault)
    return answers


def facts_of(info: bytes) -> dict[str, str]:
    """What `INFO` said."""
    return {
        n: value for n, colon, value in (line.partition(":") for line in info.decode().splitlines()) if colon
    }


def unavailable(fault: RedisError) -> Unavailable:
    """The error every failure of Redis becomes."""
    return Unavailable("state.unavailable", detail=f"Redis: {fault}")


def _is_stale(link: Link) -> bool:
    """Whether the server closed an idle connection, or sent what nobody asked for."""
    try:
        return link.can_read(timeout=0)
    except RedisError:
        return True
