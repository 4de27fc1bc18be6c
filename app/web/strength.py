"""How good a new password is, on every page that sets one: of what was sent, and with scripts of what is typed."""

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app.domain import password_strength
from app.web.i18n import later

LABELS = (
    later("Very easy to guess"),
    later("Easy to guess"),
    later("Could be better"),
    later("Good"),
    later("Very good"),
)


@dataclass(frozen=True, slots=True)
class Strength:
    """How hard a password is to guess, 0 to 4, and in words."""

    score: int
    label: str


def of(password: str) -> Strength:
    """How good a password that was sent is."""
    score = password_strength.of(password)
    return Strength(score, _(LABELS[score]))


def meter(password: str = "") -> dict[str, Any]:
    """What a page's meter needs: how good what was sent is, if anything was, and the words for the browser's own."""
    return {"strength": of(password) if password else None, "labels": [_(label) for label in LABELS]}
