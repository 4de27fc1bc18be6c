"""Passwords known to have leaked: a local file, or a service that learns five characters of a hash and no more.

SHA-1 is what such lists are made of. It protects nothing here; it is how a password is looked up.
"""

import hashlib
import mmap
from pathlib import Path
from typing import Protocol

import structlog

from app.infra.fetch import Fetcher, FetchFailed

_PREFIX_CHARACTERS = 5
_HASH_CHARACTERS = 40
_MAX_RANGE_BYTES = 512 * 1024
_TIMEOUT_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Breached(Protocol):
    """A list of leaked passwords."""

    def knows(self, password: str) -> bool:
        """Whether the password is on it. Says no where it cannot be asked: nobody is kept from a new password by a
        list that is away."""


class NoList:
    """None was configured."""

    def knows(self, password: str) -> bool:
        """Never."""
        return False


class BreachedFile:
    """Lines `SHA1:COUNT` in the order of the hashes, upper case, as the published list has them. Some 40 GB: it is
    searched where it lies, by halves."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def knows(self, password: str) -> bool:
        """Whether a line begins with the password's hash."""
        wanted = _sha1(password).encode()
        try:
            with self._path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
                return _is_among(lines, wanted)
        except (OSError, ValueError) as fault:
            _log.warning(
                "the list of leaked passwords cannot be read", path=str(self._path), fault=str(fault)
            )
            return False


class BreachedService:
    """`{url}{first five characters}` answers every hash that begins with them, by its other 35 characters."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self._fetcher = fetcher
        self._url = url if url.endswith("/") else url + "/"

    def knows(self, password: str) -> bool:
        """Whether the service's answer has the rest of the password's hash. The hash itself never leaves."""
        wanted = _sha1(password)
        prefix, rest = wanted[:_PREFIX_CHARACTERS], wanted[_PREFIX_CHARACTERS:]
        try:
            found = self._fetcher.get(
                self._url + prefix,
                max_bytes=_MAX_RANGE_BYTES,
                timeout_seconds=_TIMEOUT_SECONDS,
                accept="text/plain",
                content_types=("text/plain",),
            )
        except FetchFailed as fault:
            _log.warning("leaked passwords could not be asked about", reason=fault.code, detail=fault.detail)
            return False
        if found.status != 200:
            _log.warning("leaked passwords could not be asked about", status=found.status)
            return False
        # A count of 0 is padding, which hides how many there are.
        lines = (line.partition(":") for line in found.body.decode("ascii", "replace").splitlines())
        return any(suffix.upper() == rest and count.strip() != "0" for suffix, _, count in lines)


def configured(setting: str, fetcher: Fetcher) -> Breached:
    """What `WATCHWORD_BREACHED_PASSWORDS` says."""
    if not setting:
        return NoList()
    if setting.startswith(("https://", "http://")):
        return BreachedService(fetcher, setting)
    return BreachedFile(Path(setting))


def _is_among(lines: mmap.mmap, wanted: bytes) -> bool:
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        start = lines.rfind(b"\n", low, middle) + 1 or low
        end = lines.find(b"\n", middle, high)
        end = high if end < 0 else end
        found = lines[start : start + _HASH_CHARACTERS].upper()
        if found == wanted:
            return True
        if found < wanted:
            low = end + 1
        else:
            high = start
    return False


def _sha1(password: str) -> str:
    return hashlib.sha1(password.encode("utf-8", "replace"), usedforsecurity=False).hexdigest().upper()
