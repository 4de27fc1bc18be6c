"""What fuzzing found, each as a test of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.protocol.browserless import answer_of, new_public_client, request

if TYPE_CHECKING:
    from tests.conftest import Http


@pytest.mark.parametrize(
    "path", ["/", "/account", "/authorize", "/api/v1/me", "/api/v1/openapi.json", "/nowhere"]
)
def test_query_of_raw_bytes_is_refused(http: "Http", path: str) -> None:
    """RFC 3986 section 3.4: a query is ASCII. Reading it otherwise was a fault of the server's own."""
    answer = http.get(path, environ_overrides={"QUERY_STRING": "done=\xff\x80"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["//account", "/interaction//x", "//evil.example/authorize", "/logout//x?y=1"]
)
def test_doubled_slash_is_no_redirect(http: "Http", path: str) -> None:
    """A path is one path; there is no redirect made of the request's own words."""
    assert "Location" not in http.get(path).headers


@pytest.mark.parametrize("depth", [13, 100, 480, 900, 950, 2000])
@pytest.mark.parametrize("nested", [lambda n: "[" * n + "]" * n, lambda n: '{"a":' * n + "1" + "}" * n])
def test_deep_claims_are_refused(
    services: Services, tenant: TenantContext, http: "Http", depth: int, nested: Callable[[int], str]
) -> None:
    """JSON that can be read but not copied: from 480 levels on the server failed, up to where reading itself did."""
    new_public_client(services, tenant)
    claims = f'{{"userinfo": {{"name": {{"value": {nested(depth)}}}}}}}'
    answer = http.get("/authorize", query=request(claims=claims))
    assert answer_of(answer).parameters["error"] == "invalid_request"


def test_claims_of_a_usual_depth_are_not(services: Services, tenant: TenantContext, http: "Http") -> None:
    """Verified claims, as OpenID Connect for Identity Assurance nests them."""
    new_public_client(services, tenant)
    claims = (
        '{"userinfo": {"verified_claims": {"verification": {"evidence": [{"type": {"value": "document"}}]}}}}'
    )
    assert "/interaction/" in http.get("/authorize", query=request(claims=claims)).headers["Location"]
