"""`watchword client check`: what a client may still do that its profile forbids."""

from typing import Any

import pytest

from app.domain.tenants import TenantContext
from app.infra.signing import SigningKeyHandle
from app.protocols.oauth.profile_check import RULES
from app.web.services import Services
from tests.protocol.parties import new_client
from tests.unit.commands.conftest import Watchword

JWKS = {"keys": [SigningKeyHandle.generate("ES256").public_jwk]}
RSA = {**SigningKeyHandle.generate("RS256").public_jwk, "alg": "RS256"}
SOUND: dict[str, Any] = {
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": JWKS,
    "grant_types": ["authorization_code", "refresh_token"],
    "scope": "openid",
    "id_token_signed_response_alg": "ES256",
    "authorization_signed_response_alg": "ES256",
}


def check(watchword: Watchword, tenant: TenantContext, client_id: str, *options: str) -> Any:
    return watchword("client", "check", client_id, "--tenant", tenant.slug, "--json", *options)


@pytest.mark.parametrize("profile", ["fapi2-security", "fapi2-message-signing"])
def test_sound_client(watchword: Watchword, services: Services, tenant: TenantContext, profile: str) -> None:
    party = new_client(services, tenant, profile=profile, **SOUND)
    done = check(watchword, tenant, party.client_id)
    assert done.json["findings"] == []
    assert done.status == 0
    told = watchword("client", "check", party.client_id, "--tenant", tenant.slug)
    assert "nothing that" in told.out


BROKEN: dict[str, dict[str, Any]] = {
    "token_endpoint_auth_method": {"token_endpoint_auth_method": "client_secret_basic", "jwks": None},
    "token_endpoint_auth_signing_alg": {"token_endpoint_auth_signing_alg": "RS256"},
    "request_object_signing_alg": {"request_object_signing_alg": "RS256"},
    "id_token_signed_response_alg": {"id_token_signed_response_alg": "RS256"},
    "authorization_signed_response_alg": {"authorization_signed_response_alg": "RS256"},
    "userinfo_signed_response_alg": {"userinfo_signed_response_alg": "RS256"},
    "federated_credentials": {"federated_credentials": [{"issuer": "https://ci.example", "subject": "job"}]},
    "redirect_uris": {"redirect_uris": ["http://127.0.0.1/cb"]},
    "response_types": {
        "response_types": ["code", "code id_token"],
        "grant_types": ["authorization_code", "implicit"],
    },
    "request_uris": {"request_uris": ["https://app.example/r"]},
    "jwks": {"jwks": {"keys": [RSA]}},
}


@pytest.mark.parametrize("member", BROKEN)
def test_what_its_registration_has_too_much(
    watchword: Watchword, services: Services, tenant: TenantContext, member: str
) -> None:
    said = {k: v for k, v in {**SOUND, **BROKEN[member]}.items() if v is not None}
    party = new_client(services, tenant, profile="fapi2-message-signing", **said)
    done = check(watchword, tenant, party.client_id)
    assert done.status == 1
    assert member in {finding["member"] for finding in done.json["findings"]}


def test_before_a_profile_is_chosen(watchword: Watchword, services: Services, tenant: TenantContext) -> None:
    """An ordinary client, held to what it is to become: everything that would change."""
    party = new_client(services, tenant)
    assert check(watchword, tenant, party.client_id).json["findings"] == []
    done = check(watchword, tenant, party.client_id, "--profile", "fapi2-message-signing")
    assert {finding["member"] for finding in done.json["findings"]} == {
        "token_endpoint_auth_method",
        "id_token_signed_response_alg",
        "authorization_signed_response_alg",
        "require_pushed_authorization_requests",
        "require_signed_request_object",
        "response_mode",
        "dpop_bound_access_tokens",
        "refresh_token_rotation",
    }
    old = new_client(
        services, tenant, profile="oidc-legacy", **{**SOUND, "grant_types": ["authorization_code"]}
    )
    done = check(watchword, tenant, old.client_id, "--profile", "oauth2.1")
    assert [finding["says"] for finding in done.json["findings"]] == [
        "may go without PKCE",
        "may sign client assertions for another audience than the issuer",
    ]


def test_no_such_client(watchword: Watchword, tenant: TenantContext) -> None:
    done = check(watchword, tenant, "nobody")
    assert done.status == 1
    assert "no client nobody" in done.err


def test_rules_name_members_and_say_so() -> None:
    for rule in RULES:
        assert rule.member
        assert rule.says[0].islower()
        assert not rule.says.endswith(".")
