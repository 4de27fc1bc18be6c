"""Known devices: browsers a person signed in with before, so that a stranger's guesses cannot lock their owner out."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from app.infra.vault import SealError, Vault
from app.kernel import clock, ids
from app.kernel.secrets import b64url, unb64url

PURPOSE = "known-device"
LIFETIME_SECONDS = 366 * 86400
MAX_PEOPLE = 5


@dataclass(frozen=True, slots=True)
class Device:
    """A browser, and when which person last signed in with it (NumericDate)."""

    id: str = field(default_factory=ids.new_id)
    people: dict[str, int] = field(default_factory=dict)

    def knows(self, user_id: str, password_changed_at: datetime | None) -> bool:
        """Whether the person signed in here since the password was set: an older cookie may be a thief's."""
        seen = self.people.get(user_id)
        return seen is not None and (
            password_changed_at is None or seen >= clock.timestamp(password_changed_at)
        )

    def with_person(self, user_id: str) -> "Device":
        """The same browser, after a person signed in; the people longest away are forgotten."""
        people = {**self.people, user_id: clock.timestamp(clock.now())}
        latest = sorted(people.items(), key=lambda item: -item[1])[:MAX_PEOPLE]
        return Device(self.id, dict(latest))


class Devices:
    """Reads and writes what makes a browser known, sealed: a cookie of it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def seal(self, tenant_id: str, device: Device, holder: str = "") -> str:
        """The cookie's value, or what an application keeps in its place; good for that `holder` alone."""
        content = json.dumps([device.id, device.people], separators=(",", ":")).encode()
        return b64url(self._vault.seal(PURPOSE, content, **_place(tenant_id, holder)))

    def open(self, tenant_id: str, cookie: str | None, holder: str = "") -> Device:
        """The browser of a cookie; a new one when there is none, or none of ours."""
        if not cookie:
            return Device()
        try:
            content = self._vault.open(PURPOSE, unb64url(cookie), **_place(tenant_id, holder))
        except (SealError, ValueError):
            return Device()
        device_id, people = json.loads(content)
        return Device(device_id, people)


def _place(tenant_id: str, holder: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": "cookies", "column": "device", "row": holder}
