"""The edge: what gets in, as whom, and what is refused before anybody looks at it (contracts 9)."""

import dataclasses
import io
import ipaddress
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse, create_environ

from app import create_app
from app.infra.page_slots import PageSlots
from app.kernel.errors import Unavailable
from app.kernel.settings import Settings
from app.protocols.oauth import errors
from app.protocols.oauth.reply import ok
from app.protocols.oauth.request import ProtocolRequest
from app.web.context import Locator, Proxies
from app.web.edge import Edge
from app.web.endpoints import EDGE, ENDPOINTS
from tests.conftest import Http, new_tenant
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

FORM = "application/x-www-form-urlencoded"
CC = {"grant_type": "client_credentials"}


def raw(side: TokenSide, body: bytes, *, path: str = "/token", **options: Any) -> TestResponse:
    """A POST of exactly these bytes, by a client that is known."""
    headers = {**side.client().basic, **options.pop("headers", {})}
    options.setdefault("content_type", FORM)
    return side.http.post(path, data=body, headers=headers, **options)


# Bodies


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_repeated_parameter_is_refused(side: TokenSide, path: str) -> None:
    """RFC 6749 section 3.2. Also when one of them is empty, or spelt with an escape."""
    for body in (b"token=a&token=b", b"scope=&scope=read", b"grant_type=x&grant%5Ftype=y"):
        refused(raw(side, body, path=path), "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        b"grant_type=%",
        b"grant_type=%g1",
        b"grant_type=%ff",
        b"grant_type=\xff",
        b"grant_type=%c0%80",
        b"grant_type=%ed%a0%80",
        b"grant_type=a%00b",
        b"grant_type=a%0d%0aSet-Cookie:%20x",
        b"a%0ab=c",
        b"grant_type=a\x00",
        b"&".join(b"p%d=1" % n for n in range(101)),
        b"&".join(b"resource=https://a.example/%d" % n for n in range(21)),
    ],
)
def test_bad_encoding_is_refused(side: TokenSide, body: bytes) -> None:
    answer = raw(side, body)
    refused(answer, "invalid_request")
    assert "Set-Cookie" not in answer.headers


def test_separators_without_a_parameter_between_are_nothing(side: TokenSide) -> None:
    assert raw(side, b"&&grant_type=client_credentials&&scope=read&").status_code == 200


def test_parameter_without_a_value_counts_as_absent(side: TokenSide) -> None:
    """RFC 6749 section 3.2."""
    assert raw(side, b"grant_type=client_credentials&scope=&resource=").status_code == 200


def test_plus_and_escapes_are_decoded_once(side: TokenSide) -> None:
    assert raw(side, b"grant_type=client%5fcredentials&scope=read+write").json["scope"] == "read write"
    refused(raw(side, b"grant_type=client%255fcredentials"), "unsupported_grant_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "multipart/form-data; boundary=x", "text/plain", "", FORM + "; charset=utf-16", "x"],
)
def test_other_content_types_are_refused(side: TokenSide, content_type: str) -> None:
    refused(raw(side, b"grant_type=client_credentials", content_type=content_type), "invalid_request")


@pytest.mark.parametrize(
    "content_type", [FORM, FORM.upper(), FORM + ";charset=UTF-8", FORM + '; charset="utf-8"', FORM + ";"]
)
def test_form_content_types_are_accepted(side: TokenSide, content_type: str) -> None:
    assert raw(side, b"grant_type=client_credentials", content_type=content_type).status_code == 200


def test_large_body_is_refused_unread(side: TokenSide) -> None:
    refused(raw(side, b"grant_type=" + b"x" * 65_536), "invalid_request", 413)
    assert raw(side, b"grant_type=client_credentials&x=" + b"x" * 60_000).status_code == 200


