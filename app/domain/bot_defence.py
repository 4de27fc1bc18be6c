"""Keeping programs from asking for accounts: a seam, and proof of work as the one that asks nobody else.

A browser with scripts works for a second or so, unseen. One without is let through under far stricter limits (see
`web.registration`): nothing is created before mail was read in either case.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Protocol

from app.infra.state import Key, PutIfAbsent, StateStore
from app.kernel import clock
from app.kernel.secrets import keyed_hash, new_secret

BITS = 16
"""Leading zero bits of the digest: 65,000 hashes on average, about a second in a browser."""
LIFETIME_SECONDS = 1800

_SHAPE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([0-9]{1,2})\.([0-9a-f]{64})")
_ANSWER = re.compile(r"[0-9]{1,12}")


class BotDefence(Protocol):
    """What tells people from programs. Another one is passed in by `wiring`."""

    def challenge(self, tenant_id: str) -> str:
        """What the page hands to its script. May be read by anybody."""
        ...

    def passes(self, tenant_id: str, challenge: str, answer: str) -> bool:
        """Whether the answer is right. Each challenge is good for one right answer."""
        ...


class ProofOfWork:
    """A number is wanted that makes SHA-256 of `challenge:number` begin with `BITS` zero bits."""

    def __init__(self, state: StateStore, secret: Callable[[], bytes]) -> None:
        self._state = state
        self._secret = secret

    def challenge(self, tenant_id: str) -> str:
        """A nonce with its end and its difficulty, signed: nothing is stored before an answer comes."""
        body = f"{new_secret()}.{clock.timestamp(clock.after(LIFETIME_SECONDS))}.{BITS}"
        return f"{body}.{self._mac(tenant_id, body)}"

    def passes(self, tenant_id: str, challenge: str, answer: str) -> bool:
        """See `BotDefence`."""
        found = _SHAPE.fullmatch(challenge)
        if found is None or not _ANSWER.fullmatch(answer):
            return False
        nonce, expires, bits, mac = found.groups()
        if not hmac.compare_digest(mac, self._mac(tenant_id, f"{nonce}.{expires}.{bits}")):
            return False
        if int(expires) < clock.timestamp(clock.now()) or not _is_hard(f"{challenge}:{answer}", int(bits)):
            return False
        fresh = PutIfAbsent(Key(tenant_id, "proof", nonce), b"1", LIFETIME_SECONDS + 60)
        return bool(self._state.execute(fresh).results[0])

    def _mac(self, tenant_id: str, body: str) -> str:
        return keyed_hash(self._secret(), f"proof of work\0{tenant_id}\0{body}").hex()


def _is_hard(text: str, bits: int) -> bool:
    digest = int.from_bytes(hashlib.sha256(text.encode("ascii")).digest())
    return digest >> (256 - bits) == 0
