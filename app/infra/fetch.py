"""The one way to read a URL somebody else chose: `jwks_uri`, client metadata, logos (contracts 19).

The name is resolved once, every address is checked, and the connection goes to a checked address, so that a second
answer of the name's server changes nothing. No redirects, no cookies, no proxies, no compressed bodies; size and
total time are capped. TLS checks the certificate for the name, not the address.
"""

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Protocol
from urllib.parse import SplitResult

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from app.infra.addresses import Address, AllowList
from app.kernel import uris
from app.kernel.errors import Problem

DEFAULT_MAX_BYTES = 65_536
DEFAULT_TIMEOUT_SECONDS = 5.0
STRANGERS = 2
"""URLs read at a time, in a process, that somebody chose whom nobody knows: whoever has us ask servers that never
answer holds so many threads and no more."""
LOGOS = 2
"""The same of clients' logos, which pages do without: no more wait for one than this."""
_MAX_ADDRESSES = 4
_CHUNK_BYTES = 8192
_MAX_URL_CHARACTERS = 2048
_USER_AGENT = "watchword"

Resolve = Callable[[str, int], Sequence[str]]


class FetchFailed(Problem):
    """A fetch that was refused or did not work. `code` is one of `fetch.url`, `fetch.address`, `fetch.name`,
    `fetch.timeout`, `fetch.too_large`, `fetch.content_type`, `fetch.failed`, `fetch.busy`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, "The address could not be read.", detail=detail, status=502)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Gets(Protocol):
    """What reads documents."""

    def get(self, url: str, *, max_bytes: int, timeout_seconds: float, accept: str) -> Fetched:
        """As `Fetcher.get`."""
        ...


class Few:
    """Reads so many URLs at a time; another is refused at once (`fetch.busy`) and does not wait in a thread."""

    def __init__(self, fetcher: Gets, most: int) -> None:
        self._fetcher = fetcher
        self._places = threading.BoundedSemaphore(most)

    def get(self, url: str, *, max_bytes: int, timeout_seconds: float, accept: str) -> Fetched:
        """As `Fetcher.get`. Raises `FetchFailed`."""
        if not self._places.acquire(blocking=False):
            raise FetchFailed("fetch.busy", f"{url[:200]!a}: as many are being read as may be at a time")
        try:
            return self._fetcher.get(url, max_bytes=max_bytes, timeout_seconds=timeout_seconds, accept=accept)
        finally:
            self._places.release()


class Fetcher:
    """Reads URLs. `allow` names special-use networks and hosts that may be reached; only on loopback addresses it
    allows is plain http accepted."""

    def __init__(
        self, allow: Iterable[str] = (), *, tls: ssl.SSLContext | None = None, resolve: Resolve | None = None
    ) -> None:
        self._allow = AllowList(allow)
        self._tls = tls or ssl.create_default_context()
        self._resolve = resolve or _resolve
        self.for_strangers = Few(self, STRANGERS)
        """For what anybody may have us read while they wait: `request_uris` and `sector_identifier_uri`."""
        self.for_logos = Few(self, LOGOS)
        """For clients' logos, which anybody may ask for, signed in or not."""

    def get(
        self,
        url: str,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        accept: str = "application/json",
        content_types: Sequence[str] | None = None,
    ) -> Fetched:
        """The answer to a GET. A redirect is an answer like any other: it is not followed.

        With `content_types`, a 200 of another type is refused. Raises `FetchFailed`.
        """
        fetched = self._send(_Message("GET", accept=accept), url, max_bytes, timeout_seconds)
        _check_type(fetched, content_types)
        return fetched

    def post(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        accept: str = "application/json",
    ) -> Fetched:
        """The answer to a POST, whatever its status. `headers` go along, such as `Authorization`.

        May have arrived where this raises `FetchFailed`; it is sent to another address of the host only when the
        connection to the first could not be made.
        """
        message = _Message("POST", body, {**(headers or {}), "Content-Type": content_type}, accept)
        return self._send(message, url, max_bytes, timeout_seconds)

    def _send(self, message: "_Message", url: str, max_bytes: int, timeout_seconds: float) -> Fetched:
        deadline = _Deadline(timeout_seconds)
        parts, host, port = _checked(url)
        fault: Exception | None = None
        for address in self._addresses(parts.scheme, host, port, deadline)[:_MAX_ADDRESSES]:
            connection = self._connection(parts.scheme, host, port, address, deadline.remaining())
            try:
                connection.connect()
                return _exchange(connection, parts, message, max_bytes, deadline)
            except (HTTPError, HTTPException, OSError) as failed:
                fault = failed
                deadline.remaining()
                if message.body is not None and connection.sock is not None:
                    break
            finally:
                connection.close()
        raise FetchFailed("fetch.failed", f"{url}: {type(fault).__name__}: {fault}") from fault

    def _addresses(self, scheme: str, host: str, port: int, deadline: "_Deadline") -> list[Address]:
        found = [ipaddress.ip_address(text) for text in _in_time(self._resolve, host, port, deadline)]
        if not found:
            raise FetchFailed("fetch.name", f"{host} has no address")
        for address in found:
            # One forbidden address condemns the name: whoever mixes them in is trying.
            if not self._allow.permits(host, address):
                raise FetchFailed(
                    "fetch.address",
                    f"{host} is at {address}, which is not on the public internet; WATCHWORD_FETCH_ALLOW may allow it",
                )
            if scheme == "http" and not (address.is_loopback and self._allow.names(host, address)):
                raise FetchFailed("fetch.url", f"{host}: https is required")
        return found

    def _connection(
        self, scheme: str, host: str, port: int, address: Address, timeout_seconds: float
    ) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(str(address), port, timeout=timeout_seconds)
        # The name goes into SNI, and OpenSSL checks the certificate for it.
        return HTTPSConnection(
            str(address), port, timeout=timeout_seconds, ssl_context=self._tls, server_hostname=host
        )


