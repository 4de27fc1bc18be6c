"""Attacks below HTTP's manners, on the real web servers: spoofed and doubled headers, bodies of two lengths, and what
the server writes down of all that."""

import contextlib
import ipaddress
import json
import re
import socket
from collections.abc import Iterator

import pytest
import requests

from tests.live import LiveServer, new_deployment
from tests.person import Page, Person
from tests.servers import PostgresServer, RedisServer, wait_until

PROXY, SPOOFED, PASSWORD = "198.51.100.1", "203.0.113.66", "canary horse battery staple"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module", params=["granian", "gunicorn"])
def server(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that believes this machine to be its proxy, and says all it can."""
    with contextlib.ExitStack() as stack:
        parts: dict[str, object] = {}
        if storage == "production":
            parts["redis"] = stack.enter_context(RedisServer())
            parts["postgres"] = request.getfixturevalue("postgres_server")
            assert isinstance(parts["postgres"], PostgresServer)
        believed = (ipaddress.ip_network("127.0.0.0/8"),)
        settings = stack.enter_context(
            new_deployment(
                storage,
                tmp_path_factory.mktemp("transport"),
                trusted_proxies=believed,
                log_level="DEBUG",
                **parts,  # type: ignore[arg-type]
            )
        )
        yield stack.enter_context(LiveServer(settings, server=request.param))


def _raw(server: LiveServer, message: str) -> str:
    """Send these very bytes; give what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=10) as connection:
        connection.sendall(message.encode("latin-1"))
        received = b""
        while block := connection.recv(65536):
            received += block
    return received.decode("latin-1")


def _ask(
    server: LiveServer, head: str = "", *, line: str = "GET /jwks", host: str = "", body: str = ""
) -> str:
    host = host or f"127.0.0.1:{server.settings.port}"
    return _raw(server, f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\r\n{body}")


def _status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


def _address_of(server: LiveServer, head: str) -> str:
    """Whom the server takes the sender of these headers for."""
    answer = _ask(server, head)
    found = re.search(r"(?i)x-request-id: (\S+)", answer)
    assert found, answer
    line = ""

    def is_logged() -> bool:
        nonlocal line
        line = next((entry for entry in server.log.splitlines() if f'"{found[1]}"' in entry), "")
        return bool(line)

    wait_until(is_logged, seconds=5, what="the access log")
    address: str = json.loads(line)["address"]
    return address


def test_an_address_before_the_proxys_own_is_not_believed(server: LiveServer) -> None:
    for head in (
        f"X-Forwarded-For: {SPOOFED}, {PROXY}\r\n",
        # Some proxies add a line of their own in place of extending the one there is.
        f"X-Forwarded-For: {SPOOFED}\r\nX-Forwarded-For: {PROXY}\r\n",
        f"Forwarded: for={SPOOFED}\r\nX-Real-IP: {SPOOFED}\r\nX-Forwarded-For: {PROXY}\r\n",
    ):
        assert _address_of(server, head) == PROXY


@pytest.mark.parametrize("server", ["gunicorn"], indirect=True)
def test_an_underscore_is_no_hyphen(server: LiveServer) -> None:
    """`X_Forwarded_For` passes some proxies untouched, and CGI's names cannot tell it from the proxy's own.

    granian folds both names into one before we see them, so there the proxy has to drop such names, as the shipped
    nginx does (`interop/test_behind_nginx.py`).
    """
    spoofed = f"X_Forwarded_For: {SPOOFED}\r\n"
    for head in (f"X-Forwarded-For: {PROXY}\r\n{spoofed}", f"{spoofed}X-Forwarded-For: {PROXY}\r\n"):
        assert _address_of(server, head) == PROXY


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 29\r\nContent-Length: 5\r\n",
        "Content-Length: 29\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +29\r\n",
        "Content-Length: 29, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ],
)
def test_a_body_has_one_length(server: LiveServer, head: str) -> None:
    """Whatever two servers could read in two ways is refused: no second request hides in a body."""
    hidden = f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{server.settings.port}\r\n\r\n"
    for body in ("grant_type=client_credentials", "0\r\n\r\n" + hidden):
        answer = _ask(server, FORM + head, line="POST /token", body=body)
        assert _status(answer) in (400, 411)
        assert answer.count("HTTP/1.1 ") == 1
        assert '"status":"ok"' not in answer


