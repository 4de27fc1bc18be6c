"""The Basic plan of the certification programme, module by module, and with `form_post` that of Form Post Basic.

A test is called as its module. What every module checks, `relying_party` checks in every one of them.
"""

import base64
import json
import secrets
from typing import Any

import pytest
import time_machine

from app.kernel import clock
from tests.profiles.browser import Browser
from tests.profiles.conftest import OTHER_CALLBACK, Provider
from tests.profiles.relying_party import (
    ID_TOKEN_CLAIMS,
    LEAST_BITS,
    RelyingParty,
    ResponseMode,
    bits_of,
    check_error,
    check_token_response,
    new_state,
)

PROFILE = frozenset(
    "name given_name family_name middle_name nickname preferred_username profile picture website gender "
    "birthdate zoneinfo locale updated_at".split()
)
EMAIL = frozenset({"email", "email_verified"})
ADDRESS = frozenset({"address"})
PHONE = frozenset({"phone_number", "phone_number_verified"})
NOT_SIGNED_IN = {"login_required", "interaction_required", "consent_required", "account_selection_required"}


def unsigned(**claims: Any) -> str:
    """A request object nobody signed (RFC 9101 section 6.1)."""

    def segment(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{segment({'alg': 'none'})}.{segment(claims)}."


def test_oidcc_server(party: RelyingParty, browser: Browser) -> None:
    """The whole flow; UserInfo; no claims in the ID token nobody asked for there; expires_in."""
    tokens = party.tokens(browser, scope="openid profile email")
    assert set(tokens.claims) <= ID_TOKEN_CLAIMS
    assert tokens.response["expires_in"] > 0
    assert party.userinfo(tokens.access_token)["sub"] == tokens.claims["sub"]


def test_oidcc_response_type_missing(party: RelyingParty, browser: Browser) -> None:
    """The client is told, in the place it asked for."""
    callback = party.authorize(browser, response_type=None)
    assert callback.error in ("invalid_request", "unsupported_response_type")


def test_oidcc_idtoken_signature(party: RelyingParty, browser: Browser) -> None:
    """RS256 when the client names no algorithm, under a kid that is published."""
    token = party.tokens(browser).id_token
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    assert header["alg"] == "RS256"
    assert header["kid"] in {key.kid for key in party.keys().keys}


def test_oidcc_idtoken_unsigned(party: RelyingParty) -> None:
    """`none` is not offered, so that nobody is asked to sign nothing."""
    assert "none" not in party.metadata["id_token_signing_alg_values_supported"]


def test_oidcc_userinfo_get(party: RelyingParty, browser: Browser) -> None:
    """GET with a Bearer header."""
    tokens = party.tokens(browser)
    assert party.userinfo(tokens.access_token)["sub"] == tokens.claims["sub"]


def test_oidcc_userinfo_post_header(party: RelyingParty, browser: Browser) -> None:
    """POST with a Bearer header and no body."""
    tokens = party.tokens(browser)
    endpoint = party.metadata["userinfo_endpoint"]
    answer = party.wire.post(endpoint, {}, Authorization=f"Bearer {tokens.access_token}")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.json["sub"] == tokens.claims["sub"]


def test_oidcc_userinfo_post_body(party: RelyingParty, browser: Browser) -> None:
    """POST with the access token in the body."""
    tokens = party.tokens(browser)
    answer = party.wire.post(party.metadata["userinfo_endpoint"], {"access_token": tokens.access_token})
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.json["sub"] == tokens.claims["sub"]


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(
    party: RelyingParty, browser: Browser
) -> None:
    """None is sent, none comes back."""
    assert "nonce" not in party.tokens(browser, nonce=None).claims


def scope_is_answered(
    party: RelyingParty, browser: Browser, scope: str, claims: frozenset[str]
) -> dict[str, Any]:
    """The scope's claims are at UserInfo, every one of them, and not in the ID token; the scope is published."""
    assert set(scope.split()) <= set(party.metadata["scopes_supported"])
    tokens = party.tokens(browser, scope=f"openid {scope}")
    found = party.userinfo(tokens.access_token)
    assert set(found) == claims | {"sub"}
    assert found["sub"] == tokens.claims["sub"]
    assert not claims & set(tokens.claims)
    return found


def test_oidcc_scope_profile(party: RelyingParty, browser: Browser) -> None:
    """Fourteen claims; updated_at is a number."""
    found = scope_is_answered(party, browser, "profile", PROFILE)
    assert type(found["updated_at"]) is int


def test_oidcc_scope_email(party: RelyingParty, browser: Browser) -> None:
    """email_verified is a boolean."""
    assert scope_is_answered(party, browser, "email", EMAIL)["email_verified"] is True


def test_oidcc_scope_address(party: RelyingParty, browser: Browser) -> None:
    """address is an object."""
    assert isinstance(scope_is_answered(party, browser, "address", ADDRESS)["address"], dict)


def test_oidcc_scope_phone(party: RelyingParty, browser: Browser) -> None:
    """phone_number_verified is a boolean."""
    assert scope_is_answered(party, browser, "phone", PHONE)["phone_number_verified"] is True


def test_oidcc_scope_all(party: RelyingParty, browser: Browser) -> None:
    """All of them at once."""
    every = PROFILE | EMAIL | ADDRESS | PHONE
    found = scope_is_answered(party, browser, "profile email address phone", every)
    texts = every - {"updated_at", "email_verified", "phone_number_verified", "address"}
    assert all(isinstance(found[name], str) and found[name] for name in texts)


def test_oidcc_alternate_happy_flow(party: RelyingParty, browser: Browser) -> None:
    """`openid` is not the first scope, and the parameters come in another order."""
    parameters = dict(reversed(party.request(scope="email profile openid").items()))
    visit = browser.open(party.metadata["authorization_endpoint"], parameters)
    assert visit.arrival is not None
    received = visit.arrival.body or visit.arrival.query
    assert received["code"]
    assert received["state"] == parameters["state"]


def test_oidcc_display_page(party: RelyingParty, browser: Browser) -> None:
    """Accepted."""
    assert party.authorize(browser, display="page").code


def test_oidcc_display_popup(party: RelyingParty, browser: Browser) -> None:
    """Accepted; nothing keeps the page from talking to the window that opened it."""
    visit = party.visit(browser, display="popup", prompt="login")
    assert visit.arrival is not None
    assert "Cross-Origin-Opener-Policy" not in visit.response.headers
    assert party.authorize(browser, display="popup").code


def test_oidcc_prompt_login(party: RelyingParty, browser: Browser) -> None:
    """A live session is asked again, and auth_time is later."""
    first = party.tokens(browser)
    with time_machine.travel(clock.after(2), tick=True):
        second = party.tokens(browser, prompt="login")
    assert second.callback.visit.was_asked_to_sign_in
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] > first.claims["auth_time"]


