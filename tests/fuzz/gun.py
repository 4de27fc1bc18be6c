"""Sends a request straight into the WSGI application, and holds the answer to what always has to hold."""

import re
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

from tests.fuzz.shots import Shot
from tests.fuzz.values import MARK
from tests.fuzz.world import CLIENT_PAGE, REGISTERED, World

MOST_SECONDS = 5.0
"""Far above what any request takes, for a machine that does other things as well."""
RAW_MARK = re.compile(f"{MARK}<i>|<script>{MARK}|{MARK}\"onload|{MARK}'x")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1(:[0-9]{1,5})?/cb")
_NAVIGATING = {"form": "action", "a": "href", "script": "src", "link": "href", "img": "src", "iframe": "src"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    def header(self, name: str) -> str:
        """A header's value, empty when there is none."""
        return next((value for given, value in self.headers if given.lower() == name.lower()), "")


def send(world: World, shot: Shot) -> Answer:
    """Send it and collect the answer. Raises what escapes the application: nothing may."""
    environ = shot.environ(world)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *rest: object) -> None:
        started.append((status, headers))

    begun = time.perf_counter()
    sent = world.app.wsgi_app(environ, start_response)
    try:
        body = b"".join(sent)
    finally:
        if hasattr(sent, "close"):
            sent.close()
    seconds = time.perf_counter() - begun
    status, headers = started[-1]
    return Answer(int(status[:3]), tuple(headers), body, seconds)


def check(world: World, shot: Shot, answer: Answer) -> None:
    """What holds for every answer to every request."""
    assert 200 <= answer.status < 500, f"{answer.status}: {answer.body[:2000]!r}"
    assert answer.seconds < MOST_SECONDS, f"{answer.seconds:.1f} s"
    for name, value in answer.headers:
        assert value.isascii(), (name, value)
        assert not re.search(r"[\x00-\x1f\x7f]", name + value), (name, value)
        if name.lower() == "location":
            check_target(world, value)
        else:
            assert MARK not in value, f"reflected in {name}: {value}"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    if shot.method == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    elif length := answer.header("Content-Length"):
        assert int(length) == len(answer.body)
    if answer.header("Content-Type").startswith("text/html"):
        check_html(world, answer)


def check_target(world: World, target: str) -> None:
    """A place the browser may be sent: a path of ours, or a registered address, with the mark in its state alone."""
    if target.startswith("/") and not target.startswith(("//", "/\\")):
        assert MARK not in target, f"reflected in a path of ours: {target}"
        return
    parts = urlsplit(target)
    bare = parts._replace(query="", fragment="").geturl()
    assert bare in REGISTERED or _LOOPBACK.fullmatch(bare), f"sent to {target}"
    assert parts.fragment == ""
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        assert name in ("code", "state", "iss", "error", "error_description"), f"sent to {target}"
        assert name == "state" or MARK not in value, f"reflected in {name}: {target}"


class _Places(HTMLParser):
    """Where a page leads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect targets; note scripts and handlers nobody of ours wrote."""
        given = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") for name in given), (tag, given)
        if tag in _NAVIGATING and _NAVIGATING[tag] in given:
            self.found.append(given[_NAVIGATING[tag]])
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.found.append(given["content"].partition("url=")[2])


def check_html(world: World, answer: Answer) -> None:
    """Nothing of the request is in the page unescaped, and it leads nowhere that is not registered."""
    text = answer.body.decode("utf-8")
    assert not RAW_MARK.search(text), f"unescaped: {text}"
    assert "Content-Security-Policy" in {name for name, _ in answer.headers}
    places = _Places()
    places.feed(text)
    for target in places.found:
        if target not in (CLIENT_PAGE, "#main"):
            check_target(world, target)
