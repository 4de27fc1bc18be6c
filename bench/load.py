"""A bounded load generator for loopback servers: raw HTTP/1.1 over kept connections, so that it costs little itself."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(slots=True)
class Sample:
    """What a run of requests showed."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        """The latency in seconds that `share` of the requests stayed under."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


def request(method: str, url: str, *, form: list[tuple[str, str]] | None = None, **headers: str) -> bytes:
    """The bytes of one request. Header names have `_` for `-`."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    body = urlencode(form).encode() if form is not None else b""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if form is not None:
        lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    """One kept connection."""

    def __init__(self, host: str, port: int, *, source: str = "") -> None:
        if host not in LOOPBACK:
            raise ValueError("only this machine is ever loaded")
        self._address = (host, port)
        self._source = (source, 0)
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Send one request; gives status, head and body of the answer."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=30, source_address=self._source)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            while len(body) < length:
                body += self._more()
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._more()
        if b"connection: close" in lower:
            self.close()
        return int(head.split(b" ", 2)[1]), head, body

    def _more(self) -> bytes:
        assert self._socket is not None
        chunk = self._socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        return chunk

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def run(
    url: str, requests: Callable[[int], Iterator[bytes]], *, connections: int, seconds: float = 120
) -> Sample:
    """Send what `requests(worker)` yields over `connections` at once, until it ends or `seconds` have passed."""
    parts = urlsplit(url)
    sample, lock = Sample(0.0), threading.Lock()
    started = time.perf_counter()

    def work(worker: int) -> None:
        connection = Connection(parts.hostname or "", parts.port or 80)
        latencies: list[float] = []
        statuses: dict[int, int] = {}
        for data in requests(worker):
            begun = time.perf_counter()
            if begun - started > seconds:
                break
            status, _, _ = connection.send(data)
            latencies.append(time.perf_counter() - begun)
            statuses[status] = statuses.get(status, 0) + 1
        connection.close()
        with lock:
            sample.latencies += latencies
            for status, count in statuses.items():
                sample.statuses[status] = sample.statuses.get(status, 0) + count

    threads = [threading.Thread(target=work, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sample.seconds = time.perf_counter() - started
    return sample
