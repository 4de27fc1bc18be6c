"""Outbound fetches, against real servers that misbehave (contracts 19)."""

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.infra.fetch import Fetcher, FetchFailed

LOOPBACK = "127.0.0.0/8"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

Behaviour = Callable[[socket.socket, bytes], None]


class Server:
    """One listening socket; every connection's request is kept and answered by `behaviour`."""

    def __init__(
        self, behaviour: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._listener = socket.create_server((host, 0))
        self._behaviour, self._tls = behaviour, tls
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.handshakes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        self.handshakes += 1
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if self._tls is not None:
                connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
            request = connection.recv(65_536)
            self.requests.append(request)
            self._behaviour(connection, request)

    def close(self) -> None:
        self._listener.close()


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Server] = []

    def make(behaviour: Behaviour | bytes = OK, tls: ssl.SSLContext | None = None) -> Server:
        answer = behaviour if callable(behaviour) else (lambda connection, _: connection.sendall(behaviour))
        started.append(Server(answer, tls))
        return started[-1]

    yield make
    for server in started:
        server.close()


class Authority:
    """A certificate authority for this test run alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        root = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self.root = root.add_extension(usage, critical=True).sign(self._key, SHA256())

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.root.public_bytes(Encoding.PEM).decode())

    def server(self, *names: str, days: int = 1) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [
            x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            self._builder(subject, key, days)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, SHA256())
        )
        path = self._folder / f"{names[0]}{days}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def resolving(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda _host, _port: list(addresses)


def refusal(fetcher: Fetcher, url: str, **options: float) -> FetchFailed:
    with pytest.raises(FetchFailed) as refused:
        fetcher.get(url, **options)  # type: ignore[arg-type]
    return refused.value


@pytest.fixture
def local() -> Fetcher:
    return Fetcher([LOOPBACK])


def test_a_document_is_read(start: Start, local: Fetcher) -> None:
    server = start()
    fetched = local.get(f"http://127.0.0.1:{server.port}/a/b?c=%20d", accept="application/jwk-set+json")
    assert (fetched.status, fetched.body) == (200, b"{}")
    assert fetched.headers["content-type"] == "application/json"
    request = server.requests[0].decode().lower()
    assert request.startswith("get /a/b?c=%20d http/1.1\r\n")
    assert f"host: 127.0.0.1:{server.port}\r\n" in request
    assert "accept: application/jwk-set+json\r\n" in request
    assert "cookie" not in request
    assert "authorization" not in request


def test_tls_goes_to_the_checked_address_and_checks_the_name(start: Start, authority: Authority) -> None:
    server = start(OK, authority.server("keys.example"))
    fetcher = Fetcher([LOOPBACK], tls=authority.client(), resolve=resolving("127.0.0.1"))
    assert fetcher.get(f"https://keys.example:{server.port}/jwks").body == b"{}"
    assert f"host: keys.example:{server.port}\r\n" in server.requests[0].decode().lower()


def test_tls_to_an_address_literal(start: Start, authority: Authority) -> None:
    server = start(OK, authority.server("127.0.0.1"))
    assert Fetcher([LOOPBACK], tls=authority.client()).get(f"https://127.0.0.1:{server.port}/").body == b"{}"


def test_sni_names_the_host(start: Start, authority: Authority) -> None:
    names: list[str | None] = []
    tls = authority.server("keys.example")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    fetcher = Fetcher([LOOPBACK], tls=authority.client(), resolve=resolving("127.0.0.1"))
    fetcher.get(f"https://keys.example:{start(OK, tls).port}/")
    assert names == ["keys.example"]


@pytest.mark.parametrize(
    ("names", "days"), [(("other.example",), 1), (("127.0.0.1",), 1), (("keys.example",), -1)]
)
def test_a_certificate_for_another_name_or_time_is_refused(
    start: Start, authority: Authority, names: tuple[str, ...], days: int
) -> None:
    """A certificate for the address is not one for the name."""
    server = start(OK, authority.server(*names, days=days))
    fetcher = Fetcher([LOOPBACK], tls=authority.client(), resolve=resolving("127.0.0.1"))
    refused = refusal(fetcher, f"https://keys.example:{server.port}/")
    assert refused.code == "fetch.failed"
    assert "certificate verify failed" in refused.detail
    assert server.requests == []


def test_an_unknown_authority_is_refused(start: Start, authority: Authority) -> None:
    server = start(OK, authority.server("keys.example"))
    fetcher = Fetcher([LOOPBACK], resolve=resolving("127.0.0.1"))
    assert "certificate verify failed" in refusal(fetcher, f"https://keys.example:{server.port}/").detail


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
    ],
)
def test_this_machine_is_out_of_reach_however_it_is_spelled(start: Start, host: str) -> None:
    server = start()
    for scheme in ("http", "https"):
        assert refusal(Fetcher(), f"{scheme}://{host}:{server.port}/").code in ("fetch.address", "fetch.name")
    assert server.handshakes == 0


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "0.0.0.0"]
)
def test_names_that_lead_to_special_addresses_are_refused(address: str) -> None:
    refused = refusal(Fetcher([LOOPBACK], resolve=resolving(address)), "https://innocent.example/")
    assert refused.code == "fetch.address"
    assert "WATCHWORD_FETCH_ALLOW" in refused.detail
    assert address not in refused.public


def test_one_forbidden_address_among_good_ones_is_enough(start: Start) -> None:
    server = start()
    fetcher = Fetcher(resolve=resolving("93.184.216.34", "127.0.0.1"))
    assert refusal(fetcher, f"https://mixed.example:{server.port}/").code == "fetch.address"
    assert server.handshakes == 0


def test_dns_rebinding_finds_nothing_to_rebind(start: Start, authority: Authority) -> None:
    """The name is asked for once; the connection goes to what was checked."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    server = start(OK, authority.server("rebind.example"))
    fetcher = Fetcher(["127.0.0.1/32"], tls=authority.client(), resolve=resolve)
    assert fetcher.get(f"https://rebind.example:{server.port}/").body == b"{}"
    assert asked == ["rebind.example"]
    assert refusal(fetcher, f"https://rebind.example:{server.port}/").code == "fetch.address"
    assert len(server.requests) == 1


