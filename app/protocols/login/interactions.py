"""Interactions: what a person is in the middle of, kept between pages.

Pages know only the interaction's id, a secret of 256 bits in the URL. It is good in one browser: the one that holds
the other secret in a cookie. Stored under the hash of the id for ten minutes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from app.infra import limits
from app.infra.limits import AUTHORIZE
from app.infra.state import Delete, Get, Key, Put, Replace, StateStore, TakeOnce
from app.kernel import clock
from app.kernel.secrets import equal, lookup_hash, new_secret

KIND = "interaction"
LIFETIME_SECONDS = 600
VALID_SECONDS = 900
"""A page that waits is kept alive by its own steps; what was shown before them is not."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person showed so far, on the way to a session. Worth nothing outside its interaction."""

    user_id: str
    user_epoch: int
    amr: tuple[str, ...]
    """What a session would say now (`assurance.united`)."""
    methods: tuple[str, ...]
    """The ids of the factors shown here, in order."""
    at: int
    """When the last of them was shown (NumericDate). `VALID_SECONDS` later it counts no more."""
    known_device: bool = False
    session: str | None = None
    """The session this adds to, whose own methods are in `amr`; None: the person began anew."""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Shown":
        """As it was stored."""
        return cls(**{**raw, "amr": tuple(raw["amr"]), "methods": tuple(raw["methods"])})


@dataclass(frozen=True, slots=True)
class Interaction:
    """One sign-in or authorization on its way."""

    id: str
    browser: str | None
    """The hash of the browser's secret; None until a browser came for it (an authorization request that was posted)."""
    request: dict[str, Any] | None
    """The checked authorization request, if one is behind it."""
    return_to: str | None = None
    """Where to go after a sign-in nobody asked for: the endpoint of a page of ours."""
    visit: dict[str, Any] | None = None
    """What that page of ours asks for (`engine.Visit`)."""
    shown: Shown | None = None
    """Who is on their way to a session, and what they showed."""
    signed_in_session: str | None = None
    """The session that was started here."""
    data: dict[str, Any] = field(default_factory=dict)
    """What pages keep between showing and taking, under their own names. Secrets only sealed."""
    created_at: int = field(default_factory=lambda: clock.timestamp(clock.now()))

    def to_bytes(self) -> bytes:
        """As stored: without its id, which is a secret."""
        content = {name: getattr(self, name) for name in _FIELDS}
        if self.shown is not None:
            content["shown"] = {name: getattr(self.shown, name) for name in _SHOWN}
        return json.dumps({**content, "id": ""}, separators=(",", ":"), sort_keys=True).encode()

    def is_for(self, browser_secret: str | None) -> bool:
        """Whether the browser that holds this secret may go on."""
        return (
            self.browser is not None
            and browser_secret is not None
            and equal(self.browser, lookup_hash(browser_secret))
        )


_FIELDS = [each.name for each in fields(Interaction)]
_SHOWN = [each.name for each in fields(Shown)]
"""Written by name: `asdict` copies whatever is in them, before it is written down."""


class Interactions:
    """Where interactions are kept."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def begin(
        self,
        tenant_id: str,
        *,
        address: str,
        request: dict[str, Any] | None,
        return_to: str | None = None,
        visit: dict[str, Any] | None = None,
        shown: Shown | None = None,
        bound: bool = True,
    ) -> tuple[Interaction, str | None]:
        """A new one, and the browser's secret when it is `bound` at once.

        Anybody may begin one, and each is kept for ten minutes: raises `RateLimited` where too many come from the
        network of `address`, before they fill the state store.
        """
        secret = new_secret() if bound else None
        found = Interaction(
            new_secret(), lookup_hash(secret) if secret else None, request, return_to, visit, shown
        )
        outcome = self._state.execute(
            AUTHORIZE.count(tenant_id, limits.network_of(address)),
            Put(self._key(tenant_id, found.id), found.to_bytes(), LIFETIME_SECONDS),
        )
        limits.require(outcome, AUTHORIZE)
        return found, secret

    def bind(self, tenant_id: str, found: Interaction) -> tuple[Interaction, str] | None:
        """Bind one that no browser came for yet to the one asking; None when another was faster."""
        secret = new_secret()
        bound = replace(found, browser=lookup_hash(secret))
        outcome = self._state.execute(
            Replace(self._key(tenant_id, found.id), found.to_bytes(), bound.to_bytes(), LIFETIME_SECONDS)
        )
        return (bound, secret) if outcome.results[0] else None

    def find(self, tenant_id: str, interaction_id: str) -> Interaction | None:
        """The interaction, or None when it expired, is over, or never was."""
        if len(interaction_id) > 64:
            return None
        raw = self._state.execute(Get(self._key(tenant_id, interaction_id))).results[0]
        return None if raw is None else _decode(raw, interaction_id)

    def save(self, tenant_id: str, found: Interaction) -> None:
        """Keep it for another ten minutes, also where it was taken."""
        self._state.execute(Put(self._key(tenant_id, found.id), found.to_bytes(), LIFETIME_SECONDS))

    def change(self, tenant_id: str, found: Interaction, **changes: Any) -> Interaction | None:
        """Change one that is still open, whatever else changed meanwhile; None when it is over.

        What was ended is not brought back: the same form sent twice makes no second answer.
        """
        seen: Interaction | None = found
        while seen is not None:
            changed = replace(seen, **changes)
            key = self._key(tenant_id, found.id)
            outcome = self._state.execute(Replace(key, seen.to_bytes(), changed.to_bytes(), LIFETIME_SECONDS))
            if outcome.results[0]:
                return changed
            seen = self.find(tenant_id, found.id)
        return None

    def take(self, tenant_id: str, found: Interaction) -> bool:
        """End it: of any number of callers exactly one gets True."""
        return self._state.execute(TakeOnce(self._key(tenant_id, found.id))).results[0] is not None

    def drop(self, tenant_id: str, found: Interaction) -> None:
        """End it, whoever else may have."""
        self._state.execute(Delete(self._key(tenant_id, found.id)))

    def _key(self, tenant_id: str, interaction_id: str) -> Key:
        return Key(tenant_id, KIND, lookup_hash(interaction_id))


def _decode(raw: bytes, interaction_id: str) -> Interaction:
    content = {**json.loads(raw), "id": interaction_id}
    if (shown := content["shown"]) is not None:
        content["shown"] = Shown.from_json(shown)
    return Interaction(**content)
