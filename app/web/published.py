"""Discovery and keys again: what the edge answered once is answered with the same bytes, until anything changes.

These documents are asked for more often than all else, and an answer depends on nothing but host, path and what is
configured. The first request of each goes to the edge like any other. What it answered is then kept, headers and all,
while the configuration of every tenant is the one it was made under.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from app.kernel import ids
from app.kernel.errors import Unavailable
from app.web.context import Locator, Proxies
from app.web.edge import Environ, Observer, StartResponse, WsgiApp
from app.web.endpoints import BY_NAME

DOCUMENTS = {BY_NAME[name].path: name for name in ("openid_configuration", "oauth_metadata", "jwks")}
MAX_ANSWERS = 1024
"""Beyond that all are forgotten: there are no more hosts and tenants than that, or somebody plays with host names."""

_OF_THE_BODY = ("Content-Type", "Content-Length")
_WELL_KNOWN, _JWKS = "/.well-known/", "/jwks"


@dataclass(frozen=True, slots=True)
class _Answer:
    """A finished answer, and what it was made under."""

    version: object
    endpoint: str
    tenant: str
    etag: str
    headers: list[tuple[str, str]]
    """Without the request id."""
    headers_unchanged: list[tuple[str, str]]
    """The same for who has the body already."""
    body: list[bytes]


class Published:
    """The WSGI application in front of the edge. One per process."""

    def __init__(
        self,
        inner: WsgiApp,
        *,
        version: Callable[[], object],
        locator: Locator,
        proxies: Proxies,
        observe: Observer,
    ) -> None:
        """`version` gives another value as soon as any tenant's configuration changed, and raises `Unavailable`."""
        self._inner = inner
        self._version = version
        self._locator = locator
        self._proxies = proxies
        self._observe = observe
        self._answers: dict[tuple[str | None, str | None], _Answer] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what was answered before; hand everything else on."""
        answer = self._answers.get((environ.get("HTTP_HOST"), environ.get("PATH_INFO")))
        if environ.get("REQUEST_METHOD") != "GET":
            return self._inner(environ, start_response)
        if answer is None:
            path = environ.get("PATH_INFO") or "/"
            if not path.endswith(_JWKS) and _WELL_KNOWN not in path:
                return self._inner(environ, start_response)
            return self._first(environ, start_response)
        started = time.perf_counter()
        try:
            is_good = self._version() == answer.version
        except Unavailable:
            is_good = False
        asked = environ.get("HTTP_IF_NONE_MATCH")
        if not is_good or (asked is not None and asked != answer.etag):
            return self._first(environ, start_response)
        address, request_id = environ.get("REMOTE_ADDR") or "", None
        if "HTTP_X_FORWARDED_FOR" in environ or "HTTP_X_REQUEST_ID" in environ:
            peer = address
            address = self._proxies.address(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            request_id = self._proxies.request_id(peer, environ.get("HTTP_X_REQUEST_ID", ""))
        request_id = request_id or ids.new_request_id()
        if asked is None:
            status = 200
            start_response("200 OK", [*answer.headers, ("X-Request-Id", request_id)])
        else:
            status = 304
            start_response("304 Not Modified", [*answer.headers_unchanged, ("X-Request-Id", request_id)])
        seconds = time.perf_counter() - started
        self._observe(answer.endpoint, "GET", status, seconds, answer.tenant, request_id, address)
        return answer.body if asked is None else []

    def _first(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Have the edge answer, and keep that if it is a document."""
        host, path = environ.get("HTTP_HOST", ""), environ.get("PATH_INFO") or "/"
        try:
            # Read first: a change in between leaves an answer that is already outdated.
            version = self._version()
            place = self._locator.locate(host, path)
        except Unavailable:
            place = None
        endpoint = DOCUMENTS.get(place.path) if place is not None else None
        if place is None or endpoint is None:
            return self._inner(environ, start_response)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, sent: list[tuple[str, str]], *rest: Any) -> Any:
            started.append((status, sent))
            return start_response(status, sent, *rest)

        body = list(self._inner(environ, start))
        if started and started[0][0] == "200 OK":
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            kept = [header for header in started[0][1] if header[0] != "X-Request-Id"]
            etag = next((value for name, value in kept if name == "ETag"), "")
            unchanged = [header for header in kept if header[0] not in _OF_THE_BODY]
            answer = _Answer(version, endpoint, place.tenant.id, etag, kept, unchanged, [b"".join(body)])
            self._answers[environ.get("HTTP_HOST"), environ.get("PATH_INFO")] = answer
        return body
