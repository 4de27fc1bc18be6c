"""Probes and the scrape: answered before anything else, by whatever name and address the caller knows.

`/health/live` says that this process answers; `/health/ready` that what it stands on does. `/metrics` is for this
machine and for the networks of `WATCHWORD_TRUSTED_PROXIES`, asked directly: a request that was forwarded comes from
elsewhere, whoever forwarded it.
"""

import ipaddress
import json
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from app.infra import heartbeat, metrics, migrations
from app.infra.outbox import Backlog
from app.kernel.errors import Unavailable
from app.kernel.settings import Network
from app.web.services import Services

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Any], Iterable[bytes]]

LIVE, READY, METRICS = "/health/live", "/health/ready", "/metrics"

_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
_METHODS = ("GET", "HEAD")
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"

log = logging.getLogger("watchword.health")


class Probes:
    """The WSGI application in front of the edge."""

    def __init__(self, inner: WsgiApp, services: Services) -> None:
        self._inner = inner
        self._services = services
        self._migrated = False
        self._is_near = lru_cache(maxsize=1024)(lambda peer: is_near(peer, services.settings.trusted_proxies))

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a probe; hand everything else on."""
        path = environ.get("PATH_INFO")
        if path not in (LIVE, READY, METRICS):
            return self._inner(environ, start_response)
        if environ.get("REQUEST_METHOD") not in _METHODS:
            return _answer(environ, start_response, "405 Method Not Allowed", _TEXT, b"")
        if path == LIVE:
            return _answer(environ, start_response, "200 OK", _JSON, b'{"status":"ok"}')
        if path == READY:
            return self._ready(environ, start_response)
        return self._metrics(environ, start_response)

    def failing(self) -> list[str]:
        """The names of what does not answer: `database`, `migrations`, `state`. Empty: ready."""
        checks = (
            ("database", self._services.tenancy.ping),
            ("migrations", self._check_migrations),
            ("state", self._services.state.check),
        )
        found = []
        for name, check in checks:
            try:
                check()
            except Unavailable as fault:
                log.warning("not ready: %s: %s", name, fault)
                found.append(name)
        return found

    def _check_migrations(self) -> None:
        if not self._migrated and not migrations.is_current(self._services.tenancy.engine):
            raise Unavailable("database.not_migrated", detail="run `watchword migrate`")
        self._migrated = True

    def _ready(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        failing = self.failing()
        status = "503 Service Unavailable" if failing else "200 OK"
        said = {"status": "unavailable" if failing else "ok", "failing": failing}
        return _answer(environ, start_response, status, _JSON, json.dumps(said).encode("ascii"))

    def _metrics(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if any(name in environ for name in _FORWARDED) or not self._is_near(environ.get("REMOTE_ADDR", "")):
            said = b"Metrics are told to this machine and to the networks of WATCHWORD_TRUSTED_PROXIES.\n"
            return _answer(environ, start_response, "403 Forbidden", _TEXT, said)
        body = metrics.exposition(*self._now())
        return _answer(environ, start_response, "200 OK", metrics.CONTENT_TYPE, body)

    def _now(self) -> tuple[Backlog | None, int | None]:
        try:
            self._check_migrations()
            return self._services.outbox.backlog(), heartbeat.age_seconds(self._services.state)
        except Unavailable as fault:
            # What was counted can still be told.
            log.warning("metrics without the outbox: %s", fault)
            return None, None


def is_near(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether a peer's address is this machine's or in a trusted network."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or any(mapped in network for network in trusted)


def _answer(
    environ: Environ, start_response: Any, status: str, content_type: str, body: bytes
) -> Iterable[bytes]:
    sent = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status.startswith("405"):
        sent.append(("Allow", ", ".join(_METHODS)))
    start_response(status, sent)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
