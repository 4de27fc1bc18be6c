"""openid-client and oauth4webapi, unchanged, as FAPI clients: PAR, JAR, JARM, DPoP, mutual TLS, RFC 9207.

The server is behind nginx with TLS, on granian and on gunicorn. The libraries check what comes themselves.
"""

import time
from typing import Any

import pytest
from joserfc import jwk

from tests.interop import deployment, scripts
from tests.interop.test_mtls_behind_nginx import World, clients, mine, site, world
from tests.person import Person

__all__ = ["clients", "mine", "site", "world"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

CALLBACK = "https://bank.example/cb"
SCOPE = "openid profile offline_access"
LIBRARIES = ("openid_client", "oauth4webapi")


@pytest.fixture(scope="module")
def key() -> jwk.ECKey:
    """The clients' own."""
    return jwk.ECKey.generate_key("P-256", {"kid": "bank-1", "use": "sig", "alg": "ES256"})


@pytest.fixture(scope="module")
def banks(world: World, key: jwk.ECKey) -> World:
    """A client of each of the two profiles."""
    known = [
        {
            "client_id": profile,
            "client_name": profile,
            "profile": profile,
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [key.as_dict(private=False)]},
            "id_token_signed_response_alg": "ES256",
            "authorization_signed_response_alg": "ES256",
            "dpop_bound_access_tokens": True,
            "dpop_nonce": True,
            "scope": SCOPE,
        }
        for profile in ("fapi2-security", "fapi2-message-signing")
    ]
    world.server.apply(deployment.document(*known))
    time.sleep(1)  # A running server sees the change within a second.
    return world


def run(banks: World, key: jwk.ECKey, script: str, profile: str, **more: Any) -> dict[str, Any]:
    found = scripts.run(
        script,
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=banks.server.base_url,
        client_id=profile,
        key=key.as_dict(private=True),
        redirect_uri=CALLBACK,
        scope=SCOPE,
        **more,
    )
    assert found["sent"] == ["client_id", "request_uri"]
    assert found["userinfo"]["name"] == "Alice Adams"
    assert found["tokenType"].lower() == found["refreshedType"].lower() == "dpop"
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_security_profile(banks: World, key: jwk.ECKey, library: str) -> None:
    """Pushed requests, private_key_jwt, DPoP with nonces; without `iss`, or with another's, the library stops."""
    found = run(banks, key, f"fapi_{library}", "fapi2-security", signing=False)
    assert found["arrived"] == ["code", "iss", "state"]
    assert found["mixedUp"].keys() == {"another", "none"}
    assert set(found["mixedUp"].values()) <= {"OAUTH_INVALID_RESPONSE"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_message_signing(banks: World, key: jwk.ECKey, library: str) -> None:
    """The request is a signed object that is pushed, the answer a signed token and nothing beside it."""
    found = run(banks, key, f"fapi_{library}", "fapi2-message-signing", signing=True)
    assert found["arrived"] == ["response"]


def test_openid_client_with_certificates(world: World) -> None:
    """Aliases from discovery, a pushed request, bound tokens; without the certificate the client is nobody."""
    certificate, private = world.clients.issue().write(world.folder, "node")
    found = scripts.run(
        "mtls_openid_client",
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=world.server.base_url,
        client_id="mtls-app",
        redirect_uri=deployment.CALLBACK,
        scope=SCOPE,
        certificate=certificate,
        key=private,
        authority=str(world.site.root),
    )
    assert found["userinfo"]["name"] == "Alice Adams"
    assert set(found["cnf"]) == {"x5t#S256"}
    assert found["withoutCertificate"] == "OAUTH_WWW_AUTHENTICATE_CHALLENGE", (
        "the 401 of a client nobody knows"
    )
    assert found["refreshed"] is True
