"""An authenticator app, as a person holds it: it reads the key off the page and shows codes."""

import re
import time
from html import unescape

import pyotp

STEP_SECONDS = 30
TYPING_SECONDS = 10
"""How long a code may be on its way, on a busy machine."""


class AuthenticatorApp:
    """Codes are good for one use each, so it shows the earliest the server still takes, and never one twice."""

    def __init__(self) -> None:
        self.secret = ""
        self._last = 0

    def scan(self, html: str) -> None:
        """Take the key from the enrolment page."""
        found = re.search(r'id="totp-key">([A-Z2-7 ]+)<', unescape(html))
        assert found, f"no key on the page:\n{html[:3000]}"
        self.enter(found[1])

    def enter(self, key: str) -> None:
        """Take the key as it is shown, in groups."""
        self.secret = key.replace(" ", "")
        self._last = 0

    def rest(self) -> None:
        """Show codes from the earliest on again, where the server was told to forget which were used."""
        self._last = 0

    def code(self) -> str:
        """The next code. Three at once are to be had, of the steps a server takes; then it waits."""
        now, into_step = divmod(time.time(), STEP_SECONDS)
        # The step before is taken until this one ends, which must not be before the code has arrived.
        earliest = int(now) - (into_step < STEP_SECONDS - TYPING_SECONDS)
        self._last = max(self._last + 1, earliest)
        while self._last > int(time.time()) // STEP_SECONDS + 1:
            time.sleep(0.2)
        return pyotp.TOTP(self.secret).at(self._last * STEP_SECONDS)
