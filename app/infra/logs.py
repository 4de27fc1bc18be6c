"""Logs: one JSON object per line on standard error. The audit has standard output to itself.

Our own code logs through the standard `logging` under `watchword.*`; `extra` becomes members of the line. Secrets
are never passed to a logger; what looks like one is blotted out all the same.
"""

import json
import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.infra.redaction import REDACTED, is_secret_name, redact
from app.kernel import clock

ACCESS_LOGGER = "watchword.access"

_MAX_DEPTH = 4
_LINE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)

QUIET_LOGGERS = (
    "authlib",
    "urllib3",
    "sqlalchemy",
    "alembic",
    "asyncio",
    "redis",
    "werkzeug",
    "granian",
    "gunicorn",
)
"""Libraries that print tokens, statements with their values, or noise at DEBUG: never below WARNING."""


def setup(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log record of this process to `stream` (standard error) as JSON lines. May be called again."""
    handler = _Lines(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=_processors(), foreign_pre_chain=[_extras])
    )
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Lines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    logging.captureWarnings(True)


class _Lines(logging.StreamHandler[TextIO]):
    """Writes to the stream given, or to whatever standard error is at the time."""

    def __init__(self, stream: TextIO | None) -> None:
        logging.Handler.__init__(self)
        self._given = stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """Where the next line goes."""
        return self._given or sys.stderr


class AccessLog:
    """One line per answered request, like those of the other loggers. It is in every request's way, so it is written
    without their machinery; nothing in it comes from parameters, bodies or query strings.
    """

    def __init__(self, level: str = "INFO", stream: TextIO | None = None) -> None:
        self.is_on = logging.getLevelNamesMapping()[level] <= logging.INFO
        self._stream = stream

    def __call__(
        self,
        endpoint: str,
        method: str,
        status: int,
        seconds: float,
        tenant: str | None,
        request_id: str,
        address: str,
    ) -> None:
        """Write the line of one request; `seconds` is what the answer took."""
        if not self.is_on:
            return
        line = _LINE.encode(
            {
                "time": clock.now().isoformat(timespec="milliseconds")[:-6] + "Z",
                "level": "info",
                "logger": ACCESS_LOGGER,
                "event": "request",
                "endpoint": endpoint,
                "method": method[:20],
                "status": status,
                "milliseconds": round(seconds * 1000, 2),
                "tenant": tenant,
                "request_id": request_id,
                "address": address,
            }
        )
        (self._stream or sys.stderr).write(line + "\n")


def _processors() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _blot_secrets,
        structlog.processors.JSONRenderer(serializer=_dump),
    ]


_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "message",
    "asctime",
    "taskName",
}


def _extras(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    said = event.pop("event")
    event["time"] = (
        clock.from_timestamp(record.created).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    event["level"] = record.levelname.lower()
    event["logger"] = record.name
    event["event"] = said
    for name, value in record.__dict__.items():
        if name not in _STANDARD and not name.startswith("_"):
            event[name] = value
    return event


def _blot_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _blot(name, value, 0) for name, value in event.items()}


def _blot(name: str, value: Any, depth: int) -> Any:
    if is_secret_name(name) and value is not None:
        return REDACTED
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _MAX_DEPTH:
        return redact(repr(value))
    if isinstance(value, dict):
        return {str(key): _blot(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_blot("", item, depth + 1) for item in value]
    return redact(str(value))


def _dump(event: EventDict, **_: Any) -> str:
    return _LINE.encode(event)
