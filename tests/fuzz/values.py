"""Values no honest client sends: what a parameter, a header or a cookie may hold at worst."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

MARK = "qz7kq"
"""In most hostile values. It is nowhere else, so that it shows what comes back."""

Kind = Literal[
    "auth_session",
    "code",
    "refresh",
    "access",
    "opaque",
    "id_token",
    "csrf",
    "logout",
    "consent",
    "grant",
    "client_secret",
    "name",
    "address",
    "registration_token",
]
Damage = Literal["", "flip", "cut", "none", "header", "payload", "twice"]


@dataclass(frozen=True)
class Fresh:
    """A value only the server can give, made when the request is sent; `damage` is done to it afterwards."""

    kind: Kind
    damage: Damage = ""


@dataclass(frozen=True)
class Raw:
    """Bytes as they go over the wire, not encoded as a form value."""

    sent: bytes


Value = str | Raw | Fresh

_MARKED = (
    f"{MARK}<i>",
    f'{MARK}"onload=x',
    f"{MARK}'x",
    f"<script>{MARK}</script>",
    f"{MARK}\r\nX-Injected: {MARK}",
    f"{MARK}\nSet-Cookie: {MARK}=1",
    f"javascript:{MARK}",
    f"//{MARK}.example/",
    f"https://{MARK}.example/cb",
    f"/\\{MARK}.example",
    f"{{{{{MARK}}}}}",
    f"${{{MARK}}}",
    f"%0d%0a{MARK}",
    f"\u202e{MARK}\u2066",
    f"{MARK}\u0000",
)
_PLAIN = (
    "", " ", "\t", "\r\n", "\x00", "\x7f", "\u0085", "\ufeff", "\U0010ffff", "İ", "ß", "null", "true", "0", "-1",
    "1e999", "NaN", "9" * 400, "-" + "9" * 5000, "[]", "{}", "..", "../../etc/passwd", "' OR 1=1--", "*", "%s%n",
    "a" * 300, "a" * 2049, "é" * 5000, "a" * 70_000, "a=b&c=d", "." * 3000, " " * 3000,
)  # fmt: skip
_RAW = (
    b"%", b"%0", b"%zz", b"%u0041", b"%ff", b"%C0%80", b"%ED%A0%80", b"%F5%80%80%80", b"\xff\xfe", b"\x80", b"\x00",
    b"+", b"%2", b"%25%32%35", b"a;b", b"=", b"==", "é".encode(), b"%00%00",
)  # fmt: skip


def hostile() -> st.SearchStrategy[Value]:
    """Any parameter, at worst."""
    return st.one_of(
        st.sampled_from(_MARKED),
        st.sampled_from(_PLAIN),
        st.sampled_from(_RAW).map(Raw),
        st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: MARK + text),
        st.binary(max_size=12).map(Raw),
    )


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def _objects(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def _in_claims(value: str) -> str:
    return f'{{"userinfo":{{"name":{{"value":{value}}}}},"id_token":{{"sub":{{"values":[{value}]}}}}}}'


_JSON_VALUES = (
    "1e999", "-1e999", "1e-999", "NaN", "Infinity", "9" * 4000, "0.1e1", '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"',
    "null", "[]", "{}", "true", f'"{MARK}<i>"', "[1,]", "'x'", "\ufeff1",
)  # fmt: skip


def json_bombs() -> st.SearchStrategy[Value]:
    """JSON that breaks careless readers: deep, wide, repeated, out of range, not Unicode."""
    values = st.one_of(
        st.sampled_from(_JSON_VALUES),
        st.integers(1, 3000).map(_nested),
        st.integers(1, 1200).map(_objects),
    )
    random_json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ).map(json.dumps)
    return st.one_of(
        values.map(_in_claims),
        values,
        random_json,
        random_json.map(_in_claims),
        st.sampled_from(
            [
                '{"userinfo":{},"userinfo":{}}',
                '{"userinfo":{"sub":{"value":["x"]}}}',
                '{"id_token":{"sub":{"value":{"a":1}}}}',
                '{"id_token":{"acr":{"essential":true,"values":[{}, 1, null]}}}',
                '{"id_token":{"acr":{"essential":true,"value":[[]]}}}',
                '{"id_token":{"auth_time":{"essential":true,"value":"x"}}}',
                json.dumps({"userinfo": {f"c{n}": None for n in range(101)}}),
                json.dumps({"userinfo": {"\x00": None, "__proto__": None, "": None}}),
            ]
        ),
    )


def numbers() -> st.SearchStrategy[Value]:
    """Numbers, and what looks like one."""
    odd = ["-0", "+1", "1.0", "0x10", "1_000", "٣", "²", "1e3", "٠" * 9, "99999999999999999999", " 1", "1 "]
    return st.one_of(st.integers(-5, 10**12).map(str), st.sampled_from(odd))


def uris(registered: tuple[str, ...]) -> st.SearchStrategy[Value]:
    """The registered addresses, and everything that resembles them."""
    ends = [
        "",
        "/",
        "?a=b",
        "#f",
        "%00",
        "\\@" + MARK + ".example",
        "/../x",
        ".evil.example",
        "@" + MARK,
        ":443",
        "\r\n",
    ]
    starts = ["", "//", "javascript:", "data:text/html,", "\\\\", "http:", " "]
    parts = st.tuples(st.sampled_from(starts), st.sampled_from(registered), st.sampled_from(ends))
    odd = [
        "http://[",
        "http://[::1",
        "https://a:b:c/",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:4711/cb",
        "x:",
        ":",
    ]
    return st.one_of(
        st.sampled_from(registered),
        parts.map("".join),
        st.sampled_from([*odd, f"https://{MARK}.example/"]),
    )


def tokens(*kinds: Kind) -> st.SearchStrategy[Value]:
    """Tokens of ours, whole and damaged, and what looks like one."""
    damages: list[Damage] = ["", "flip", "cut", "none", "header", "payload", "twice"]
    odd = [
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "e30.e30.",
        "e30.e30.e30",
        "." * 200,
        "é.é.é",
        "AAAA" * 5000,
        "1.2.3",
        "x.99999999999999999999.y",
    ]
    return st.one_of(
        st.builds(Fresh, st.sampled_from(kinds), st.sampled_from(damages)),
        st.sampled_from(odd),
    )


def words(*known: str) -> st.SearchStrategy[Value]:
    """Some of the known words, in any number and order."""
    return st.lists(st.sampled_from([*known, f"{MARK}<i>", "", '"']), max_size=6).map(" ".join)


def header_values() -> st.SearchStrategy[str]:
    """What a header may hold once a server accepted it: latin-1 as WSGI wants it, without line breaks."""
    odd = [
        *(
            "",
            MARK,
            f"{MARK}<i>",
            "\t",
            "ÿ" * 50,
            "a" * 9000,
            ",",
            ";;;",
            '"',
            "*",
            'W/"x"',
            "gzip",
            "1.2.3.4, " * 200,
        ),
        *(
            "Basic",
            "Bearer",
            "Basic é",
            "Bearer  ",
            "Basic Og==",
            "Basic =",
            "Basic " + "QQ" * 4000,
            "bearer a b c",
        ),
    ]
    return st.one_of(
        st.sampled_from(odd), st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
    )


def damaged(value: str, damage: Damage) -> str:
    """`value` with the damage done."""
    if damage == "flip":
        middle = len(value) // 2
        return value[:middle] + ("A" if value[middle : middle + 1] != "A" else "B") + value[middle + 1 :]
    if damage == "cut":
        return value[: len(value) // 2]
    if damage == "twice":
        return value + value
    segments = value.split(".")
    if len(segments) != 3:
        return value
    if damage == "none":
        return "eyJhbGciOiJub25lIn0." + segments[1] + "."
    if damage == "header":
        return ".".join(
            [_b64({"alg": ["RS256"], "kid": {"a": 1}, "crit": ["b64"], "b64": False}), *segments[1:]]
        )
    if damage == "payload":
        return ".".join([segments[0], _b64({"sub": 1, "exp": "x", "aud": {}}), segments[2]])
    return value


def _b64(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
