"""What anybody may make the server remember, and how much of it."""

from typing import Any

import pytest

from app.domain.tenants import TenantContext
from app.infra.limits import AUTHORIZE
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import new_person, new_public_client, request

STRANGER: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}
NEIGHBOUR: dict[str, Any] = {"environ_base": {"REMOTE_ADDR": "203.0.113.10"}}


def _use_up(services: Services, tenant: TenantContext, address: str) -> None:
    """As if the network had begun as many as it may."""
    counted = AUTHORIZE.count(tenant.id, address)
    for _ in range(AUTHORIZE.most // 100):
        services.state.execute(*[counted] * 100)


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/authorize", {"query": request()}),
        ("POST", "/authorize", {"form": request()}),
        ("GET", "/sign-in", {}),
        ("GET", "/", {}),
        ("GET", "/account", {}),
        ("POST", "/logout", {"form": {"state": "s" * 2000}}),
    ],
)
def test_one_network_cannot_fill_the_state_store(
    http: Http, services: Services, tenant: TenantContext, method: str, path: str, content: dict[str, Any]
) -> None:
    new_public_client(services, tenant)
    _use_up(services, tenant, "203.0.113.9")
    refused = http.request(method, path, **content, **STRANGER)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert "Set-Cookie" not in refused.headers
    assert http.request(method, path, **content, **NEIGHBOUR).status_code in (200, 303)


def test_an_ipv6_subscriber_is_one_network(http: Http, services: Services, tenant: TenantContext) -> None:
    _use_up(services, tenant, "2001:db8:1:2::/64")
    elsewhere = {"environ_base": {"REMOTE_ADDR": "2001:db8:1:2:ffff::7"}}
    assert http.get("/sign-in", **elsewhere).status_code == 429


def test_a_browser_keeps_few_interactions(http: Http, services: Services, tenant: TenantContext) -> None:
    """Cookies are sent with every request: endless ones would make every page unreachable."""
    new_person(services, tenant)
    for _ in range(12):
        assert http.get("/sign-in").status_code == 200
    kept = [name for name in (c.key for c in (http.client._cookies or {}).values()) if "-i" in name]
    assert 1 <= len(kept) <= 5
