"""What the certification programme checks in every module. `relying_party` makes these checks all the time; here each
is named, made where it could go wrong, and shown to be able to fail.
"""

import string
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.profiles.browser import Browser
from tests.profiles.conftest import Provider
from tests.profiles.relying_party import (
    DESCRIPTION,
    ERROR_MEMBERS,
    ID_TOKEN_CLAIMS,
    LEAST_BITS,
    RelyingParty,
    bits_of,
    check_error,
    check_error_members,
    half_hash,
)

OIDC_ERRORS = (
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "id_token"}, "unsupported_response_type"),
    ({"scope": "unknown-to-everybody"}, "invalid_scope"),
    ({"prompt": "none"}, "login_required"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"max_age": "x"}, "invalid_request"),
    ({"claims": "{"}, "invalid_request"),
    ({"request": "x"}, "invalid_request_object"),
    ({"request_uri": "https://rp.example.com/r"}, "invalid_request_uri"),
    ({"resource": "https://unknown.example.com"}, "invalid_target"),
    ({"id_token_hint": "x.y.z"}, "invalid_request"),
    ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
)


def test_jwks_has_distinct_kids_and_nothing_private(first_client: RelyingParty) -> None:
    """Every key has a kid of its own, can be read, says what it is for, and is public."""
    published = first_client.wire.get(first_client.metadata["jwks_uri"]).json["keys"]
    assert len({key["kid"] for key in published}) == len(published) > 0
    for key in published:
        assert key["use"] == "sig"
        assert key["alg"] in ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)
        assert key["kty"] != "oct"


def test_jwks_keys_are_strong(first_client: RelyingParty) -> None:
    """2048 bits of RSA, 224 of an elliptic curve."""
    kinds = set()
    for key in first_client.keys().keys:
        kinds.add(type(key))
        if isinstance(key, RSAKey):
            assert key.public_key.key_size >= 2048
        elif isinstance(key, ECKey):
            assert key.public_key.curve.key_size >= 224
        else:
            assert isinstance(key, OKPKey)
    assert RSAKey in kinds


@pytest.mark.parametrize(
    "state",
    [
        string.ascii_letters * 2 + string.digits * 2 + "-._~",
        ("&=%+# ?/\\\"'<>;,:@!$()*[]{}|^`~" * 5)[:128],
        "%41%2B%26amp;" + "x" * 115,
        "a",
    ],
)
def test_state_comes_back_exactly(party: RelyingParty, browser: Browser, state: str) -> None:
    """Up to 128 characters of any kind, in the answer and in the error."""
    assert party.authorize(browser, state=state).code
    assert party.authorize(browser, state=state, prompt="none", max_age="0").parameters["state"] == state
    assert party.authorize(browser, state=state, response_type="token").parameters["state"] == state


def test_no_state_comes_back_when_none_was_sent(party: RelyingParty, browser: Browser) -> None:
    """Nor an empty one."""
    assert "state" not in party.authorize(browser, state=None).parameters


def test_callback_parameters_are_in_the_right_place(party: RelyingParty, browser: Browser) -> None:
    """In the query alone, or in the posted form alone; `iss` is the issuer."""
    arrived = party.visit(browser).arrival
    assert arrived is not None
    place, other = (
        (arrived.body, arrived.query)
        if party.response_mode == "form_post"
        else (
            arrived.query,
            arrived.body,
        )
    )
    assert set(place) == {"code", "state", "iss"}
    assert other == {}
    assert arrived.fragment == ""
    assert place["iss"] == party.issuer


def test_token_response_is_json_that_nobody_stores(first_client: RelyingParty, browser: Browser) -> None:
    """200, JSON, expires_in, Cache-Control: no-store."""
    answer = first_client.redeem(first_client.authorize(browser))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert 0 < answer.json["expires_in"] <= 3600
    assert answer.json["token_type"] == "Bearer"


