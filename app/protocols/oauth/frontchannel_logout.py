"""What the browser loads of applications when somebody signs out in it (OpenID Connect Front-Channel Logout 1.0)."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from app.domain.clients import ClientDirectory
from app.domain.session_notices import Part
from app.domain.tenants import TenantContext
from app.kernel import uris

MOST_FRAMES = 50
MOST_CHARACTERS = 2000
"""So much of the policy may be addresses: a proxy gives an answer up whose headers do not fit its buffer."""


def frames(tenant: TenantContext, clients: ClientDirectory, parts: Iterable[Part]) -> tuple[str, ...]:
    """The addresses to load, one for each client and session, with `iss` and `sid` for who wants them (section 2)."""
    found: dict[str, None] = {}
    for part in parts:
        client = clients.get(tenant.id, part.client_id)
        if client is None or client.frontchannel_logout_uri is None:
            continue
        told = [("iss", tenant.issuer), ("sid", part.session_id)]
        wanted = told if client.frontchannel_logout_session_required else []
        found[uris.with_query(client.frontchannel_logout_uri, wanted)] = None
    return tuple(found)[:MOST_FRAMES]


def sources(frames: Iterable[str]) -> tuple[str, ...]:
    """What the policy allows: exactly these addresses. Where they do not fit, their origins; of these, what fits. What
    is left out is not loaded."""
    exact = tuple(dict.fromkeys(map(source, frames)))
    if len(" ".join(exact)) <= MOST_CHARACTERS:
        return exact
    found: tuple[str, ...] = ()
    for origin in dict.fromkeys("/".join(each.split("/", 3)[:3]) for each in exact):
        if len(" ".join((*found, origin))) <= MOST_CHARACTERS:
            found += (origin,)
    return found


def source(frame: str) -> str:
    """What a Content-Security-Policy calls the address (CSP Level 3 section 2.3.1): it has no query there."""
    parts = urlsplit(frame)
    # Either would end the directive.
    return f"{parts.scheme}://{parts.netloc}{parts.path}".replace(";", "%3B").replace(",", "%2C")