@dataclass(frozen=True, slots=True)
class _Message:
    """What is asked, of whichever address answers."""

    method: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    accept: str = "*/*"


def _check_type(fetched: Fetched, wanted: Sequence[str] | None) -> None:
    sent = fetched.headers.get("content-type", "").partition(";")[0].strip().lower()
    if wanted is not None and fetched.status == 200 and sent not in wanted:
        raise FetchFailed("fetch.content_type", f"{sent[:80]!a} instead of {' or '.join(wanted)}")


class _Deadline:
    """A total time, over everything a fetch does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left. Raises `FetchFailed` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> FetchFailed:
        """What to raise when time is up."""
        return FetchFailed("fetch.timeout", f"not done within {self._seconds} s")

    @contextlib.contextmanager
    def enforced(self, peer: socket.socket) -> Iterator[None]:
        """Shut the connection down when time is up: a peer that sends a byte now and then never times out."""
        fired = threading.Event()

        def shut() -> None:
            fired.set()
            with contextlib.suppress(OSError):
                # Not the TLS socket's own method, which would take the TLS state away under the reader.
                socket.socket.shutdown(peer, socket.SHUT_RDWR)

        timer = threading.Timer(self.remaining(), shut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (HTTPError, HTTPException, OSError):
            if fired.is_set():
                raise self.passed() from None
            raise
        finally:
            timer.cancel()
        if fired.is_set():
            # What was read may look like a whole answer whose end is the end of the connection.
            raise self.passed()


def _checked(url: str) -> tuple[SplitResult, str, int]:
    """The parts, host and port of a URL that may be fetched at all."""
    parts = uris.split(url) if len(url) <= _MAX_URL_CHARACTERS else None
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        raise FetchFailed("fetch.url", f"{url[:200]!a} is not an https URL")
    return parts, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _in_time(resolve: Resolve, host: str, port: int, deadline: _Deadline) -> Sequence[str]:
    """The addresses of a host. The system's resolver has no time limit of its own, so it works in a thread."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(resolve(host, port))
        except (OSError, ValueError) as fault:
            answers.put(fault)

    threading.Thread(target=work, daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=deadline.remaining())
    except queue.Empty:
        raise deadline.passed() from None
    if isinstance(answer, Exception):
        raise FetchFailed("fetch.name", f"{host}: {answer}") from answer
    return answer


def _exchange(
    connection: HTTPConnection, parts: SplitResult, message: _Message, max_bytes: int, deadline: _Deadline
) -> Fetched:
    peer = connection.sock
    assert peer is not None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "Accept": message.accept,
        "Accept-Encoding": "identity",
        "User-Agent": _USER_AGENT,
        **message.headers,
    }
    with deadline.enforced(peer):
        connection.request(
            message.method,
            target,
            body=message.body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
        with contextlib.closing(connection.getresponse()) as response:
            return _read(response, max_bytes)


def _read(response: HTTPResponse, max_bytes: int) -> Fetched:
    received = {name.lower(): value for name, value in response.headers.items()}
    if received.get("content-encoding", "identity").lower() != "identity":
        raise FetchFailed("fetch.failed", "a compressed body, which was not asked for")
    body = bytearray()
    for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed("fetch.too_large", f"more than {max_bytes} bytes")
    return Fetched(response.status, received, bytes(body))