def test_oidcc_prompt_none_not_logged_in(party: RelyingParty, browser: Browser) -> None:
    """No page, an error that says so, and the state of 128 characters."""
    callback = party.authorize(browser, prompt="none")
    assert callback.error in NOT_SIGNED_IN
    assert callback.visit.pressed == []


def test_oidcc_prompt_none_logged_in(party: RelyingParty, browser: Browser) -> None:
    """No page, the same person, the same auth_time: consent is remembered."""
    first = party.tokens(browser)
    second = party.tokens(browser, prompt="none")
    assert second.callback.visit.pressed == []
    assert [second.claims[n] for n in ("sub", "auth_time")] == [first.claims[n] for n in ("sub", "auth_time")]


def test_oidcc_max_age_1(party: RelyingParty, browser: Browser) -> None:
    """Two seconds later that is too old: asked again, auth_time there, later and recent."""
    first = party.tokens(browser)
    with time_machine.travel(clock.after(2), tick=True):
        second = party.tokens(browser, max_age="1")
        assert clock.timestamp(clock.now()) - second.claims["auth_time"] <= 5
    assert second.callback.visit.was_asked_to_sign_in
    assert second.claims["auth_time"] > first.claims["auth_time"]


def test_oidcc_max_age_10000(party: RelyingParty, browser: Browser) -> None:
    """auth_time there; the second time nobody is asked, and it is the same."""
    first = party.tokens(browser, max_age="15000")
    with time_machine.travel(clock.after(2), tick=True):
        second = party.tokens(browser, max_age="10000")
    assert second.callback.visit.pressed == []
    assert second.claims["auth_time"] == first.claims["auth_time"]
    assert second.claims["sub"] == first.claims["sub"]


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(party: RelyingParty, browser: Browser) -> None:
    """Ignored."""
    assert party.authorize(browser, extra="foobar").code


