"""Comparing and reading URIs the way the specifications ask for."""

import ipaddress
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK_LITERALS = ("127.0.0.1", "[::1]")


def split(uri: str) -> SplitResult | None:
    """The parts of an absolute URI, or None when it is not one.

    Refuses what parsers disagree about: control characters, spaces, backslashes, a port that is no number.
    """
    if not uri.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in uri):
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme else None


def is_loopback_host(host: str | None) -> bool:
    """Whether a host name or address literal means this very machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_uri(uri: str) -> bool:
    """Whether the URI's host is this machine."""
    parts = split(uri)
    return parts is not None and is_loopback_host(parts.hostname)


def redirect_uri_matches(requested: str, registered: str, *, native_public: bool = False) -> bool:
    """Whether a requested redirect URI is the registered one.

    Exact string comparison (RFC 9700 section 2.1), but for the port of a loopback address literal
    (RFC 8252 section 7.3); `localhost` gets the same leniency from native public clients alone, because a
    name may be made to resolve elsewhere (RFC 8252 section 8.3).
    """
    if requested == registered:
        return True
    literals = (*_LOOPBACK_LITERALS, "localhost") if native_public else _LOOPBACK_LITERALS
    one, other = _portless(requested, literals), _portless(registered, literals)
    return one is not None and one == other


def _portless(uri: str, hosts: tuple[str, ...]) -> str | None:
    parts = split(uri)
    if parts is None or parts.scheme != "http" or "@" in parts.netloc:
        return None
    for host in hosts:
        if parts.netloc == host or parts.netloc.startswith(host + ":"):
            return uri.replace(parts.netloc, host, 1)
    return None


def canonical_resource(uri: str) -> str | None:
    """A resource indicator as we compare it, or None when it is not one (RFC 8707 section 2).

    Scheme and host in lower case, no default port, and a bare origin without its slash: clients add one.
    An absolute URI of any scheme is allowed; a fragment is not.
    """
    parts = split(uri)
    if parts is None or "#" in uri or not (parts.netloc or parts.path):
        return None
    if not parts.netloc:
        return uri
    if parts.hostname is None or "@" in parts.netloc:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    scheme = parts.scheme.lower()
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(scheme)) else f":{parts.port}"
    path = "" if parts.path == "/" and "?" not in uri else parts.path
    query = uri[uri.index("?") :] if "?" in uri else ""
    return f"{scheme}://{host}{port}{path}{query}"


def origin(uri: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of a URI, the default port in place of none; None for what has no host."""
    parts = split(uri)
    if parts is None or parts.hostname is None:
        return None
    scheme = parts.scheme.lower()
    return scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(scheme)


def with_query(uri: str, parameters: list[tuple[str, str]]) -> str:
    """`uri` with parameters added to its query, what is there kept as it is (RFC 6749 section 3.1.2)."""
    if not parameters:
        return uri
    base, mark, fragment = uri.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return base + joint + urlencode(parameters) + mark + fragment


def query_parameters(query: str) -> list[tuple[str, str]]:
    """The decoded pairs of a query string or form body, empty values kept, in order.

    Raises `ValueError` when there are more than a hundred.
    """
    return parse_qsl(query, keep_blank_values=True, max_num_fields=100)
