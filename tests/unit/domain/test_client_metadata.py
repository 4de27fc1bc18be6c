"""Client metadata: RFC 7591 section 2, OIDC Registration section 2, RFC 8252 section 7."""

from typing import Any

import pytest

from app.domain.client_metadata import validate
from app.kernel.errors import Problem

WEB: dict[str, Any] = {"redirect_uris": ["https://app.example/cb"]}
PUBLIC = {"token_endpoint_auth_method": "none"}
KEY = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}


def test_only_what_was_said_is_kept() -> None:
    assert validate(dict(WEB)) == WEB


def test_a_name_may_be_given_in_several_languages() -> None:
    said = {**WEB, "client_name": "Docs", "client_name#de": "Dokumente"}
    assert validate(said)["client_name#de"] == "Dokumente"


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb#fragment",
        "http://app.example/cb",
        "https://*.app.example/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/cb",
        "/cb",
        "https://user@app.example/cb",
        "https://app.example/cb\r\nX: y",
    ],
)
def test_a_redirect_uri_that_could_leak_a_code_is_refused(uri: str) -> None:
    with pytest.raises(Problem, match="redirect_uris"):
        validate({"redirect_uris": [uri]})


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1/cb", "http://[::1]:9/cb", "com.example.app:/cb", "https://a.example/?x=1"]
)
def test_web_loopback_and_private_use_redirect_uris_are_accepted(uri: str) -> None:
    assert validate({"redirect_uris": [uri]})["redirect_uris"] == [uri]


def test_every_bad_redirect_uri_is_told_up_to_a_handful() -> None:
    bad = [f"http://{number}.example/cb" for number in range(8)]
    with pytest.raises(Problem) as told:
        validate({"redirect_uris": [*WEB["redirect_uris"], *bad]})
    said = str(told.value)
    assert [uri in said for uri in bad] == [True] * 5 + [False] * 3
    assert "and 3 more" in said


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({}, "redirect_uris"),
        ({**WEB, "grant_types": ["password"]}, "grant_types"),
        ({**WEB, "response_types": ["token"]}, "response_types"),
        ({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"}, "public client"),
        ({**WEB, "token_endpoint_auth_method": "private_key_jwt"}, "jwks"),
        ({**WEB, "jwks": {"keys": [KEY]}, "jwks_uri": "https://app.example/jwks"}, "exclude"),
        ({**WEB, "jwks": {"keys": [{**KEY, "d": "AA"}]}}, "private"),
        ({**WEB, "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}, "symmetric"),
        ({**WEB, "id_token_encrypted_response_alg": "RSA-OAEP"}, "does not act on"),
        ({**WEB, "backchannel_logout_uri": "http://app.example/out"}, "backchannel_logout_uri"),
        ({**WEB, "backchannel_logout_uri": "https://app.example/out#a"}, "without a fragment"),
        ({**WEB, "backchannel_logout_uri": "https://me@app.example/out"}, "backchannel_logout_uri"),
        ({**WEB, "backchannel_logout_uri": "/out"}, "backchannel_logout_uri"),
        ({**WEB, "backchannel_logout_uri": "com.example.app:/out"}, "backchannel_logout_uri"),
        ({**WEB, "backchannel_logout_session_required": "yes"}, "backchannel_logout_session_required"),
        ({**WEB, "frontchannel_logout_uri": "http://app.example/out"}, "frontchannel_logout_uri"),
        ({**WEB, "frontchannel_logout_uri": "https://app.example/out#"}, "without a fragment"),
        ({**WEB, "frontchannel_logout_uri": "https://else.example/out"}, "one of its redirect URIs"),
        ({**WEB, "frontchannel_logout_uri": "https://app.example:8443/out"}, "one of its redirect URIs"),
        ({**WEB, "frontchannel_logout_session_required": 1}, "frontchannel_logout_session_required"),
        ({**WEB, "authorization_challenge": True}, "first_party"),
        ({**WEB, "authorization_challenge": True, "first_party": True, **PUBLIC}, "native"),
        (
            {
                "authorization_challenge": True,
                "first_party": True,
                "grant_types": ["client_credentials"],
                "response_types": [],
            },
            "authorization_code",
        ),
        ({**WEB, "scope": "openid  profile"}, "scope"),
        ({**WEB, "initiate_login_uri": "http://app.example/login"}, "initiate_login_uri"),
        ({**WEB, "client_name": 7}, "client_name"),
        ({**WEB, "token_endpoint_auth_signing_alg": "HS256"}, "client_secret_jwt"),
        ({**WEB, "id_token_signed_response_alg": "none"}, "id_token_signed_response_alg"),
    ],
)
def test_what_cannot_be_is_refused_by_name(metadata: dict[str, Any], word: str) -> None:
    with pytest.raises(Problem, match=word):
        validate(metadata)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(Problem) as refused:
        validate({"redirect_uris": ["http://a.example"], "scope": " ", "nonsense": 1})
    assert all(word in refused.value.public for word in ("redirect_uris", "scope", "nonsense"))


def test_logout_addresses() -> None:
    """The default port is a port; a query is part of the address."""
    said = {
        **WEB,
        "backchannel_logout_uri": "https://elsewhere.example/out?tenant=1",
        "backchannel_logout_session_required": True,
        "frontchannel_logout_uri": "https://APP.example:443/leave?x=1",
        "frontchannel_logout_session_required": True,
    }
    assert validate(said) == said
    assert validate({**WEB, "backchannel_logout_uri": "http://127.0.0.1:9/out"})
