"""Where the plans of the certification programme meet the server: the application itself, or nginx as shipped.

Through nginx every request is a TLS connection of its own, with TLS 1.3 and 1.2 in turn, and with a client certificate
where the test shows one. Behind nginx is the application of this process, so that a test can let time pass; granian and
gunicorn in processes of their own are behind the same configuration in `tests/interop`.
"""

import contextlib
import dataclasses
import http.client
import ipaddress
import itertools
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from app.kernel.settings import Settings
from app.web.services import Services
from tests.interop.proxy import Authority as Site
from tests.interop.proxy import MtlsNginx
from tests.protocol.certified import Authority, Certified
from tests.servers import free_port

if TYPE_CHECKING:
    from tests.conftest import Http

Environ = dict[str, Any]
DIRECT, NGINX = "direct", "nginx"
ORIGIN = "https://op.example.org"
PROXY_SECRET = "a-secret-of-this-deployment-for-its-proxy"
CERTIFICATE = "tests.client_certificate"
"""The key of the environment under which a test shows a certificate."""
RELYING_PARTIES = ("127.0.0.1/32",)
"""Where the hosts of relying parties are in these tests: keys, request objects and pictures are fetched from there."""
VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive"})


@dataclass(frozen=True)
class Front:
    """One way in, and what is behind it."""

    name: str
    services: Services
    app: Flask
    clients: Authority
    """Issues the certificates of clients."""
    wire: "Wire | None" = None

    @property
    def origin(self) -> str:
        """Scheme and authority of every issuer here."""
        return self.services.settings.base_url

    def http(self, tenant: Any) -> "Http":
        """A client with a cookie jar of its own."""
        from tests.conftest import Http

        found = Http(self.app, tenant)
        if self.wire is not None:
            found.client.application = self.wire
        return found

    @property
    def wsgi_app(self) -> Any:
        """What requests are put into: the application, or the way through nginx."""
        return self.wire or self.app.wsgi_app


class Wire:
    """A WSGI application that sends every request to nginx and gives back what comes."""

    def __init__(self, port: int, mtls_port: int, site: Site, folder: Path) -> None:
        self.port, self.mtls_port, self.site = port, mtls_port, site
        self._folder = folder
        self._versions = itertools.cycle(VERSIONS)
        self._shown: dict[bytes, tuple[str, str]] = {}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        certificate: Certified | None = environ.get(CERTIFICATE)
        port = self.mtls_port if certificate else self.port
        with contextlib.closing(self._connect(port, certificate, environ)) as connection:
            connection.putrequest(
                environ["REQUEST_METHOD"], _target(environ), skip_host=True, skip_accept_encoding=True
            )
            for name, value in _headers(environ, f"127.0.0.1:{port}"):
                connection.putheader(name, value)
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP_BY_HOP]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [content]

    def _connect(
        self, port: int, certificate: Certified | None, environ: Environ
    ) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.site.root))
        context.minimum_version = context.maximum_version = next(self._versions)
        if certificate is not None:
            if certificate.der not in self._shown:
                self._shown[certificate.der] = certificate.write(self._folder, f"client{len(self._shown)}")
            context.load_cert_chain(*self._shown[certificate.der])
        return http.client.HTTPSConnection(
            "127.0.0.1", port, context=context, timeout=30, source_address=(_source(environ), 0)
        )


def _target(environ: Environ) -> str:
    query = environ.get("QUERY_STRING", "")
    return str(environ["REQUEST_URI"] or "/").partition("?")[0] + (f"?{query}" if query else "")


def _headers(environ: Environ, host: str) -> Iterator[tuple[str, str]]:
    yield "Host", host
    for name, value in environ.items():
        if name.startswith("HTTP_") and name != "HTTP_HOST":
            yield name[5:].replace("_", "-"), value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            yield name.replace("_", "-"), environ[name]


def _source(environ: Environ) -> str:
    """Everybody comes from an address of this machine, and different ones from different ones; nginx's is its own."""
    given = environ.get("REMOTE_ADDR") or "127.0.0.1"
    if ipaddress.ip_address(given).is_loopback:
        return "127.0.0.2"
    return "127." + given.partition(".")[2]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """nginx and the application have logs of their own."""


@contextlib.contextmanager
def direct(deployment: Settings) -> Iterator[Front]:
    """The application at an https issuer, called in this process."""
    from app import create_app, wiring

    settings = dataclasses.replace(deployment, base_url=ORIGIN, fetch_allow=RELYING_PARTIES)
    services = wiring.build(settings)
    yield Front(DIRECT, services, create_app(settings, services=services), Authority())
    services.close()


@contextlib.contextmanager
def through_nginx(deployment: Settings, folder: Path) -> Iterator[Front]:
    """The same behind nginx as shipped, which asks for client certificates at a second port."""
    from app import create_app, wiring

    folder.chmod(0o755)
    site, clients = Site(folder), Authority()
    bundle = folder / "clients.pem"
    bundle.write_text(clients.root.pem)
    port, mtls_port, behind = free_port(), free_port(), free_port()
    settings = dataclasses.replace(
        deployment,
        base_url=f"https://127.0.0.1:{port}",
        trusted_proxies=(ipaddress.ip_network("127.0.0.1/32"),),
        mtls_url=f"https://127.0.0.1:{mtls_port}",
        mtls_proxy_secret=PROXY_SECRET,
        fetch_allow=RELYING_PARTIES,
    )
    services = wiring.build(settings)
    app = create_app(settings, services=services)
    server = make_server("127.0.0.1", behind, app, threaded=True, request_handler=_Quiet)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    nginx = MtlsNginx(behind, site, bundle, port=port, mtls_port=mtls_port, secret=PROXY_SECRET)
    try:
        with nginx:
            yield Front(NGINX, services, app, clients, Wire(port, mtls_port, site, folder))
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
        services.close()
