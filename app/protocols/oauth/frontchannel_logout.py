"""What the browser loads of applications when somebody signs out in it (OpenID Connect Front-Channel Logout 1.0)."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from app.domain.clients import ClientDirectory
from app.domain.session_notices import Part
from app.domain.tenants import TenantContext
from app.kernel import uris

MOST_FRAMES = 50


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


def source(frame: str) -> str:
    """What a Content-Security-Policy calls the address (CSP Level 3 section 2.3.1): it has no query there."""
    parts = urlsplit(frame)
    # Either would end the directive.
    return f"{parts.scheme}://{parts.netloc}{parts.path}".replace(";", "%3B").replace(",", "%2C")