def _call(app: Any, **changes: Any) -> tuple[int, dict[str, str], bytes]:
    """The WSGI application, called as a server would, with what no test client can say."""
    environ = create_environ("/token", changes.pop("base_url", "http://localhost:8000"), method="POST")
    environ["CONTENT_TYPE"] = FORM
    environ["wsgi.input"] = io.BytesIO(changes.pop("body", b"grant_type=x"))
    environ["CONTENT_LENGTH"] = "12"
    environ.update(changes)
    for name in [name for name, value in environ.items() if value is None]:
        del environ[name]
    got: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        got["status"], got["headers"] = int(status[:3]), dict(headers)

    body = b"".join(app(environ, start))
    return got["status"], got["headers"], body


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": None}, 411),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, 411),
        ({"CONTENT_LENGTH": "-1"}, 400),
        ({"CONTENT_LENGTH": "1e3"}, 400),
        ({"CONTENT_LENGTH": "٣"}, 400),
        ({"CONTENT_LENGTH": "+12"}, 400),
        ({"CONTENT_LENGTH": "9" * 30}, 400),
        ({"CONTENT_LENGTH": "500"}, 400),
        ({"CONTENT_LENGTH": None}, 400),
        ({"CONTENT_LENGTH": ""}, 400),
        ({"CONTENT_LENGTH": "99999999"}, 413),
        ({"CONTENT_TYPE": None}, 400),
        ({"HTTP_AUTHORIZATION": "\xff\x00\r\n"}, 400),
        ({"HTTP_USER_AGENT": "x\x00\r\n" * 5000}, 400),
        ({"REQUEST_METHOD": "BREW\r\nX: y"}, 405),
        ({"REQUEST_METHOD": "post"}, 405),
        ({"HTTP_HOST": "evil.example"}, 400),
        ({"HTTP_HOST": "localhost:8000\r\nX: y"}, 400),
        ({"HTTP_HOST": "é"}, 400),
        ({"HTTP_HOST": None}, 400),
        ({"PATH_INFO": "/t/nobody/token"}, 404),
        ({"PATH_INFO": "/t//token"}, 404),
        ({"PATH_INFO": "/t/\x00\xff/token"}, 404),
        ({"PATH_INFO": "/t/default/token"}, 404),
        ({"REMOTE_ADDR": None}, 400),
        ({"REMOTE_ADDR": "unix:"}, 400),
    ],
)
def test_nothing_a_server_may_pass_on_makes_a_500(
    services: Any, default_app: Any, changes: dict[str, Any], status: int
) -> None:
    got, headers, body = _call(default_app.wsgi_app, **changes)
    assert got == status, body
    for name, value in headers.items():
        assert value.isprintable(), name
        assert value.isascii(), name


@pytest.fixture
def default_app(services: Any) -> Any:
    """The application, with its default tenant."""
    from app.domain import tenants
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.FIRST_START, write=True) as session:
        if tenants.find(session, "default") is None:
            tenants.create(session, slug="default", name="Default")
    services.versions.touch()
    return create_app(services.settings, services=services)


# Queries and methods


def test_parameters_in_the_url_are_refused_not_merged(side: TokenSide) -> None:
    """Authlib would let them override the body; URLs are logged."""
    client = side.client()
    for query in ("scope=write", "client_secret=x", "grant_type=password", "x"):
        answer = side.http.post("/token", query=query, form=CC, headers=client.basic)
        refused(answer, "invalid_request")


OURS_ALONE = [e for e in ENDPOINTS if e.answered_by == EDGE and not e.beside_pages]


@pytest.mark.parametrize("endpoint", OURS_ALONE, ids=lambda e: e.name)
def test_other_methods_are_405_and_told_which(side: TokenSide, endpoint: Any) -> None:
    """RFC 9110 section 15.5.6."""
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"}.difference(endpoint.methods):
        answer = side.http.request(method, endpoint.path)
        refused(answer, "invalid_request", 405)
        assert answer.headers["Allow"] == ", ".join(endpoint.methods)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks"])
def test_head_is_get_without_the_body(side: TokenSide, path: str) -> None:
    """RFC 9110 section 9.3.2."""
    get, head = side.http.get(path), side.http.request("HEAD", path)
    assert head.status_code == 200
    assert head.data == b""
    for name in ("Content-Length", "Content-Type", "ETag"):
        assert head.headers[name] == get.headers[name]


# Hosts and tenants


def test_host_header_cannot_be_made_up(side: TokenSide) -> None:
    """Else a link or an issuer of the attacker's choice."""
    client = Client(side.http.app.wsgi_app)
    for path in ("/jwks", f"{side.tenant.path}/.well-known/openid-configuration", "/"):
        answer = client.get(path, base_url="https://evil.example")
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"evil" not in answer.data


def test_forwarded_host_is_never_believed(side: TokenSide) -> None:
    answer = side.http.get("/.well-known/openid-configuration", headers={"X-Forwarded-Host": "evil.example"})
    assert answer.json["issuer"] == side.tenant.issuer


def test_host_is_compared_without_case_and_default_port(
    services: Any, request: pytest.FixtureRequest
) -> None:
    from app import wiring

    settings = dataclasses.replace(services.settings, base_url="https://id.example.com")
    slug = new_tenant(services).slug
    other = wiring.build(settings)
    request.addfinalizer(other.close)
    directory = other.tenants
    locator = Locator(directory, settings.base_url)
    for host in ("id.example.com", "ID.Example.COM", "id.example.com:443"):
        place = locator.locate(host, f"/t/{slug}/token")
        assert place is not None
        assert place.path == "/token"
    for host in ("id.example.com:80", "id.example.com.", "x.id.example.com", "id.example.com@evil", ""):
        assert locator.locate(host, f"/t/{slug}/token") is None


