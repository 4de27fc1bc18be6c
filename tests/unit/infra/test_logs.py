"""Logs are JSON lines with the request's id, and never hold a secret."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from app.infra import logs
from app.infra.logs import AccessLog
from app.infra.redaction import is_secret_name, redact

JWT = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLWNhbmFyeQ"


class Lines:
    """What was logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream = stream

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def last(self) -> dict[str, Any]:
        return self.all()[-1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET_LOGGERS}
    stream = io.StringIO()
    logs.setup("DEBUG", stream)
    yield Lines(stream)
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_a_line_is_json_with_the_extra_members(lines: Lines) -> None:
    logging.getLogger("watchword.test").info("said %s", "this", extra={"request_id": "abc", "reason": "x.y"})
    found = lines.last()
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "logger": "watchword.test",
        "event": "said this",
        "request_id": "abc",
        "reason": "x.y",
    }


def test_line_breaks_do_not_forge_lines(lines: Lines) -> None:
    logging.getLogger("watchword.test").info('a\n{"level":"error"}\r\nb')
    assert len(lines.all()) == 1


def test_exceptions_are_one_line(lines: Lines) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("watchword.test").exception("failed")
    assert "ValueError: boom" in lines.last()["exception"]


def test_warnings_are_logged(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)  # A test runner puts back what it found, unknown to `logging`.
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "old" in lines.last()["event"]


@pytest.mark.parametrize("name", logs.QUIET_LOGGERS)
def test_libraries_that_print_tokens_stay_quiet_at_debug(lines: Lines, name: str) -> None:
    logging.getLogger(f"{name}.deep").debug("token")
    logging.getLogger(f"{name}.deep").info("token")
    assert lines.all() == []
    logging.getLogger(f"{name}.deep").warning("beware")
    assert lines.last()["event"] == "beware"


def test_the_level_is_kept(lines: Lines) -> None:
    logs.setup("ERROR", lines.stream)
    logging.getLogger("watchword.test").warning("quiet")
    logging.getLogger("authlib").warning("quiet")
    assert lines.all() == []


def test_setting_up_twice_says_things_once(lines: Lines) -> None:
    logs.setup("INFO", lines.stream)
    logging.getLogger("watchword.test").info("once")
    assert len(lines.all()) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Bearer {JWT}", "Bearer [redacted]"),
        (f"the token {JWT}, then", "the token [redacted], then"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [redacted]"),
        ("Authorization: Bearer s3cr3t-opaque-token", "Authorization: Bearer [redacted]"),
        (
            "grant_type=code&code=s3cr3t&client_secret=k3y",
            "grant_type=code&code=[redacted]&client_secret=[redacted]",
        ),
        ("/cb?code=s3cr3t&state=x", "/cb?code=[redacted]&state=x"),
        ("redis://:s3cr3t@host:1/0", "redis://[redacted]@host:1/0"),
        ("postgresql+psycopg://ww:s3cr3t@db/ww", "postgresql+psycopg://[redacted]@db/ww"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", "[redacted]"),
        ("response_type=code", "response_type=code"),
        ("alice@example.com asked", "alice@example.com asked"),
        ("https://id.example.com/t/acme", "https://id.example.com/t/acme"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(lines: Lines, text: str, left: str) -> None:
    assert redact(text) == left
    logging.getLogger("watchword.test").info(text)
    assert lines.last()["event"] == left


def test_members_named_like_secrets_are_blotted_out_at_any_depth(lines: Lines) -> None:
    extra = {"password": "canary", "form": {"refresh_token": "canary", "list": [{"Client_Secret": "canary"}]}}
    logging.getLogger("watchword.test").info("x", extra=extra)
    assert "canary" not in lines.stream.getvalue()
    assert lines.last()["form"]["list"] == [{"Client_Secret": "[redacted]"}]


def test_what_is_not_json_is_logged_as_text(lines: Lines) -> None:
    extra = {"thing": object(), "several": {"b"}, "deep": [[[[[JWT]]]]]}
    logging.getLogger("watchword.test").info("x", extra=extra)
    assert lines.last()["several"] == ["b"]
    assert JWT not in lines.stream.getvalue()


@pytest.mark.parametrize(
    "name", ["token_type", "token_endpoint", "grant_type", "code_challenge", "client_id", "event"]
)
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_the_access_log_is_a_line_per_request() -> None:
    stream = io.StringIO()
    AccessLog("INFO", stream)("token", "POST\n" * 10, 200, 0.01234, "t1", "r1", "192.0.2.1")
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found["milliseconds"] == 12.34
    assert (found["endpoint"], found["status"], found["request_id"]) == ("token", 200, "r1")
    assert len(found["method"]) == 20


def test_the_access_log_follows_the_level() -> None:
    stream = io.StringIO()
    AccessLog("WARNING", stream)("token", "POST", 200, 0.1, None, "r1", "192.0.2.1")
    assert stream.getvalue() == ""
