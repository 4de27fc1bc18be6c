"""Anything at all sent to the protocol endpoints: never a 500, never a header made of it, never anything but JSON."""

import io
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.web.endpoints import EDGE, ENDPOINTS
from tests.protocol.parties import Party
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

NAMES = st.sampled_from(
    """grant_type code redirect_uri code_verifier refresh_token scope resource audience client_id client_secret
    client_assertion client_assertion_type token token_type_hint access_token state""".split()
)
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["authorization_code", "refresh_token", "client_credentials", "openid", "a.b.c", "0" * 36 + ".0.x"]
    ),
)
HEADER = st.text(st.characters(max_codepoint=255), max_size=80)
POSTS = st.sampled_from([e.path for e in ENDPOINTS if e.answered_by == EDGE and "POST" in e.methods])
ANY = st.sampled_from([e.path for e in ENDPOINTS if e.answered_by == EDGE])

quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def call(side: TokenSide, **environ: Any) -> tuple[int, list[tuple[str, str]], bytes]:
    got: list[Any] = []
    body = environ.pop("body", b"")
    full = {
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "localhost:8000",
        "REMOTE_ADDR": "192.0.2.50",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    full["PATH_INFO"] = side.tenant.path + full["PATH_INFO"]
    answer = b"".join(side.http.app.wsgi_app(full, lambda status, headers, *_: got.append((status, headers))))
    (status, headers) = got[0]
    assert len(got) == 1
    return int(status[:3]), headers, answer


def sound(status: int, headers: list[tuple[str, str]]) -> None:
    assert status < 500, status
    for name, value in headers:
        assert value.isascii(), name
        assert value.isprintable(), name
    names = [name.lower() for name, _ in headers]
    assert "set-cookie" not in names
    assert "location" not in names


@quick
@given(POSTS, st.lists(st.tuples(NAMES, VALUES), max_size=8), st.one_of(st.none(), HEADER))
def test_parameters(
    side: TokenSide, path: str, form: list[tuple[str, str]], authorization: str | None
) -> None:
    body = urlencode(form, errors="surrogatepass").encode()
    extra = {} if authorization is None else {"HTTP_AUTHORIZATION": authorization}
    status, headers, answer = call(side, REQUEST_METHOD="POST", PATH_INFO=path, body=body, **extra)
    sound(status, headers)
    assert not answer or dict(headers)["Content-Type"] == "application/json"


@quick
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_parameters_of_a_client_that_is_known(side: TokenSide, form: list[tuple[str, str]]) -> None:
    party = _known.get(side.tenant.id) or _known.setdefault(side.tenant.id, side.client())
    form = [(name, value) for name, value in form if not name.startswith("client_")]
    body = urlencode(form, errors="surrogatepass").encode()
    for path in ("/token", "/revoke", "/introspect"):
        extra = {"HTTP_AUTHORIZATION": party.basic["Authorization"]}
        status, headers, _ = call(side, REQUEST_METHOD="POST", PATH_INFO=path, body=body, **extra)
        sound(status, headers)
        assert status in (200, 400)


_known: dict[str, Party] = {}
"""One client for the whole run: making one takes longer than a request."""


@quick
@given(POSTS, st.binary(max_size=300))
def test_bytes(side: TokenSide, path: str, body: bytes) -> None:
    status, headers, _ = call(side, REQUEST_METHOD="POST", PATH_INFO=path, body=body)
    sound(status, headers)


SAID = """HTTP_AUTHORIZATION HTTP_USER_AGENT HTTP_IF_NONE_MATCH HTTP_ORIGIN HTTP_X_FORWARDED_FOR HTTP_X_REQUEST_ID
HTTP_TRANSFER_ENCODING CONTENT_TYPE CONTENT_LENGTH QUERY_STRING HTTP_HOST REMOTE_ADDR HTTP_ACCEPT HTTP_DPOP""".split()
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "x"])


@quick
@given(ANY, METHODS, st.dictionaries(st.sampled_from(SAID), HEADER))
def test_headers(side: TokenSide, path: str, method: str, said: dict[str, str]) -> None:
    status, headers, _ = call(side, REQUEST_METHOD=method, PATH_INFO=path, **said)
    sound(status, headers)