def test_oidcc_id_token_hint(party: RelyingParty, browser: Browser) -> None:
    """prompt=none with a hint: silent, the same sub and auth_time, also once the hint has expired."""
    first = party.tokens(browser)
    expired = first.claims["exp"] - clock.timestamp(clock.now()) + 60
    # In between, something to keep the session from going idle.
    for seconds in (expired / 2, expired):
        with time_machine.travel(clock.after(seconds), tick=True):
            again = party.tokens(browser, prompt="none", id_token_hint=first.id_token)
        assert again.callback.visit.pressed == []
        assert again.claims["sub"] == first.claims["sub"]
        assert again.claims["auth_time"] == first.claims["auth_time"]


def test_oidcc_login_hint(party: RelyingParty, browser: Browser) -> None:
    """Accepted, and offered as the name to sign in with."""
    page = browser.open(
        party.metadata["authorization_endpoint"], party.request(login_hint="buffy@op.example.org"), press=()
    ).page
    form = page.form_with("username")
    assert form is not None
    assert form.fields["username"] == "buffy@op.example.org"
    assert party.authorize(browser, login_hint="buffy@op.example.org").code


def test_oidcc_ui_locales(party: RelyingParty, browser: Browser) -> None:
    """Locales nobody speaks here."""
    assert party.authorize(browser, ui_locales="se").code


def test_oidcc_claims_locales(party: RelyingParty, browser: Browser) -> None:
    """Locales nobody speaks here."""
    assert party.authorize(browser, claims_locales="se").code


def test_oidcc_ensure_request_with_acr_values_succeeds(party: RelyingParty, browser: Browser) -> None:
    """Never an error; of the published values one that was asked for is in the token."""
    offered = party.metadata["acr_values_supported"]
    assert party.tokens(browser, acr_values=" ".join(offered)).claims["acr"] in offered
    assert party.tokens(browser, acr_values="1 2").claims["acr"] in offered


def test_oidcc_codereuse(party: RelyingParty, browser: Browser) -> None:
    """At once a second time: exactly 400 invalid_grant."""
    callback = party.authorize(browser)
    check_token_response(party.redeem(callback))
    check_error(party.redeem(callback), "invalid_grant")


def test_oidcc_codereuse_30seconds(party: RelyingParty, browser: Browser) -> None:
    """Thirty seconds later the same, and the access token that came of it is refused."""
    tokens = party.tokens(browser)
    party.userinfo(tokens.access_token)
    with time_machine.travel(clock.after(30), tick=True):
        check_error(party.redeem(tokens.callback), "invalid_grant")
        endpoint = party.metadata["userinfo_endpoint"]
        refused = party.wire.get(endpoint, Authorization=f"Bearer {tokens.access_token}")
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "uri",
    [
        "https://rp.example.com/callback/",
        "https://rp.example.com/callback?foo=bar",
        "https://rp.example.com/callback#fragment",
        "https://rp.example.com/Callback",
        "https://rp.example.com/%63allback",
        "https://rp.example.com:443/callback",
        "https://rp.example.com/callback/../callback",
        "http://rp.example.com/callback",
        "https://RP.example.com/callback",
        "https://rp.example.com@evil.example/callback",
        "https://evil.example/callback",
        "https://rp.example.com.evil.example/callback",
        "//rp.example.com/callback",
        "/callback",
        "javascript:alert(1)",
    ],
)
def test_oidcc_ensure_registered_redirect_uri(party: RelyingParty, browser: Browser, uri: str) -> None:
    """A page, never a redirect."""
    visit = party.visit(browser, redirect_uri=uri)
    assert visit.arrival is None
    assert visit.response.status_code == 400
    assert "Reference" in visit.response.text


def test_oidcc_ensure_post_request_succeeds(party: RelyingParty, browser: Browser) -> None:
    """The authorization endpoint takes a form, with and without a session."""
    first = party.tokens(browser, post=True)
    assert party.tokens(browser, post=True).claims["sub"] == first.claims["sub"]


