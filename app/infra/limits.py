"""Rate limits (contracts 25): how often something may happen to one subject, counted in the state store.

A limit is an operation in the caller's own batch, so that asking costs no trip of its own; the batch stops at it. There
are two ways to use one:

* `count` counts every attempt, before it is made, so that parallel guesses do not pass together. For passwords.
* `look` asks without counting, `fail` counts what failed. For client authentication with generated secrets, where a
  client that presents the right one a thousand times a second is welcome and must never meet the limit.

Windows are fixed: they begin with the first count and end `window_seconds` later, which is what `Retry-After` says.
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from app.infra.state import Increment, Key, Outcome
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash

_REMEMBERED = 4096
"""How many subjects a process keeps the operations of: they depend on nothing else."""


WIDER = 8
"""How many networks of one IPv6 site may be as busy as each may be by itself (`by_network`)."""


class RateLimited(Problem):
    """Too much of something. `retry_after_seconds` is exact, at least 1."""

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__("rate.limited", "Too many attempts. Try again later.", detail=detail, status=429)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """So many counts of one subject in one window. The subject is not stored, only its hash."""

    name: str
    most: int
    window_seconds: int

    def count(self, tenant_id: str, *subject: str) -> Increment:
        """Count one; refused when that is more than the limit."""
        return _increment(self.name, tenant_id, subject, self.window_seconds, 1, self.most)

    def look(self, tenant_id: str, *subject: str) -> Increment:
        """Count nothing; refused when the limit was reached."""
        return _increment(self.name, tenant_id, subject, self.window_seconds, 0, self.most - 1)

    def fail(self, tenant_id: str, *subject: str) -> Increment:
        """Count one; never refused."""
        return Increment(self._key(tenant_id, subject), self.window_seconds)

    def _key(self, tenant_id: str, subject: tuple[str, ...]) -> Key:
        return _key(self.name, tenant_id, subject)


def taken_back(counted: Increment) -> Increment:
    """The operation that undoes a count: it should not have been made."""
    return Increment(counted.key, counted.window_seconds, amount=-counted.amount)


def _key(name: str, tenant_id: str, subject: tuple[str, ...]) -> Key:
    return Key(tenant_id, "limit", f"{name}:{lookup_hash(chr(0).join(subject))}")


@lru_cache(maxsize=_REMEMBERED)
def _increment(
    name: str, tenant_id: str, subject: tuple[str, ...], window_seconds: int, amount: int, limit: int
) -> Increment:
    return Increment(_key(name, tenant_id, subject), window_seconds, amount, limit)


CLIENT_REQUESTS = Limit("client_requests", 600_000, 60)
"""Requests of one authenticated client: far above what it should ever make, against one that ran wild. `count`."""
CLIENT_FAILURES = Limit("client_failures", 20, 300)
"""Failed authentications as one client from one network, at token, introspection, revocation. `look` and `fail`."""
NETWORK_FAILURES = Limit("network_failures", 100, 300)
"""Failed authentications from one network, whoever they claim to be. `look` and `fail`."""
USERINFO_FAILURES = Limit("userinfo_failures", 100, 300)
"""Requests to UserInfo from one network with a token that is none. `count`, when it failed; good ones always pass."""
API_FAILURES = Limit("api_failures", 100, 300)
"""Requests to our own API from one network with a token that is none. `count`, when it failed."""
REQUEST_URIS = Limit("request_uris", 60, 60)
"""Requests by reference of one client from one network: each makes us knock at the client's door. `count`."""
REQUEST_URIS_NETWORK = Limit("request_uris_network", 120, 60)
"""The same of all clients: who may register one may register many. `count`."""
REQUEST_URIS_ALL = Limit("request_uris_all", 600, 60)
"""The same from all networks together. `count`."""
AUTHORIZE = Limit("authorize", 600, 60)
"""What is kept for a browser that is not signed in yet: authorization, sign-in and sign-out requests from one network;
generous, as an office may share an address. `count`."""
SIGN_IN_NETWORK = Limit("sign_in_network", 100, 300)
"""Sign-in attempts from one network. `count`, and `taken_back` when it succeeded."""
SIGN_IN_ALL = Limit("sign_in_all", 1000, 900)
"""The same with passwords from all networks together: beyond it each gets few. `count`, and `taken_back` when it
succeeded."""
FIRST_ADMIN = Limit("first_admin", 20, 3600)
"""Requests from one network for first-administrator links that are none. `count`, when it failed."""
LINK_GUESSES = Limit("link_guesses", 20, 3600)
"""Requests from one network for one-time links that are none. `count`, when it failed."""
LINK_FORMS = Limit("link_forms", 20, 3600)
"""Accounts and passwords sent from behind one link: each may cost a hash, and says whether a name is taken. `count`."""
LINK_FORMS_NETWORK = Limit("link_forms_network", 100, 300)
"""The same from one network, whatever the links. `count`."""
REGISTRATION = Limit("registration", 30, 3600)
"""Accounts asked for from one network by browsers that did their proof of work. `count`."""
REGISTRATION_UNPROVEN = Limit("registration_unproven", 5, 3600)
"""The same without the proof, as without scripts. `count`."""
REGISTRATION_UNPROVEN_ALL = Limit("registration_unproven_all", 60, 3600)
"""The same from all networks together. `count`."""
MAIL_TO_ADDRESS = Limit("mail_to_address", 3, 3600)
"""Links somebody has sent to one address without being signed in; what is beyond goes nowhere, and nobody is told.
`count`."""
RESET_NETWORK = Limit("reset_network", 30, 3600)
"""New passwords asked for from one network. `count`."""
EMAIL_CHANGES = Limit("email_changes", 5, 3600)
"""Other addresses one person asks for, and confirmations sent again. `count`."""
LOCKOUT_NOTICE = Limit("lockout_notice", 1, 86400)
"""Mails to one person that their account was locked. `count`."""
SECOND_STEP_NOTICE = Limit("second_step_notice", 1, 86400)
"""Mails to one person that their second step was guessed at, by whoever got past the first. `count`."""
RECOVERY_NOTICE = Limit("recovery_notice", 10, 86400)
"""Mails to one person that recovery codes were made, or one was used. `count`."""
CODES_BY_MAIL = Limit("codes_by_mail", 5, 900)
"""Codes and links to sign in, sent by e-mail to one person. `count`."""
CODES_BY_MAIL_DAY = Limit("codes_by_mail_day", 20, 86400)
"""The same in a day. `count`."""
CODES_BY_TEXT = Limit("codes_by_text", 3, 900)
"""Codes sent by text message to one person. `count`."""
CODES_BY_TEXT_DAY = Limit("codes_by_text_day", 10, 86400)
"""The same in a day. `count`."""
CODES_BY_TEXT_ALL = Limit("codes_by_text_all", 500, 3600)
"""Text messages of one tenant: somebody who earns by every message has to be stopped somewhere. `count`."""
CODES_NETWORK = Limit("codes_network", 30, 3600)
"""Codes sent for one network, to whomever. `count`."""
DEVICE_NETWORK = Limit("device_network", 100, 300)
"""Device requests from one network. `count`."""
DEVICE_CLIENT = Limit("device_client", 3000, 300)
"""Device requests of one client: a public one is anybody. `count`."""
DEVICE_CODES = Limit("device_codes", 20, 300)
"""Device codes typed from one network that are none. `count`, when it was none."""
DEVICE_CODES_ALL = Limit("device_codes_all", 2000, 300)
"""The same of a whole tenant: what many networks together may guess. `count`, when it was none."""
CLIENT_REGISTRATION = Limit("client_registration", 300, 3600)
"""Clients registered from one network. `count`."""
CLIENT_REGISTRATION_ALL = Limit("client_registration_all", 3000, 3600)
"""The same from all networks together, without an initial access token. `count`."""
CLIENT_REGISTRATION_HELD = Limit("client_registration_held", 3000, 3600)
"""The same with one: whoever has none cannot use it up. `count`."""
CLIENT_LOGOS = Limit("client_logos", 12, 3600)
"""Logos fetched of one client, whatever addresses it names. `count`, and `taken_back` when there was no place."""
CLIENT_LOGOS_ALL = Limit("client_logos_all", 600, 3600)
"""The same of all clients of a tenant: whoever may register one may register many. So many that are never answered
keep a quarter of a process's places for logos busy (`fetch.LOGOS`); others have the rest. `count`, likewise."""
REGISTRATION_TOKENS = Limit("registration_tokens", 30, 300)
"""Tokens of registration from one network that are none. `count`, when it failed."""