def test_codes_cannot_be_guessed(first_client: RelyingParty, browser: Browser) -> None:
    """128 bits and more, and no two have anything in common."""
    codes = [first_client.authorize(browser).code for _ in range(8)]
    assert all(bits_of(code) >= LEAST_BITS for code in codes)
    assert bits_of("a" * 200) < LEAST_BITS
    assert len({code[i : i + 8] for code in codes for i in range(0, 40, 8)}) == len(codes) * 5


def test_id_token(first_client: RelyingParty, browser: Browser) -> None:
    """iss, aud, exp, iat, nonce, sub, acr, auth_time, at_hash; RS256 with a kid: `read_id_token` holds it to them."""
    tokens = first_client.tokens(browser, nonce="n-0S6_WzA2Mj")
    claims = tokens.claims
    assert claims["iss"] == first_client.issuer
    assert claims["aud"] in (first_client.client_id, [first_client.client_id])
    assert claims["iat"] < claims["exp"] <= claims["iat"] + 86400
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["at_hash"] == half_hash(tokens.access_token)
    assert claims["at_hash"] != half_hash(tokens.access_token + "x")
    assert claims["acr"] in first_client.metadata["acr_values_supported"]
    assert claims["auth_time"] <= claims["iat"]


def test_id_token_is_checked_against_the_published_keys(first_client: RelyingParty, browser: Browser) -> None:
    """A token that was changed is refused: the relying party of these tests does look."""
    head, _, signature = first_client.tokens(browser).id_token.split(".")
    other = first_client.tokens(browser, nonce="another").id_token.split(".")[1]
    with pytest.raises(Exception, match="signature"):
        first_client.read_id_token(f"{head}.{other}.{signature}", nonce="another")


def test_id_token_carries_no_claims_for_a_scope(first_client: RelyingParty, browser: Browser) -> None:
    """Scopes are answered at UserInfo; nothing unknown is in the ID token."""
    tokens = first_client.tokens(browser, scope="openid profile email address phone offline_access")
    assert set(tokens.claims) <= ID_TOKEN_CLAIMS


def test_id_token_carries_claims_asked_for_there(first_client: RelyingParty, browser: Browser) -> None:
    """What the claims parameter named, and that alone."""
    tokens = first_client.tokens(browser, claims='{"id_token": {"email": null}}')
    assert set(tokens.claims) <= ID_TOKEN_CLAIMS | {"email"}
    assert tokens.claims["email"] == "alice@example.com"


@pytest.mark.parametrize(("changes", "error"), OIDC_ERRORS)
def test_authorization_error_members(
    party: RelyingParty, browser: Browser, changes: dict[str, Any], error: str
) -> None:
    """Only known members, no code beside the error, printable ASCII without quotes: `authorize` checks them."""
    callback = party.authorize(browser, **changes)
    assert callback.error == error
    assert "code" not in callback.parameters
    assert set(callback.parameters) <= ERROR_MEMBERS
    assert DESCRIPTION.fullmatch(callback.parameters["error_description"])


def test_token_error_members(first_client: RelyingParty, provider: Provider, browser: Browser) -> None:
    """The same at the token endpoint."""
    code = first_client.authorize(browser).code
    grant = {"grant_type": "authorization_code", "redirect_uri": first_client.redirect_uri}
    check_error(first_client.token(grant | {"code": "unknown"}), "invalid_grant")
    check_error(first_client.token(grant), "invalid_request")
    check_error(first_client.token({"grant_type": "password"}), "unsupported_grant_type")
    check_error(
        first_client.token(grant | {"code": code, "redirect_uri": "https://rp.example.com/another"}),
        "invalid_grant",
    )
    check_error(first_client.refresh("unknown"), "invalid_grant")
    check_error(first_client.wire.post(first_client.metadata["token_endpoint"], grant), "invalid_client", 401)


def test_checks_of_errors_can_fail() -> None:
    """A code beside an error, an unknown member, a line break."""
    for found in ({"error": "x", "code": "y"}, {"error": "x", "error_description": "a\nb"}, {"hint": "x"}):
        with pytest.raises(AssertionError):
            check_error_members(found)
