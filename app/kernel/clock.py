"""The one source of time. Code asks `now()`; tests freeze it by freezing `datetime`."""

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> int:
    """`moment` as a NumericDate: whole seconds since the epoch (RFC 7519 section 2)."""
    return int(moment.timestamp())


def from_timestamp(seconds: float) -> datetime:
    """The aware UTC instant of a NumericDate.

    Raises `ValueError` or `OverflowError` for a number no calendar has.
    """
    return datetime.fromtimestamp(seconds, UTC)


def after(seconds: float) -> datetime:
    """The instant `seconds` from now (or before now, when negative)."""
    return now() + timedelta(seconds=seconds)