LIMITS = (
    CLIENT_REQUESTS,
    CLIENT_FAILURES,
    NETWORK_FAILURES,
    USERINFO_FAILURES,
    API_FAILURES,
    REQUEST_URIS,
    REQUEST_URIS_NETWORK,
    REQUEST_URIS_ALL,
    AUTHORIZE,
    SIGN_IN_NETWORK,
    SIGN_IN_ALL,
    FIRST_ADMIN,
    LINK_GUESSES,
    LINK_FORMS,
    LINK_FORMS_NETWORK,
    REGISTRATION,
    REGISTRATION_UNPROVEN,
    REGISTRATION_UNPROVEN_ALL,
    MAIL_TO_ADDRESS,
    RESET_NETWORK,
    EMAIL_CHANGES,
    LOCKOUT_NOTICE,
    SECOND_STEP_NOTICE,
    RECOVERY_NOTICE,
    CODES_BY_MAIL,
    CODES_BY_MAIL_DAY,
    CODES_BY_TEXT,
    CODES_BY_TEXT_DAY,
    CODES_BY_TEXT_ALL,
    CODES_NETWORK,
    DEVICE_NETWORK,
    DEVICE_CLIENT,
    DEVICE_CODES,
    DEVICE_CODES_ALL,
    CLIENT_REGISTRATION,
    CLIENT_REGISTRATION_ALL,
    CLIENT_REGISTRATION_HELD,
    CLIENT_LOGOS,
    CLIENT_LOGOS_ALL,
    REGISTRATION_TOKENS,
)
"""Every fixed limit. How often one account may be tried is the tenant's to set (`authentication.lockout`)."""


