"""Apache with mod_auth_openidc, unchanged: sign in to a protected folder, refresh, sign out, tokens revoked."""

from urllib.parse import urlencode

import pytest
import requests

from tests.interop import deployment
from tests.interop.apache import Apache
from tests.live import LiveServer
from tests.person import Person

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("profile", "method"), [("oauth2.1", "client_secret_basic"), ("oidc-legacy", "client_secret_post")]
)
def test_mod_auth_openidc(server: LiveServer, alice: Person, profile: str, method: str) -> None:
    # A client of its own: what another run left of it might be remembered for a second.
    client_id = f"apache-{profile}"
    apache = Apache(server.base_url, client_id, deployment.SECRET, method, pkce=profile == "oauth2.1")
    private, callback = f"{apache.origin}/private/index.html", f"{apache.origin}/private/callback"
    known = deployment.client(client_id, profile, method, [callback])
    known["post_logout_redirect_uris"] = [f"{apache.origin}/index.html"]
    server.apply(deployment.document(known))
    with apache:
        returned = alice.walk(private, callback)
        page = alice.session.get(returned, timeout=20)
        assert (page.status_code, page.url, page.text) == (200, private, "for members only\n"), apache.errors
        assert page.headers["X-Name"] == "Alice Adams"
        first = page.headers["X-Access-Token"]
        assert _userinfo(server, first) == 200

        asked = urlencode({"refresh": private, "access_token": first})
        page = alice.session.get(f"{callback}?{asked}", timeout=20)
        assert (page.status_code, page.url) == (200, private), apache.errors
        second = page.headers["X-Access-Token"]
        assert second != first

        left = alice.walk(
            f"{callback}?{urlencode({'logout': f'{apache.origin}/index.html'})}",
            f"{apache.origin}/index.html",
        )
        assert left == f"{apache.origin}/index.html"
        assert _userinfo(server, second) == 401
        assert alice.session.get(private, timeout=20, allow_redirects=False).status_code == 302


def _userinfo(server: LiveServer, token: str) -> int:
    answer = requests.get(
        f"{server.base_url}/userinfo", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    return answer.status_code
