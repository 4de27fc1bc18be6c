"""A relying party's logout endpoints on loopback, as real as they come: it notes what it gets, and answers as told."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from tests.servers import free_port


@dataclass(frozen=True)
class Received:
    """One request."""

    at: float
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    """Names in lower case."""
    form: list[tuple[str, str]]

    @property
    def token(self) -> str:
        """The logout token, which is the only parameter (Back-Channel Logout section 2.5)."""
        ((name, value),) = self.form
        assert name == "logout_token"
        return value


Answer = tuple[int, dict[str, str]]


class Receiver:
    """Listens on one port for as long as it is entered; may be entered again, at the same address."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[Received] = []
        self.answer: Callable[[Received], Answer] = lambda _: (200, {})
        self.body = b"<!doctype html><title>out</title>"
        self._server: ThreadingHTTPServer | None = None

    def url(self, path: str = "/logout") -> str:
        """An address here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def got(self, path: str) -> list[Received]:
        """What came to one path."""
        return [one for one in self.received if one.path == path]

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            one = Received(
                at=time.monotonic(),
                method=self.command,
                path=parts.path,
                query=parse_qsl(parts.query, keep_blank_values=True),
                headers={name.lower(): value for name, value in self.headers.items()},
                form=parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body)),
            )
            receiver.received.append(one)
            status, headers = receiver.answer(one)
            text = b"" if status == 204 else receiver.body
            self.send_response(status)
            for name, value in {"Content-Type": "text/html", "Cache-Control": "no-store", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(text)

        do_GET = do_POST = _take  # noqa: N815 - http.server calls them so

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
