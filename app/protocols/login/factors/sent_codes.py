"""Codes that are sent to somebody, and the link that may go with one: six digits, ten minutes, five tries, one use.

A code is good in one interaction alone, which one browser holds, for one purpose. Of code and link only keyed hashes
are kept, in the state store. How many are sent is bounded per person and per network: somebody who asks for them again
and again must fill nobody's mailbox, and cost nobody's money.
"""

import json
import secrets
from dataclasses import dataclass

from app.infra import limits
from app.infra.limits import Limit
from app.infra.state import Delete, Get, Increment, Key, Put, StateStore, TakeOnce
from app.kernel.secrets import b64url, equal, keyed_hash, lookup_hash, new_secret
from app.protocols.login.factors.outcome import Blocked, Origin

KIND = "sent-code"
TRIES_KIND = "sent-code-tries"
DIGITS = 6
MINUTES = 10
SECONDS = MINUTES * 60
MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes into the message, and nowhere else."""

    code: str
    link: str
    """The secret of the link, 256 bits."""


class SentCodes:
    """Makes, bounds and checks codes. `pepper` is the deployment's."""

    def __init__(self, state: StateStore, pepper: bytes) -> None:
        self._state = state
        self._pepper = pepper

    def allow(self, tenant_id: str, whom: str, by: tuple[Limit, ...], origin: Origin) -> Blocked | None:
        """Count one message to `whom` (a person, or an address nobody has). None: it may be sent."""
        counted: list[Increment] = []
        for limit in by:
            if limit is limits.CODES_NETWORK:
                counted += limits.by_network(limit, tenant_id, origin.ip)
            else:
                counted.append(limit.count(tenant_id, "" if limit is limits.CODES_BY_TEXT_ALL else whom))
        outcome = self._state.execute(*counted)
        return None if outcome.ok else Blocked("rate.messages", outcome.retry_after_seconds or 1)

    def make(self, tenant_id: str, interaction_id: str, purpose: str, subject: str) -> Sent:
        """A new code, in place of an earlier one. `subject` is who or what it will have shown."""
        sent = Sent(f"{secrets.randbelow(10**DIGITS):0{DIGITS}}", new_secret())
        key = _key(tenant_id, interaction_id, purpose)
        content = {
            "subject": subject,
            "code": self._hash(key, "code", sent.code),
            "link": self._hash(key, "link", sent.link),
        }
        self._state.execute(Put(key, json.dumps(content).encode(), SECONDS), Delete(_tries(key)))
        return sent

    def is_waiting(self, tenant_id: str, interaction_id: str, purpose: str) -> bool:
        """Whether there is a code that may still be typed."""
        return self._state.execute(Get(_key(tenant_id, interaction_id, purpose))).results[0] is not None

    def check(
        self, tenant_id: str, interaction_id: str, purpose: str, typed: str, *, kind: str = "code"
    ) -> str | None:
        """The subject of the code, which is used up by that; None when it is not good. Counts the try first."""
        key = _key(tenant_id, interaction_id, purpose)
        outcome = self._state.execute(
            Increment(_tries(key), SECONDS, limit=MAX_TRIES), Get(key, required=True)
        )
        if not outcome.ok:
            return None
        content = json.loads(outcome.results[1])
        if not equal(content[kind], self._hash(key, kind, "".join(typed.split()))):
            return None
        # Of any number of right tries at once, one takes it.
        taken = self._state.execute(TakeOnce(key)).results[0]
        return str(content["subject"]) if taken == outcome.results[1] else None

    def _hash(self, key: Key, kind: str, secret: str) -> str:
        return b64url(keyed_hash(self._pepper, f"sent code\0{kind}\0{key}\0{secret}"))


EMAIL_LIMITS = (limits.CODES_BY_MAIL, limits.CODES_BY_MAIL_DAY, limits.CODES_NETWORK)
SMS_LIMITS = (limits.CODES_BY_TEXT, limits.CODES_BY_TEXT_DAY, limits.CODES_NETWORK, limits.CODES_BY_TEXT_ALL)


def _key(tenant_id: str, interaction_id: str, purpose: str) -> Key:
    return Key(tenant_id, KIND, f"{purpose}:{lookup_hash(interaction_id)}")


def _tries(key: Key) -> Key:
    return Key(key.tenant_id, TRIES_KIND, key.id)