def test_tenant_with_a_host_of_its_own_is_only_there(services: Any) -> None:
    from app.domain import tenants
    from app.infra.tenancy import SystemReason

    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        tenants.create(session, slug="hosted", name="Hosted", host="login.hosted.example")
    services.versions.touch()
    client = Client(create_app(services.settings, services=services).wsgi_app)
    there = client.get("/.well-known/openid-configuration", base_url="http://login.hosted.example")
    assert there.json["issuer"] == "http://login.hosted.example"
    assert there.json["token_endpoint"] == "http://login.hosted.example/token"
    for path in ("/t/hosted/jwks", "/.well-known/openid-configuration/t/hosted"):
        assert client.get(path, base_url=services.settings.base_url).status_code == 404
        assert client.get(path, base_url="http://login.hosted.example").status_code == 404


def test_what_the_edge_does_not_answer_goes_on_with_its_tenant(side: TokenSide) -> None:
    """Flask sees the tenant's prefix as the place it is mounted at, and the address behind the proxy."""
    seen: dict[str, Any] = {}
    edge = _edge_over(side, seen, trusted=("10.0.0.0/8",))
    answer = Client(edge).get(
        f"{side.tenant.path}/sign-in",
        base_url=side.services.settings.base_url,
        environ_base={"REMOTE_ADDR": "10.1.1.1"},
        headers={
            "X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.2.2.2",
            "X-Forwarded-Proto": "http, https",
            "X-Forwarded-Host": "evil.example",
            "X-Request-Id": "abcdef0123456789",
        },
    )
    assert answer.status_code == 200
    assert seen["SCRIPT_NAME"] == side.tenant.path
    assert seen["PATH_INFO"] == "/sign-in"
    assert seen["watchword.tenant"].id == side.tenant.id
    assert seen["watchword.address"] == seen["REMOTE_ADDR"] == "192.0.2.7"
    assert seen["wsgi.url_scheme"] == "https"
    assert seen["watchword.request_id"] == answer.headers["X-Request-Id"] == "abcdef0123456789"
    assert not [name for name in seen if name.startswith("HTTP_X_FORWARDED")]


def test_strangers_are_not_believed_about_anything(side: TokenSide) -> None:
    seen: dict[str, Any] = {}
    answer = Client(_edge_over(side, seen)).get(
        f"{side.tenant.path}/sign-in",
        base_url=side.services.settings.base_url,
        environ_base={"REMOTE_ADDR": "203.0.113.9"},
        headers={
            "X-Forwarded-For": "1.1.1.1",
            "X-Forwarded-Proto": "https",
            "X-Request-Id": "abcdef0123456789",
        },
    )
    assert seen["watchword.address"] == "203.0.113.9"
    assert seen["wsgi.url_scheme"] == "http"
    assert answer.headers["X-Request-Id"] != "abcdef0123456789"


def test_probes_name_no_host(side: TokenSide) -> None:
    seen: dict[str, Any] = {}
    client = Client(_edge_over(side, seen))
    assert client.get("/health/live", base_url="http://10.0.0.5:8000").status_code == 200
    assert seen["watchword.tenant"] is None


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:5555", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::2", "2001:db8::2"),
        ("192.0.2.1, 10.9.9.9, 10.8.8.8", "192.0.2.1"),
        ("10.9.9.9", "10.9.9.9"),
        ("1.1.1.1, unknown", "10.0.0.1"),
        ("1.1.1.1, ", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        ("x" * 100_000, "10.0.0.1"),
    ],
)
def test_address_is_the_rightmost_nobody_vouches_for(forwarded: str, address: str) -> None:
    proxies = Proxies([ipaddress.ip_network("10.0.0.0/8")])
    assert proxies.address("10.0.0.1", forwarded) == address
    assert proxies.address("192.0.2.200", forwarded) == "192.0.2.200"


@pytest.mark.parametrize("given", ["short", "x" * 65, "abc\r\ndef-0123", "abcdef 0123", "äbcdefgh", ""])
def test_unfit_request_id_of_a_proxy_is_replaced(given: str) -> None:
    assert Proxies([ipaddress.ip_network("10.0.0.0/8")]).request_id("10.0.0.1", given) is None


def test_every_answer_carries_its_request_id_and_is_not_sniffed(side: TokenSide) -> None:
    answers = [
        side.http.get("/jwks"),
        side.http.get("/userinfo"),
        side.http.post("/token"),
        side.http.get("/x"),
    ]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# Failures


