"""openid-client and oauth4webapi, unchanged: code and PKCE, refresh, introspection, revocation, logout, replay.

They verify issuer, signatures, audiences, nonce, at_hash and state themselves.
"""

from typing import Any

import pytest

from tests.interop import deployment, scripts
from tests.live import LiveServer
from tests.person import Person

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SCOPE = "openid profile email offline_access"


def options(server: LiveServer, profile: str, method: str, **more: Any) -> dict[str, Any]:
    return {
        "issuer": server.base_url,
        "client_id": deployment.client_id(profile, method),
        "client_secret": deployment.SECRET,
        "redirect_uri": deployment.CALLBACK,
        "post_logout_redirect_uri": deployment.SIGNED_OUT,
        "scope": SCOPE,
        "pkce": profile == "oauth2.1",
    } | more


@pytest.mark.parametrize("profile", deployment.PROFILES)
def test_openid_client(server: LiveServer, alice: Person, profile: str) -> None:
    found = scripts.run("openid_client", alice, **options(server, profile, "client_secret_basic"))
    assert found["claims"]["iss"] == server.base_url
    assert found["claims"]["aud"] == deployment.client_id(profile, "client_secret_basic")
    assert found["userinfo"]["name"] == "Alice Adams"
    assert found["userinfo"]["email"] == "alice@example.com"
    assert found["userinfo"]["sub"] == found["claims"]["sub"]
    assert set(found["scope"].split()) == set(SCOPE.split())
    assert found["iss"] == server.base_url
    assert found["rotated"] is True
    assert (found["activeBefore"], found["activeAfter"]) == (True, False)
    assert found["refreshAfterRevocation"] == "invalid_grant"
    assert found["replay"] == "invalid_grant"
    assert found["logoutState"] is True


@pytest.mark.parametrize("profile", deployment.PROFILES)
def test_oauth4webapi(server: LiveServer, alice: Person, profile: str) -> None:
    more = {"scope": f"{SCOPE} read", "resource": deployment.RESOURCE, "algorithm": "RS256"}
    found = scripts.run("oauth4webapi", alice, **options(server, profile, "client_secret_post", **more))
    assert set(found["access"]["aud"]) == {deployment.RESOURCE, server.base_url}
    assert found["narrowAccess"]["aud"] in (deployment.RESOURCE, [deployment.RESOURCE])
    assert found["userinfoWithNarrow"] == 401
    assert found["access"]["sub"] == found["claims"]["sub"]
    assert "read" in found["access"]["scope"].split()
    assert found["userinfo"]["email_verified"] is True
    assert found["rotated"] is True
    assert found["refreshAfterRevocation"] == "invalid_grant"
    assert found["userinfoAfterRevocation"] == 401