def test_a_host_may_be_allowed_by_name(start: Start) -> None:
    server = start()
    fetcher = Fetcher(["keys.internal"], resolve=resolving("127.0.0.1"))
    assert fetcher.get(f"http://keys.internal:{server.port}/").status == 200
    assert refusal(fetcher, f"http://other.internal:{server.port}/").code == "fetch.address"


def test_plain_http_is_for_allowed_loopback_alone() -> None:
    for address in ("93.184.216.34", "10.0.0.1"):
        fetcher = Fetcher(["10.0.0.0/8", LOOPBACK], resolve=resolving(address))
        assert refusal(fetcher, "http://plain.example/").code == "fetch.url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.example/jwks",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "https:///path",
        "https://user@keys.example/",
        "https://keys.example@127.0.0.1/",
        "https://keys.example\\@127.0.0.1/",
        "https://keys.example/a b",
        "https://keys.example/\r\nHost: other",
        "https://keys.example:99999/",
        "https://kéys.example/",
        "https://keys.example/" + "a" * 3000,
    ],
)
def test_odd_urls_are_refused_unasked(url: str) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise AssertionError("asked")

    assert refusal(Fetcher([LOOPBACK], resolve=resolve), url).code == "fetch.url"


def test_redirects_are_not_followed(start: Start, local: Fetcher) -> None:
    target = start()
    location = f"http://127.0.0.1:{target.port}/".encode()
    for status in (b"301", b"302", b"307", b"308"):
        head = b"HTTP/1.1 " + status + b" Moved\r\nLocation: " + location
        server = start(head + b"\r\nContent-Length: 0\r\n\r\n")
        fetched = local.get(f"http://127.0.0.1:{server.port}/")
        assert (fetched.status, fetched.headers["location"]) == (int(status), location.decode())
    assert target.handshakes == 0


