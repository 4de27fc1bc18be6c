"""The operator's file of where addresses are (the MaxMind DB format 2.0), read from memory without asking anybody."""

import ipaddress
import logging
import threading
from pathlib import Path
from typing import Any

import maxminddb

from app.kernel import clock
from app.kernel.errors import ConfigurationError

LOOK_AGAIN_SECONDS = 60
"""So often the file is asked whether it was replaced by a newer one."""

_UNREADABLE = (OSError, ValueError, TypeError, maxminddb.InvalidDatabaseError)
"""`TypeError`: its metadata lacks a member."""

log = logging.getLogger("watchword.geoip")


class GeoFile:
    """Looks addresses up. One per process; safe for threads.

    Raises `ConfigurationError` for a file that cannot be read. One that goes bad later is left for the last good one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._looked_at = clock.now()
        try:
            self._stamp = self._stat()
            self._reader = self._open()
        except _UNREADABLE as fault:
            raise ConfigurationError([f"WATCHWORD_GEOIP_FILE: cannot read {path}: {fault}"]) from None

    def record(self, ip: str) -> dict[str, Any] | None:
        """What the file has about an address; None for one it does not know, or that is none."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        self._refresh()
        try:
            found = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError) as fault:
            # Such as an IPv6 address in a file of IPv4 ones.
            log.debug("no place: %s", fault)
            return None
        return found if isinstance(found, dict) else None

    def _refresh(self) -> None:
        now = clock.now()
        if (now - self._looked_at).total_seconds() < LOOK_AGAIN_SECONDS or not self._turn.acquire(False):
            return
        try:
            self._looked_at = now
            if (stamp := self._stat()) != self._stamp:
                # The old reader is not closed: another thread may be in it. It goes with its last user.
                self._reader, self._stamp = self._open(), stamp
        except _UNREADABLE as fault:
            log.warning("the file of places cannot be read, the former one is used: %s", fault)
        finally:
            self._turn.release()

    def _stat(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size

    def _open(self) -> Any:
        return maxminddb.open_database(self._path, maxminddb.MODE_MEMORY)