def test_oidcc_server_client_secret_post(
    post_client: RelyingParty, browser: Browser, mode: ResponseMode
) -> None:
    """The whole flow with the secret in the body."""
    party = post_client.answering_by(mode)
    tokens = party.tokens(browser, scope="openid profile")
    assert party.userinfo(tokens.access_token)["sub"] == tokens.claims["sub"]


def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(
    party: RelyingParty, browser: Browser
) -> None:
    """Unsigned ones are not offered, so that the module is skipped; an address nobody registered is refused aloud."""
    assert "none" not in party.metadata["request_object_signing_alg_values_supported"]
    callback = party.authorize(browser, request_uri="https://rp.example.com/request.jwt")
    assert callback.error == "invalid_request_uri"


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(
    party: RelyingParty, browser: Browser
) -> None:
    """Unsigned ones are not offered, so that the module is skipped; one is refused aloud rather than ignored."""
    assert "none" not in party.metadata["request_object_signing_alg_values_supported"]
    assert party.authorize(browser, request=unsigned(**party.request())).error == "invalid_request_object"


def test_oidcc_claims_essential(party: RelyingParty, browser: Browser) -> None:
    """An essential claim without its scope is at UserInfo."""
    asked = json.dumps({"userinfo": {"name": {"essential": True}}})
    tokens = party.tokens(browser, claims=asked)
    assert set(party.userinfo(tokens.access_token)) == {"sub", "name"}


def test_oidcc_ensure_request_object_with_redirect_uri(party: RelyingParty, browser: Browser) -> None:
    """A good address inside the object and a bad one outside: nobody is sent to either."""
    inside = unsigned(**party.request())
    visit = party.visit(browser, request=inside, redirect_uri="https://rp.example.com/bad")
    assert visit.arrival is None
    assert visit.response.status_code == 400
    # An address that is registered, but not the one inside: the error may go there, a code may not.
    visit = party.visit(browser, request=inside, redirect_uri=OTHER_CALLBACK)
    assert visit.arrival is not None
    assert visit.arrival.uri == OTHER_CALLBACK
    assert "code" not in visit.arrival.query | visit.arrival.body


def test_oidcc_refresh_token(
    party: RelyingParty, second_client: RelyingParty, mode: ResponseMode, provider: Provider
) -> None:
    """Refreshing with the same scope, and another client's refresh token, which is refused."""
    other = second_client.answering_by(mode)
    scope = "openid offline_access"
    first = party.tokens(provider.browser(), scope=scope, prompt="consent")
    theirs = other.tokens(provider.browser(), scope=scope, prompt="consent")
    assert "allow" in first.callback.visit.pressed
    assert bits_of(first.response["refresh_token"]) >= LEAST_BITS

    with time_machine.travel(clock.after(2), tick=True):
        answer = party.refresh(first.response["refresh_token"], scope=scope)
        refreshed = check_token_response(answer)
        assert refreshed["access_token"] != first.access_token
        if "id_token" in refreshed:
            claims = party.read_id_token(
                refreshed["id_token"], nonce=_nonce_of(refreshed["id_token"], first.callback.nonce)
            )
            same = ("iss", "sub", "aud", "auth_time")
            assert [claims[name] for name in same] == [first.claims[name] for name in same]
            assert ("azp" in claims) == ("azp" in first.claims)
            assert claims["iat"] > first.claims["iat"]
        assert party.userinfo(refreshed["access_token"])["sub"] == first.claims["sub"]

    check_error(party.refresh(theirs.response["refresh_token"]), "invalid_grant")
    # Trying cost its owner nothing.
    check_token_response(other.refresh(theirs.response["refresh_token"]))


def _nonce_of(token: str, sent: str | None) -> str | None:
    """A refreshed ID token may carry the nonce of the request or none (OIDC Core section 12.2)."""
    payload = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return sent if "nonce" in payload else None


def test_oidcc_ensure_request_with_valid_pkce_succeeds(party: RelyingParty, browser: Browser) -> None:
    """S256; and the code is worth nothing without the verifier."""
    verifier = secrets.token_urlsafe(48)
    assert party.tokens(browser, verifier=verifier).claims["sub"]
    stolen = party.authorize(browser, verifier=verifier, state=new_state())
    form = {"grant_type": "authorization_code", "code": stolen.code, "redirect_uri": party.redirect_uri}
    check_error(party.token(form), "invalid_grant")
