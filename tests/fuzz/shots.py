"""From a target to one WSGI request: what is said, where it is said, and how the saying goes wrong."""

import base64
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from hypothesis import strategies as st

from tests.fuzz import values
from tests.fuzz.targets import PARAMETERS, Setting, Target
from tests.fuzz.values import MARK, Fresh, Raw, Value
from tests.fuzz.world import World

FORM = "application/x-www-form-urlencoded"
CONTENT_TYPES = (
    "", "application/json", "text/plain", "multipart/form-data; boundary=x", "multipart/form-data", FORM.upper(),
    f"{FORM}; charset=utf-8", f"{FORM}; charset=utf-16", f"{FORM};;;", f"{FORM}, {FORM}", f"x/{MARK}", "a" * 3000, "é",
)  # fmt: skip
METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    f"X{MARK}",
)
HEADERS = (
    "ACCEPT", "ACCEPT_LANGUAGE", "AUTHORIZATION", "COOKIE", "DPOP", "HOST", "IF_NONE_MATCH", "IF_MODIFIED_SINCE",
    "ORIGIN", "RANGE", "REFERER", "SEC_FETCH_SITE", "TRANSFER_ENCODING", "USER_AGENT", "X_FORWARDED_FOR",
    "X_FORWARDED_HOST",
    "X_FORWARDED_PROTO", "X_FORWARDED_PREFIX", "X_REQUEST_ID", "X_HTTP_METHOD_OVERRIDE", "EXPECT", "ACCEPT_ENCODING",
    "ACCESS_CONTROL_REQUEST_METHOD", "CONTENT_ENCODING", "FORWARDED", "X_ORIGINAL_URL",
)  # fmt: skip
TENANT = "{tenant}"
"""Stands for the tenant's id in a header."""
BODIES = (
    b"", b"{", b'{"a":' * 3000, b"[" * 100_000, b"\x00" * 50, b"\xff" * 50, b"--x\r\n", b"a=1&" * 200, b"=" * 300,
    b'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nx\r\n--x--\r\n', b"a" * 70_000,
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One request, as far as it can be told before it is sent."""

    target: Target
    method: str
    pairs: tuple[tuple[str, Value], ...]
    in_query: bool
    segments: tuple[bytes | None, ...]
    """What replaces each chosen segment of the path; None keeps it."""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    body: bytes | None = None
    """Instead of the form."""
    length: str | None = None
    """Instead of the true Content-Length."""
    chunked: bool = False
    address: str = "127.0.0.1"

    def environ(self, world: World) -> dict[str, Any]:
        """The WSGI environment, with everything made that is made for it alone."""
        setting = self.target.setting(world)
        write = encode_json if self.target.json_body and not self.in_query else encode
        encoded = write(self.pairs, setting, world)
        body = self.body if self.body is not None else b"" if self.in_query else encoded
        own = list(setting.segments) + [""] * self.target.path.count("{}")
        path = self.target.path.encode()
        for at, chosen in enumerate(self.segments):
            path = path.replace(b"{}", chosen if chosen is not None else own[at].encode(), 1)
        prefix = "" if self.target.above_tenants else world.tenant.path
        parts = urlsplit(world.origin)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": prefix + path.decode("latin-1"),
            "QUERY_STRING": encoded.decode("latin-1") if self.in_query else "",
            "SERVER_NAME": parts.hostname,
            "SERVER_PORT": str(parts.port or 80),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.address,
            "HTTP_HOST": parts.netloc,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": parts.scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if setting.cookies:
            environ["HTTP_COOKIE"] = setting.cookies
        if self.target.basic:
            environ["HTTP_AUTHORIZATION"] = world.party.basic["Authorization"]
        if self.target.bearer:
            environ["HTTP_AUTHORIZATION"] = "Bearer " + world.value(Fresh("access"))
        if setting.bearer:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {setting.bearer}"
        if self.method in ("POST", "PATCH", "PUT") or body:
            usual = "application/json" if self.target.json_body else FORM
            environ["CONTENT_TYPE"] = self.content_type if self.content_type is not None else usual
            environ["CONTENT_LENGTH"] = self.length if self.length is not None else str(len(body))
        if self.chunked:
            environ.pop("CONTENT_LENGTH", None)
            environ["HTTP_TRANSFER_ENCODING"] = "chunked"
            environ["wsgi.input_terminated"] = True
        for name, value in self.headers:
            environ["HTTP_" + name] = value.replace(TENANT, world.tenant.id)
        return environ


def encode(pairs: tuple[tuple[str, Value], ...], setting: Setting, world: World) -> bytes:
    """The pairs as a form."""
    sent = []
    for name, value in pairs:
        if isinstance(value, Raw):
            encoded = value.sent
        else:
            text = setting.form.get(name, "") if value == "" and name in setting.form else value
            if isinstance(text, Fresh):
                text = world.value(text)
            encoded = quote_plus(text).encode()
        sent.append(quote_plus(name).encode() + b"=" + encoded)
    return b"&".join(sent)


def encode_json(pairs: tuple[tuple[str, Value], ...], setting: Setting, world: World) -> bytes:
    """The pairs as a JSON object; what is no text is broken JSON."""
    sent: dict[str, Any] = {}
    for name, value in pairs:
        if isinstance(value, Raw):
            return b'{"' + value.sent
        value = setting.form.get(name, "") if value == "" and name in setting.form else value
        sent[name] = world.value(value) if isinstance(value, Fresh) else _typed(value)
    return json.dumps(sent).encode()


def _typed(value: str) -> Any:
    """Objects and lists as such, text as text."""
    try:
        return json.loads(value) if value[:1] in ("{", "[") else value
    except (ValueError, RecursionError):
        return value


def _value(name: str) -> st.SearchStrategy[Value]:
    special = PARAMETERS.get(name)
    return st.one_of(special, special, values.hostile()) if special is not None else values.hostile()


@st.composite
def _pairs(draw: st.DrawFn, target: Target) -> tuple[tuple[str, Value], ...]:
    """The good request with up to four things wrong."""
    pairs: list[tuple[str, Value]] = list(target.good.items())
    if "csrf_token" in target.parameters and "csrf_token" not in target.good:
        # The setting has one; an empty value stands for it.
        pairs.append(("csrf_token", ""))
    for _ in range(draw(st.integers(0, 4))):
        if not target.parameters or draw(st.integers(0, 9)) == 9:
            pairs.append(
                (
                    draw(st.sampled_from([MARK + "<i>", "", "x" * 5000, "a[b]", "\x00"])),
                    draw(values.hostile()),
                )
            )
            continue
        name = draw(st.sampled_from(target.parameters))
        kind = draw(st.sampled_from(("replace", "replace", "replace", "drop", "repeat")))
        if kind != "repeat":
            pairs = [pair for pair in pairs if pair[0] != name]
        if kind != "drop":
            pairs.append((name, draw(_value(name))))
    if draw(st.integers(0, 60)) == 60:
        pairs += [("p" + str(n), "x") for n in range(150)]
    return tuple(pairs)


_ADDRESSES = st.integers(0, 2**24 - 1).map(lambda n: f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
_SEGMENTS = st.one_of(
    st.none(),
    st.sampled_from(
        [b"", b"..", b".", b"/", b"//x", b"\x00", b"\xff\xfe", b"%2e%2e", MARK.encode() + b"<i>", b"a" * 5000, b"-1",
         b"0", b"9" * 400, b"x/y/z", b"\\", b"..%2f..%2fetc/passwd", "é".encode(), b"\r\nX: " + MARK.encode(), b"1e5"]
    ),
    st.binary(max_size=20),
)  # fmt: skip


@st.composite
def shots(draw: st.DrawFn, target: Target) -> Shot:
    """A request to `target`: mostly well-formed, so that it gets past the first check."""
    method = draw(st.sampled_from(target.methods))
    chosen = target.path.count("{}")
    sideways = draw(st.integers(0, 9)) > 6
    wanted = draw(_SEGMENTS) if chosen and (sideways or draw(st.booleans())) else None
    members: dict[str, Any] = {
        "target": target,
        "method": method,
        "pairs": draw(_pairs(target)),
        "in_query": method not in ("POST", "PATCH", "PUT"),
        "segments": (wanted, *([None] * (chosen - 1))) if chosen else (),
        "address": draw(_ADDRESSES),
    }
    if sideways:
        for _ in range(draw(st.integers(1, 2))):
            draw(_transport(members))
    return Shot(**members)


@st.composite
def _transport(draw: st.DrawFn, members: dict[str, Any]) -> None:
    """Something about the request itself that is wrong."""
    kind = draw(
        st.sampled_from(
            (
                "method",
                "type",
                "place",
                "body",
                "length",
                "chunked",
                "header",
                "credentials",
                "cookie",
                "address",
            )
        )
    )
    if kind == "method":
        members["method"] = draw(st.sampled_from(METHODS))
    elif kind == "type":
        members["content_type"] = draw(st.sampled_from(CONTENT_TYPES))
    elif kind == "place":
        members["in_query"] = not members["in_query"]
    elif kind == "body":
        members["body"] = draw(st.one_of(st.sampled_from(BODIES), st.binary(max_size=60)))
    elif kind == "length":
        members["length"] = draw(
            st.sampled_from(["", "0", "1", "-1", "99999", "9" * 30, "x", "1e3", "１", "10000000"])
        )
    elif kind == "chunked":
        members["chunked"] = True
    elif kind == "credentials":
        header = ("AUTHORIZATION", draw(st.one_of(_authorizations(), values.header_values())))
        members["headers"] = (*members.get("headers", ()), header)
    elif kind == "cookie":
        members["headers"] = (*members.get("headers", ()), ("COOKIE", draw(_cookies())))
    elif kind == "address":
        members["address"] = draw(
            st.sampled_from(["", "unix:", "::1", "127.0.0.1", "fe80::1%eth0", "not an address"])
        )
    else:
        header = (draw(st.sampled_from(HEADERS)), draw(st.one_of(values.header_values(), _authorizations())))
        members["headers"] = (*members.get("headers", ()), header)


_COOKIES = (
    "", ".", "..", "...", "a.b.c", "a.b.%ff", "a.b.AAAA", "a.b._w", "é.é.é", '"', '"a.b.c', "1.", "1.AAAA",
    "9" * 13 + ".AAAA",
    "0." + "A" * 400, "a" * 9000, "-1.AAAA", "\\054", "a.b.c.d", ".b.c", "a..c", "1.A",
    "x" * 43 + "." + "y" * 43 + ".eA",
)  # fmt: skip


def _cookies() -> st.SearchStrategy[str]:
    """Our cookies' names with what never was in them, once or several times."""
    names = st.sampled_from(
        [f"ww-{TENANT}", f"ww-{TENANT}-device", f"ww-{TENANT}-iAAAAAAAAAAAA", f"__Host-ww-{TENANT}"]
    )
    contents = st.one_of(
        st.sampled_from(_COOKIES), st.text(st.characters(min_codepoint=33, max_codepoint=255))
    )
    return st.lists(st.tuples(names, contents).map("=".join), min_size=1, max_size=8).map("; ".join)


def _authorizations() -> st.SearchStrategy[str]:
    """Basic credentials of all kinds (RFC 6749 section 2.3.1)."""
    pairs = st.one_of(
        st.sampled_from(
            [b"app:", b":", b"server:x", b"server", b"\xff:\xff", b"%zz:%zz", b"a:b:c", b"\x00:\x00"]
        ),
        st.binary(max_size=20),
    )
    return pairs.map(lambda pair: "Basic " + base64.b64encode(pair).decode())
