"""Which network addresses an outbound fetch may reach (contracts 19)."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_ALSO_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",  # IETF protocol assignments, the globally reachable ones included
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated
        "::/96",  # IPv4-compatible, deprecated
        "64:ff9b:1::/48",  # local-use translation
        "100:0:0:1::/64",  # dummy prefix
        "2001::/23",  # IETF protocol assignments: Teredo, ORCHID, benchmarking
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, deprecated
    )
)
"""Registered special-purpose blocks (RFC 6890 and its registry) that some versions of `ipaddress` call global."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, also where it only wraps another (mapped, 6to4, NAT64)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None:
            return False
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    return not any(address in block for block in _ALSO_SPECIAL if block.version == address.version)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class AllowList:
    """Special-use networks and host names that may be reached all the same (`WATCHWORD_FETCH_ALLOW`)."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: list[Network] = []
        self._hosts: set[str] = set()
        for entry in entries:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._hosts.add(entry.lower().rstrip("."))

    def permits(self, host: str, address: Address) -> bool:
        """Whether `host`, which resolved to `address`, may be reached there."""
        return is_public(address) or self.names(host, address)

    def names(self, host: str, address: Address) -> bool:
        """Whether the operator allowed this very host or network."""
        if host.lower().rstrip(".") in self._hosts:
            return True
        return any(address in block for block in self._networks if block.version == address.version)
