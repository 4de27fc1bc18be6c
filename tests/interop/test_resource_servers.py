"""Apache with mod_oauth2 and nginx with njs before an API whose tokens are bound to certificates (RFC 8705 section 3).

Their directives are those of the how-to page; `tests/docs/test_resource_servers.py` has the rest of it.
"""

import base64
import time
from collections.abc import Iterator

import pytest

from tests.docs import pages
from tests.interop import deployment
from tests.interop.resource_servers import ApacheApi, ApiServer, NginxApi
from tests.interop.test_mtls_behind_nginx import CC, World, clients, mine, site, world
from tests.protocol.certified import Authority, Certified

__all__ = ["clients", "mine", "site", "world"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

PAGE = "docs/how-to/resource-servers.md"
GATE = {
    "client_id": "orders-gate",
    "client_secret": deployment.SECRET,
    "grant_types": ["client_credentials"],
    "resource_server_for": [deployment.RESOURCE],
}


def directives(language: str, issuer: str, trusted: Authority) -> list[str]:
    """The blocks of the page, for the deployment of these tests."""
    pair = base64.b64encode(f"orders-gate:{deployment.SECRET}".encode()).decode()
    changes = {
        "https://id.example.com": issuer,
        "orders:read": "read",
        "THE-PRINTED-SECRET-IN-BASE64": pair,
        "THE-PRINTED-SECRET": deployment.SECRET,
        # The authority of this run is known to nobody else.
        "introspect.auth": "introspect.ssl_verify=false&introspect.auth",
        "/etc/ssl/certs/ca-certificates.crt": str(trusted.root),
        # nginx compares names with names alone, and this issuer is an address.
        "proxy_ssl_server_name on;": "proxy_ssl_server_name on; proxy_ssl_name localhost;",
        "/jwks verify": "/jwks jwks_uri.ssl_verify=false&verify",
        "/jwks type": "/jwks jwks_uri.ssl_verify=false&type",
    }
    found = [block.text for block in pages.page(PAGE).of(language)]
    for old, new in changes.items():
        found = [text.replace(old, new) for text in found]
    return found


@pytest.fixture(scope="module", params=["apache", "nginx"])
def api(request: pytest.FixtureRequest, world: World) -> Iterator[tuple[ApiServer, str]]:
    """A web server with an API behind it, and the path where certificates count."""
    world.server.apply(deployment.document(GATE))
    time.sleep(1)  # A running server sees the change within a second.
    text = directives(request.param, world.server.base_url, world.site)
    server: ApiServer
    if request.param == "apache":
        server, path = ApacheApi(world.site, "\n".join(text)), "/orders/certified/"
    else:
        server, path = NginxApi(world.site, *text), "/orders"
    with server:
        yield server, path


def test_a_token_is_good_with_its_certificate_alone(world: World, api: tuple[ApiServer, str]) -> None:
    server, path = api
    shown, other = world.clients.issue(), world.clients.issue()
    answer = world.post("/token", shown, {**CC, "client_id": "issued"})
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def ask(certificate: Certified | None) -> int:
        files = certificate.write(world.folder, "api") if certificate else None
        return server.get(path, certificate=files, **headers).status_code

    assert ask(shown) == 200, server.errors
    for wrong in (None, other, Authority("Others").issue()):
        assert ask(wrong) == 401
    assert ask(shown) == 200
