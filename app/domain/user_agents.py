"""What a browser says it is, in words people know: its name, and the system it runs on."""

import re
from dataclasses import dataclass
from functools import lru_cache

import ua_parser

MAX_LENGTH = 400
"""Longer ones are cut: matching takes time, and nobody's browser needs more to say what it is."""

_GENERIC = ("Other", "Generic Smartphone", "Generic Feature Phone", "K")


@dataclass(frozen=True, slots=True)
class Agent:
    """A browser. What it does not say is empty."""

    browser: str = ""
    """Such as `Firefox 140`."""
    system: str = ""
    """Such as `Windows 11`."""
    device: str = ""
    """Such as `iPhone`; empty for ordinary computers."""


@lru_cache(maxsize=2048)
def describe(user_agent: str) -> Agent:
    """The browser of a User-Agent header. Nothing in it is verified: it is a hint for people."""
    if not user_agent:
        return Agent()
    found = ua_parser.parse(user_agent[:MAX_LENGTH])
    browser, system, device = found.user_agent, found.os, found.device
    named = device.model or device.family if device else ""
    return Agent(
        _clean(" ".join(filter(None, (browser.family, browser.major)))) if browser else "",
        _clean(" ".join(filter(None, (system.family, system.major)))) if system else "",
        _clean(named) if named and named not in _GENERIC else "",
    )


def is_the_same(before: str, now: str) -> bool:
    """Whether two User-Agent headers may be one browser's, which an update changes: same name, system and device."""
    if before == now:
        return True
    kinds = [
        (_unnumbered(agent.browser), _unnumbered(agent.system), agent.device)
        for agent in map(describe, (before, now))
    ]
    return kinds[0] == kinds[1] and kinds[0] != ("", "", "")


def _unnumbered(name: str) -> str:
    return re.sub(r" [\d.]+$", "", name)


def _clean(text: str) -> str:
    return re.sub(r"[^\w .()+/-]", "", text)[:60].strip()