def test_proxies_of_the_environment_are_not_used(
    start: Start, local: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = start(), start()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
    assert local.get(f"http://127.0.0.1:{server.port}/").status == 200
    assert proxy.handshakes == 0


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def endless(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"x" * 4096)


def chunked(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def lying(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 100_000)


@pytest.mark.parametrize("behaviour", [endless, chunked, lying])
def test_too_large_an_answer_is_cut(start: Start, local: Fetcher, behaviour: Behaviour) -> None:
    server = start(behaviour)
    assert refusal(local, f"http://127.0.0.1:{server.port}/", max_bytes=10_000).code == "fetch.too_large"


def test_an_answer_of_just_the_limit_is_read(start: Start, local: Fetcher) -> None:
    server = start(HEAD + b"Content-Length: 10000\r\n\r\n" + b"x" * 10_000)
    url = f"http://127.0.0.1:{server.port}/"
    assert len(local.get(url, max_bytes=10_000).body) == 10_000
    assert refusal(local, url, max_bytes=9_999).code == "fetch.too_large"


def test_a_compressed_answer_is_refused(start: Start, local: Fetcher) -> None:
    """We asked for identity; a small bomb would get past the cap otherwise."""
    server = start(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    assert refusal(local, f"http://127.0.0.1:{server.port}/").code == "fetch.failed"
    assert b"accept-encoding: identity" in server.requests[0].lower()


def silent(_connection: socket.socket, _request: bytes) -> None:
    time.sleep(5)


def drips_headers(connection: socket.socket, _request: bytes) -> None:
    for byte in HEAD * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def drips_body(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
    for _ in range(5000):
        connection.sendall(b"x")
        time.sleep(0.02)


def drips_without_length(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(HEAD + b"\r\n")
    for _ in range(5000):
        connection.sendall(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("behaviour", [silent, drips_headers, drips_body, drips_without_length])
@pytest.mark.parametrize("tls", [False, True])
def test_slow_peers_run_out_of_time(
    start: Start, authority: Authority, behaviour: Behaviour, tls: bool
) -> None:
    """Total time counts: each byte of a slow-loris is in time by itself."""
    server = start(behaviour, authority.server("127.0.0.1") if tls else None)
    fetcher = Fetcher([LOOPBACK], tls=authority.client())
    begun = time.monotonic()
    refused = refusal(fetcher, f"http{'s' * tls}://127.0.0.1:{server.port}/", timeout_seconds=0.3)
    assert refused.code == "fetch.timeout"
    assert time.monotonic() - begun < 2


def test_a_peer_that_never_finishes_the_handshake_runs_out_of_time(
    start: Start, authority: Authority
) -> None:
    server = start(silent)
    begun = time.monotonic()
    fetcher = Fetcher([LOOPBACK], tls=authority.client())
    assert refusal(fetcher, f"https://127.0.0.1:{server.port}/", timeout_seconds=0.3).code == "fetch.timeout"
    assert time.monotonic() - begun < 2


def test_a_name_server_that_does_not_answer_runs_out_of_time() -> None:
    release = threading.Event()

    def resolve(_host: str, _port: int) -> list[str]:
        release.wait(5)
        return []

    begun = time.monotonic()
    fetcher = Fetcher([LOOPBACK], resolve=resolve)
    assert refusal(fetcher, "https://slow.example/", timeout_seconds=0.2).code == "fetch.timeout"
    assert time.monotonic() - begun < 2
    release.set()


def test_a_name_without_address_is_told() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    for resolve in (unknown, resolving()):
        assert refusal(Fetcher([LOOPBACK], resolve=resolve), "https://nowhere.example/").code == "fetch.name"


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", HEAD + b"Content-Length: 10\r\n\r\nshort", HEAD * 200]
)
def test_broken_answers_are_failures(start: Start, local: Fetcher, answer: bytes) -> None:
    server = start(answer)
    refused = refusal(local, f"http://127.0.0.1:{server.port}/")
    assert refused.code == "fetch.failed"
    assert str(server.port) not in refused.public


def test_another_address_is_tried_when_one_does_not_answer(start: Start) -> None:
    server = start()
    fetcher = Fetcher([LOOPBACK], resolve=resolving("127.0.0.3", "127.0.0.1"))
    assert fetcher.get(f"http://two.example:{server.port}/").status == 200


def test_a_closed_port_is_a_failure(local: Fetcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Nobody else's now, and nobody listens.
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert refusal(local, url, timeout_seconds=1).code in ("fetch.failed", "fetch.timeout")


def test_the_type_of_content_may_be_demanded(start: Start, local: Fetcher) -> None:
    url = f"http://127.0.0.1:{start(OK.replace(b'json', b'JSON; charset=utf-8')).port}/"
    assert local.get(url, content_types=["application/json"]).body == b"{}"
    with pytest.raises(FetchFailed) as refused:
        local.get(url, content_types=["application/jwk-set+json"])
    assert refused.value.code == "fetch.content_type"
    missing = start(OK.replace(b"200 OK", b"404 No"))
    assert local.get(f"http://127.0.0.1:{missing.port}/", content_types=["text/plain"]).status == 404


def test_no_thread_outlives_a_fetch(start: Start, local: Fetcher) -> None:
    server = start()
    local.get(f"http://127.0.0.1:{server.port}/", timeout_seconds=30)
    alive = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for thread in alive:
        thread.join(1)
    assert not any(thread.is_alive() for thread in alive)
