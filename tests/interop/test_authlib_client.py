"""Authlib's client on requests, unchanged: code and PKCE, refresh, revocation, introspection, logout.

The ID token is verified with joserfc against the published keys, as Authlib's integrations do.
"""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.interop import deployment
from tests.live import LiveServer
from tests.person import Person

pytestmark = pytest.mark.interop

VERIFIER = "v" * 43


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("profile", deployment.PROFILES)
def test_authlib_client(
    server: LiveServer, alice: Person, profile: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    metadata = requests.get(f"{server.base_url}/.well-known/openid-configuration", timeout=10).json()
    pkce = profile == "oauth2.1"
    client_id = deployment.client_id(profile, method)
    client = OAuth2Session(
        client_id,
        deployment.SECRET,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="openid profile offline_access",
        redirect_uri=deployment.CALLBACK,
        code_challenge_method="S256" if pkce else None,
    )
    proof = {"code_verifier": VERIFIER} if pkce else {}
    url, state = client.create_authorization_url(metadata["authorization_endpoint"], nonce="n-1", **proof)
    callback = alice.walk(url, deployment.CALLBACK)
    token = client.fetch_token(
        metadata["token_endpoint"], authorization_response=callback, state=state, **proof
    )

    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
    decoded = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        options={"iss": {"value": server.base_url}, "aud": {"value": client_id}},
        params={"nonce": "n-1", "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate(leeway=5)
    assert client.get(metadata["userinfo_endpoint"]).json()["sub"] == claims["sub"]

    refreshed = client.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
    assert refreshed["access_token"] != token["access_token"]
    answer = client.introspect_token(
        metadata["introspection_endpoint"], refreshed["access_token"], "access_token"
    )
    assert answer.json()["active"] is True
    revoked = client.revoke_token(
        metadata["revocation_endpoint"], refreshed["refresh_token"], "refresh_token"
    )
    assert revoked.status_code == 200
    with pytest.raises(OAuthError) as refusal:
        client.refresh_token(metadata["token_endpoint"], refresh_token=refreshed["refresh_token"])
    assert refusal.value.error == "invalid_grant"

    leave = {
        "id_token_hint": token["id_token"],
        "post_logout_redirect_uri": deployment.SIGNED_OUT,
        "state": "s1",
    }
    left = alice.walk(f"{metadata['end_session_endpoint']}?{urlencode(leave)}", deployment.SIGNED_OUT)
    assert parse_qs(urlsplit(left).query)["state"] == ["s1"]