def _edge_over(
    side: TokenSide, seen: dict[str, Any], handler: Any = None, trusted: Iterable[str] = ()
) -> Edge:
    def inner(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.update(environ)
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"page"]

    settings: Settings = dataclasses.replace(
        side.services.settings, trusted_proxies=tuple(ipaddress.ip_network(n) for n in trusted)
    )
    return Edge(
        inner,
        settings=settings,
        locator=Locator(side.services.tenants, settings.base_url),
        handlers={e.name: handler for e in ENDPOINTS},
        slots=side.services.page_slots,
        observe=lambda *answered: seen.update(observed=answered),
    )


def _at(side: TokenSide, edge: Edge, path: str = "/token") -> TestResponse:
    return Client(edge).post(
        side.tenant.path + path, base_url=side.services.settings.base_url, data=b"a=b", content_type=FORM
    )


@pytest.mark.parametrize(
    "fault", [None, errors.INVALID_REQUEST(), ZeroDivisionError()], ids=["answered", "refused", "broken"]
)
def test_pages_keep_clear_while_it_is_answered(side: TokenSide, fault: Exception | None) -> None:
    """And no longer, however it ends."""
    slots = side.services.page_slots
    during = []

    def looking(request: ProtocolRequest) -> Any:
        during.append(len(slots._quick))
        if fault is not None:
            raise fault
        return ok({})

    _at(side, _edge_over(side, {}, looking))
    assert during == [1]
    assert slots._quick == []


def test_our_own_fault_is_a_500_with_a_reference_and_nothing_else(
    side: TokenSide, caplog: pytest.LogCaptureFixture
) -> None:
    """Contracts 27: logged under the id the answer names."""

    def broken(request: ProtocolRequest) -> Any:
        raise ZeroDivisionError("secret-detail")

    seen: dict[str, Any] = {}
    with caplog.at_level(logging.ERROR):
        answer = _at(side, _edge_over(side, seen, broken))
    assert answer.status_code == 500
    assert answer.json["error"] == "server_error"
    assert answer.headers["X-Request-Id"] in answer.json["error_description"]
    assert b"secret-detail" not in answer.data
    assert caplog.records[-1].request_id == answer.headers["X-Request-Id"]  # type: ignore[attr-defined]
    assert seen["observed"][:3] == ("token", "POST", 500)


def test_what_we_stand_on_failing_is_503_and_try_again(side: TokenSide) -> None:
    """Never "not revoked"."""

    def down(request: ProtocolRequest) -> Any:
        raise Unavailable("state.unavailable", retry_after_seconds=3)

    answer = _at(side, _edge_over(side, {}, down))
    assert answer.status_code == 503
    assert answer.json["error"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"] == "3"


def test_state_store_that_is_down_never_says_active(side: TokenSide) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("state.unavailable")

    token = side.client_token(client := side.client())["access_token"]
    services = dataclasses.replace(side.services, state=Down())
    broken = TokenSide(
        services, side.tenant, Http(create_app(services.settings, services=services), side.tenant)
    )
    for path in ("/introspect", "/token", "/revoke"):
        answer = broken.post(path, {**CC, "token": token}, client)
        assert answer.status_code == 503
        assert answer.json["error"] == "temporarily_unavailable"
    assert broken.userinfo(token).status_code == 503
    assert broken.http.get("/jwks").status_code == 200


def test_whoever_develops_is_told_the_right_address(side: TokenSide) -> None:
    """Under a name of this machine that is not the issuer's, such as 127.0.0.1 for localhost."""
    answer = side.http.get("/", headers={"Host": "127.0.0.1:1"})
    assert answer.status_code == 400
    told = "Its address is " in answer.text
    assert told == side.services.settings.is_loopback


def test_pages_that_find_no_room_do_not_keep_tokens_waiting(side: TokenSide) -> None:
    """All slots and all places to wait are taken: a page is put off, protocol and probes are answered."""
    slots, go_on = PageSlots(1, room=3, patience_seconds=30), threading.Event()
    services = dataclasses.replace(side.services, page_slots=slots)
    http = Http(create_app(services.settings, services=services), side.tenant)
    crowded, client = TokenSide(services, side.tenant, http), side.client()

    def page() -> None:
        with slots.held():
            go_on.wait(30)

    with ThreadPoolExecutor(3) as pool:
        pages = [pool.submit(page) for _ in range(3)]
        try:
            while slots._room:
                time.sleep(0.001)
            for _ in range(20):
                assert crowded.post("/token", CC, client).status_code == 200
            assert http.get("/jwks").status_code == 200
            assert http.get("/static/none").status_code == 404
            put_off = http.get("/account", headers={"Accept": "text/html,*/*"})
            program = http.get("/api/v1/me/profile")
        finally:
            go_on.set()
        for made in pages:
            made.result(30)
    for answer in (put_off, program):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Cache-Control"] == "no-store"
    assert put_off.content_type == "text/plain; charset=utf-8"
    assert program.json["error"] == "temporarily_unavailable"
    assert http.get("/account").status_code != 503
