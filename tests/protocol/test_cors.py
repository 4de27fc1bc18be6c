"""Cross-origin requests (Fetch standard; contracts 22)."""

import pytest

from app.web.endpoints import ENDPOINTS, Endpoint
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

OPEN = {"openid_configuration", "oauth_metadata", "jwks", "par", "token", "revoke", "userinfo"}
OPEN |= {"device_authorization", "client_registration", "client_configuration"}
ORIGIN = {"Origin": "https://spa.example"}


def test_registry_opens_what_browsers_need_and_no_more() -> None:
    """Never `/authorize` and `/logout`, which people navigate to, nor introspection, which needs a secret."""
    assert {e.name for e in ENDPOINTS if e.cors} == OPEN


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.cors], ids=lambda e: e.name)
def test_preflight_is_answered(side: TokenSide, endpoint: Endpoint) -> None:
    asked = {
        **ORIGIN,
        "Access-Control-Request-Method": endpoint.methods[0],
        "Access-Control-Request-Headers": "authorization, content-type, dpop",
    }
    answer = side.http.request("OPTIONS", endpoint.path, headers=asked)
    assert answer.status_code == 204
    assert answer.data == b""
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert set(answer.headers["Access-Control-Allow-Methods"].split(", ")) == set(endpoint.methods)
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "dpop", "mcp-protocol-version"} <= set(allowed)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.cors], ids=lambda e: e.name)
def test_every_answer_may_be_read_errors_included(side: TokenSide, endpoint: Endpoint) -> None:
    """A script that cannot read the error cannot tell its user anything."""
    for method in (endpoint.methods[0], *(["DELETE"] if not endpoint.beside_pages else [])):
        answer = side.http.request(method, endpoint.path, headers=ORIGIN)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Expose-Headers"] == "DPoP-Nonce, WWW-Authenticate"
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if not e.cors], ids=lambda e: e.name)
def test_the_rest_is_closed(side: TokenSide, endpoint: Endpoint) -> None:
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        answer = side.http.request(method, endpoint.path, headers=asked)
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