def test_a_host_is_named_once_and_is_ours(server: LiveServer) -> None:
    ours = f"127.0.0.1:{server.settings.port}"
    assert _status(_ask(server)) == 200
    for host in (
        "evil.example",
        f"{ours}@evil.example",
        f"{ours}.evil.example",
        f"{ours},evil.example",
        "[::1",
    ):
        assert _status(_ask(server, host=host)) == 400
    for more in (f"Host: {ours}\r\n", "Host: evil.example\r\n"):
        assert _status(_ask(server, more)) == 400
    assert _status(_ask(server, line="GET http://evil.example/account", host="evil.example")) == 400
    for line in ("GET //account", f"GET http://{ours}/account"):
        assert "evil.example" not in _ask(server, "X-Forwarded-Host: evil.example\r\n", line=line)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../wsgi.py",
        "/static/%2e%2e/wsgi.py",
        "/static/..%2f..%2fetc/passwd",
        "/static/%00",
        "/static//etc/passwd",
        "/static/\\..\\wsgi.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/metrics/..%2faccount",
        "/health/..%2faccount",
    ],
)
def test_no_path_leads_out_of_the_static_files(server: LiveServer, path: str) -> None:
    answer = _ask(server, line=f"GET {path}")
    assert _status(answer) in (400, 404)
    assert "root:" not in answer
    assert "import" not in answer


def test_what_was_forwarded_is_told_no_metrics(server: LiveServer) -> None:
    assert _status(_ask(server, line="GET /metrics")) == 200
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X_Forwarded_For"):
        if name.startswith("X_") and server.server == "gunicorn":
            continue  # it drops the header: then nobody says that it was forwarded
        assert _status(_ask(server, f"{name}: 127.0.0.1\r\n", line="GET /metrics")) == 403


def test_no_secret_of_a_page_is_written_down(server: LiveServer) -> None:
    """Links, codes, cookies, form tokens, passwords: all of it is in URLs and headers, none of it in a log."""
    server.apply(
        {
            "tenants": [
                {
                    "slug": "default",
                    "users": [{"username": "alice", "password": PASSWORD}],
                    "clients": [
                        {
                            "client_id": "canary",
                            "redirect_uris": ["http://127.0.0.1:9/cb"],
                            "token_endpoint_auth_method": "none",
                            "profile": "oauth2.1",
                            "scope": "openid",
                        }
                    ],
                }
            ]
        }
    )
    link = re.search(r"/first-admin/([\w-]+)", server.watchword("admin", "link"))
    assert link
    base = server.base_url
    page = requests.get(f"{base}/first-admin/{link[1]}", timeout=10)
    assert page.status_code == 200
    person = Person("alice", PASSWORD)
    query = "client_id=canary&redirect_uri=http://127.0.0.1:9/cb&response_type=code&scope=openid&state=s"
    challenge = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
    wait_until(
        lambda: (
            requests.get(f"{base}/authorize?client_id=canary", timeout=5, allow_redirects=False).status_code
            == 303
        ),
        seconds=5,
        what="the client",
    )
    url = f"{base}/authorize?{query}&code_challenge={challenge}&code_challenge_method=S256"
    target = person.walk(url, "http://127.0.0.1:9/cb")
    code = target.partition("code=")[2].partition("&")[0]
    verifier = "v" * 43
    form = {
        "grant_type": "authorization_code",
        "client_id": "canary",
        "code": code,
        "redirect_uri": "http://127.0.0.1:9/cb",
        "code_verifier": verifier,
    }
    tokens = requests.post(f"{base}/token", data=form, timeout=10).json()
    requests.post(f"{base}/token", data=form, timeout=10)
    _ask(server, f"Authorization: Bearer {tokens['access_token']}\r\n", line="GET /userinfo")
    _ask(server, "Content-Length: x\r\n", line=f"GET /first-admin/{link[1]}?code={code}")
    _ask(server, "bad header\r\n", line=f"GET /interaction/{code}")
    interactions = {url.rpartition("/")[2] for url in person.visited if "/interaction/" in url}
    secrets = {
        "password": {PASSWORD},
        "link": {link[1]},
        "code": {code},
        "verifier": {verifier},
        "tokens": {tokens["access_token"], tokens["id_token"], tokens["access_token"].rpartition(".")[2]},
        "cookies": {c.value or "" for c in person.session.cookies}
        | {(c.value or "").split(".")[1] for c in person.session.cookies if (c.value or "").count(".") == 2},
        "interactions": interactions,
        "form token": {Page(page.url, page.text).forms[0].fields["csrf_token"]},
    }
    wait_until(lambda: server.log.count('"endpoint":"token"') >= 2, seconds=5, what="the access log")
    said = server.log
    assert "code.replayed" in said
    for name, values in secrets.items():
        assert values, name
        for value in values:
            assert len(value) > 20
            assert value not in said, f"the {name} was written down"
