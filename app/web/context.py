"""Whose request it is: the tenant of a host and path, and the address behind trusted proxies."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from app.domain.tenant_directory import TenantDirectory
from app.domain.tenants import DEFAULT_SLUG, TenantContext
from app.kernel.settings import Network

WELL_KNOWN = "/.well-known/"
TENANT_PREFIX = "/t/"

_DEFAULT_PORT = {"http": ":80", "https": ":443"}
_INSERTED = re.compile(r"(/\.well-known/[a-z-]+)/t/([^/]+)")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)  # Not frozen: that alone doubles what making one costs.
class Place:
    """Where a request belongs: a tenant, what precedes the tenant's paths, and the path within the tenant."""

    tenant: TenantContext
    prefix: str
    path: str
    without_pages: bool = False
    """Whether it is where clients show certificates, and people have no business."""


class Locator:
    """Finds the tenant of a request. A host that is none of ours gives None: it may be somebody poisoning links."""

    def __init__(self, tenants: TenantDirectory, base_url: str, mtls_url: str = "") -> None:
        self._tenants = tenants
        self._mtls_host = mtls_url.partition("://")[2]
        scheme, _, self._base_host = base_url.partition("://")
        self._default_port = _DEFAULT_PORT[scheme]

    def locate(self, host: str, path: str) -> Place | None:
        """The place of a Host header and a path, or None when no enabled tenant is there.

        `{base}/t/{slug}` is a tenant without a host of its own; one that has a host is only there. The well-known
        documents of `/t/{slug}` are also found in the form of RFC 8414 section 3.1.
        """
        name = host if host == self._base_host else host.lower().removesuffix(self._default_port)
        if name != self._base_host:
            if self._mtls_host and name == self._mtls_host:
                return self._where_certificates_are_asked_for(path)
            tenant = self._tenants.by_host(name)
            return Place(tenant, "", path) if tenant else None
        if path.startswith(TENANT_PREFIX):
            slug, slash, rest = path[len(TENANT_PREFIX) :].partition("/")
            return self._under_path(slug, slash + rest)
        if path.startswith(WELL_KNOWN) and (inserted := _INSERTED.fullmatch(path)):
            return self._under_path(inserted[2], inserted[1])
        tenant = self._tenants.by_slug(DEFAULT_SLUG)
        return Place(tenant, "", path) if tenant and tenant.host is None else None

    def _where_certificates_are_asked_for(self, path: str) -> Place | None:
        """Every tenant is there, one with a host of its own too (RFC 8705 section 5)."""
        slug, prefix, rest = DEFAULT_SLUG, "", path
        if path.startswith(TENANT_PREFIX):
            slug, slash, rest = path[len(TENANT_PREFIX) :].partition("/")
            prefix, rest = TENANT_PREFIX + slug, slash + rest
        tenant = self._tenants.by_slug(slug)
        return Place(tenant, prefix, rest or "/", without_pages=True) if tenant else None

    def serves(self, host: str) -> bool:
        """Whether the host is the deployment's or one of a tenant."""
        name = host.lower().removesuffix(self._default_port)
        return name == self._base_host or self._tenants.by_host(name) is not None

    def _under_path(self, slug: str, rest: str) -> Place | None:
        tenant = self._tenants.by_slug(slug)
        prefix = TENANT_PREFIX + slug
        return Place(tenant, prefix, rest or "/") if tenant and tenant.path == prefix else None


class Proxies:
    """Which peers are believed about whom they speak for."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._check)

    def trusts(self, peer: str) -> bool:
        """Whether this peer's X-Forwarded headers are believed."""
        return bool(self._trusted) and self._is_trusted(peer)

    def address(self, peer: str, forwarded_for: str) -> str:
        """The address of whoever sent the request: the rightmost one no trusted proxy vouches for itself.

        Everything left of it was written by somebody untrusted.
        """
        if not forwarded_for or not self.trusts(peer):
            return peer
        found = peer
        for hop in reversed(forwarded_for.split(",")):
            address = _parse(hop.strip())
            if address is None:
                return found
            found = str(address)
            if not self._is_trusted(found):
                return found
        return found

    def scheme(self, peer: str, scheme: str, forwarded_proto: str) -> str:
        """The scheme the request came in by."""
        if not forwarded_proto or not self.trusts(peer):
            return scheme
        last = forwarded_proto.rpartition(",")[2].strip().lower()
        return last if last in ("http", "https") else scheme

    def request_id(self, peer: str, given: str) -> str | None:
        """The request id a trusted proxy gave, where it is fit for a log line."""
        return given if given and self.trusts(peer) and _REQUEST_ID.fullmatch(given) else None

    def _check(self, text: str) -> bool:
        address = _parse(text)
        return address is not None and any(address in network for network in self._trusted)


def _parse(text: str) -> Address | None:
    """An address as proxies write it: bare, with a port, bracketed, or IPv4 mapped into IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def host_of(base_url: str) -> str:
    """The Host header a request to this deployment carries."""
    return urlsplit(base_url).netloc