@lru_cache(maxsize=_REMEMBERED)
def network_of(address: str) -> str:
    """What counts as one network: an IPv4 address, or the /64 an IPv6 address is of, which one customer has whole.

    What is no address counts as itself.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def by_network(limit: Limit, tenant_id: str, address: str) -> tuple[Increment, ...]:
    """Count one of an address's network; of an IPv6 address, also of the /48 it is of, at `WIDER` times the limit: a
    site has 65,536 networks. In one batch; `require` takes the limit for each."""
    narrow = limit.count(tenant_id, network_of(address))
    if (site := _site_of(address)) is None:
        return (narrow,)
    return narrow, Limit(f"{limit.name}_site", limit.most * WIDER, limit.window_seconds).count(
        tenant_id, site
    )


@lru_cache(maxsize=_REMEMBERED)
def _site_of(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is not None:
        return None
    return str(ipaddress.IPv6Network((int(parsed) >> 80 << 80, 48)))


def require(outcome: Outcome, *limits: Limit | None) -> None:
    """Raise `RateLimited` when a limit refused the batch. `limits` are those of its operations, in order."""
    if outcome.refused is None:
        return
    limit = limits[outcome.refused] if outcome.refused < len(limits) else None
    if limit is not None:
        raise RateLimited(f"limit {limit.name}", outcome.retry_after_seconds or 1)
