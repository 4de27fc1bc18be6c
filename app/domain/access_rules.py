"""From where and when people may work: a tenant's network and hour rules.

They hold wherever somebody gets something: at sign-in, refresh and token exchange alike. Whoever asks refuses with the
reason it gets.
"""

import ipaddress
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from app.domain.tenant_settings import EVERYWHERE, HourSettings, TenantSettings

NETWORK = "network.not_allowed"
HOURS = "hours.closed"

FEDERATED = "fed"
"""Among the `amr`: another organization's sign-in vouched for the person."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check(settings: TenantSettings, ip: str, now: datetime, *, amr: Collection[str] = ()) -> str | None:
    """Why a person at the address `ip` may not work at the moment `now`, as a reason code, or None.

    `amr` is how they signed in: who came by another organization's sign-in may be excepted from the network rule.
    What is no address is in no network.
    """
    network = settings.network
    excepted = network.allow == EVERYWHERE or (network.bypass_for_sso and FEDERATED in amr)
    if not excepted and not _is_in(ip, network.allow):
        return NETWORK
    if settings.hours is not None and not is_open(settings.hours, now):
        return HOURS
    return None


def is_open(hours: HourSettings, now: datetime) -> bool:
    """Whether `now` is within the hours, by the clocks of their time zone. Hours that run past midnight belong to the
    day they begin on."""
    there = now.astimezone(ZoneInfo(hours.timezone))
    today, hour = there.isoweekday(), there.hour
    if hours.start < hours.end:
        return today in hours.days and hours.start <= hour < hours.end
    yesterday = today - 1 or 7
    return (today in hours.days and hour >= hours.start) or (yesterday in hours.days and hour < hours.end)


def _is_in(ip: str, allowed: Sequence[str]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _networks(tuple(allowed)))


@lru_cache(maxsize=1024)
def _networks(allowed: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in allowed)
