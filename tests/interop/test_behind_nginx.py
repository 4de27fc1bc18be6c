"""Watchword behind the shipped nginx configuration, and with TLS of its own: what an https deployment does."""

import contextlib
import ipaddress
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.serving import SERVERS, ServerName
from tests.conftest import PRODUCTION
from tests.interop import deployment, scripts
from tests.interop.proxy import Authority, Nginx
from tests.live import LiveServer, new_deployment
from tests.person import Person
from tests.servers import PostgresServer, RedisServer, free_port, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority of this module's servers."""
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    return Authority(folder)


@contextlib.contextmanager
def https_server(
    request: pytest.FixtureRequest, storage: str, folder: Path, server: ServerName, **members: Any
) -> Iterator[LiveServer]:
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            servers = {"redis": stack.enter_context(RedisServer()), "postgres": postgres}
        settings = stack.enter_context(new_deployment(storage, folder, **servers, **members))
        yield stack.enter_context(LiveServer(settings, server=server))


@pytest.fixture(scope="module", params=SERVERS)
def proxied(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[LiveServer]:
    """A server that believes nginx, and nginx in front of it; requests go to nginx."""
    port, behind = free_port(), free_port()
    members = {"base_url": f"https://127.0.0.1:{port}", "port": behind, "trusted_proxies": LOOPBACK}
    folder = tmp_path_factory.mktemp("live")
    with Nginx(behind, authority, port=port), pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
        patch.setenv("NODE_EXTRA_CA_CERTS", str(authority.root))
        with https_server(request, storage, folder, request.param, **members) as server:
            server.apply(deployment.document())
            yield server


def test_discovery_and_cookies_are_those_of_an_https_site(proxied: LiveServer) -> None:
    metadata = proxied.get("/.well-known/openid-configuration").json()
    assert metadata["issuer"] == proxied.base_url
    assert all(
        url.startswith(proxied.base_url) for name, url in metadata.items() if name.endswith("_endpoint")
    )
    page = proxied.get("/sign-in")
    assert page.status_code == 200
    for cookie in page.raw.headers.getlist("Set-Cookie"):
        assert cookie.startswith("__Host-"), cookie
        assert "; Secure" in cookie, cookie


def test_a_client_signs_in_through_it(proxied: LiveServer) -> None:
    alice = Person(deployment.USERNAME, deployment.PASSWORD)
    found = scripts.run(
        "openid_client",
        alice,
        issuer=proxied.base_url,
        client_id=deployment.client_id("oauth2.1", "client_secret_basic"),
        client_secret=deployment.SECRET,
        redirect_uri=deployment.CALLBACK,
        post_logout_redirect_uri=deployment.SIGNED_OUT,
        scope="openid offline_access",
        pkce=True,
    )
    assert found["claims"]["iss"] == proxied.base_url
    assert found["refreshAfterRevocation"] == "invalid_grant"


def test_metrics_stay_inside(proxied: LiveServer) -> None:
    assert proxied.get("/metrics").status_code == 404


def test_the_plain_port_sends_people_to_https(authority: Authority) -> None:
    with Nginx(free_port(), authority, port=free_port()) as nginx:
        answer = requests.get(
            f"http://127.0.0.1:{nginx.plain_port}/account", timeout=5, allow_redirects=False
        )
        assert answer.status_code == 308
        assert answer.headers["Location"] == "https://127.0.0.1/account"


def test_a_client_cannot_choose_its_address(proxied: LiveServer) -> None:
    """A header the client wrote is replaced by nginx; without a trusted proxy it is not believed at all."""
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "Forwarded": "for=203.0.113.7"}
    data = {"grant_type": "authorization_code", "client_id": "nobody", "code": "x"}
    answer = proxied.post("/token", data=data, headers=forged)
    assert answer.status_code == 401
    assert "203.0.113.7" not in proxied.log
    assert '"address":"127.0.0.1"' in proxied.log


@pytest.mark.parametrize("server", SERVERS)
def test_tls_of_its_own(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path: Path,
    authority: Authority,
    server: ServerName,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
    port = free_port()
    members = {
        "base_url": f"https://127.0.0.1:{port}",
        "port": port,
        "tls_cert": authority.certificate,
        "tls_key": authority.key,
    }
    with https_server(request, storage, tmp_path, server, **members) as live:
        assert live.get("/.well-known/openid-configuration").json()["issuer"] == live.base_url
        assert live.get("/sign-in").status_code == 200
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/sign-in", timeout=5)
        _renew_without_a_stop(live, authority)


def _renew_without_a_stop(live: LiveServer, authority: Authority) -> None:
    """SIGHUP: new workers with the new certificate, one by one, and nobody is turned away meanwhile.

    A handshake that meets a worker on its way out is tried again, as browsers do.
    """
    address = (live.settings.host, live.settings.port)
    before = ssl.get_server_certificate(address)
    assert before == authority.certificate.read_text()
    authority.renew()
    os.kill(live.pid, signal.SIGHUP)

    def answers() -> bool:
        return live.get("/.well-known/openid-configuration").status_code == 200

    def renewed() -> bool:
        try:
            assert answers()
        except requests.exceptions.ConnectionError:
            assert answers()
        return ssl.get_server_certificate(address) == authority.certificate.read_text()

    wait_until(lambda: all(renewed() for _ in range(8)), seconds=40)


def test_the_proxy_drops_names_that_only_look_like_its_own(proxied: LiveServer, authority: Authority) -> None:
    """`X_Forwarded_For` would stand for `X-Forwarded-For` behind a proxy that lets it through."""
    context = ssl.create_default_context(cafile=str(authority.root))
    address = ("127.0.0.1", int(proxied.base_url.rpartition(":")[2]))
    host = proxied.base_url.removeprefix("https://")
    head = f"GET /jwks HTTP/1.1\r\nHost: {host}\r\nX_Forwarded_For: 203.0.113.9\r\nConnection: close\r\n\r\n"
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(head.encode())
        while connection.recv(65536):
            pass
    wait_until(lambda: '"endpoint":"jwks"' in proxied.log, seconds=5, what="the access log")
    assert "203.0.113.9" not in proxied.log


def test_slow_senders_hold_the_proxy_and_not_us(proxied: LiveServer, authority: Authority) -> None:
    """A request reaches a thread of ours when its body is there, however long its sender takes."""
    context = ssl.create_default_context(cafile=str(authority.root))
    address = ("127.0.0.1", int(proxied.base_url.rpartition(":")[2]))
    host = proxied.base_url.removeprefix("https://")
    head = f"POST /token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            plain = stack.enter_context(socket.create_connection(address, timeout=10))
            slow = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            slow.sendall(f"{head}Content-Length: 1000\r\n\r\ng".encode())
        assert proxied.get("/.well-known/openid-configuration", timeout=5).status_code == 200
        assert proxied.post("/token", data={"grant_type": "x", "client_id": "y"}).status_code in (400, 401)
