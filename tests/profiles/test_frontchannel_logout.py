"""The Front-Channel Logout plan of the certification programme, and OpenID Connect Front-Channel Logout 1.0 beyond it.

What a real browser does with the page is `tests/browser/test_frontchannel_logout.py`.
"""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.person import Page
from tests.profiles.browser import BUTTONS, Browser
from tests.profiles.conftest import SIGNED_OUT, Provider
from tests.profiles.relying_party import RelyingParty, new_state
from tests.profiles.test_rp_initiated_logout import NOT_SIGNED_IN

ADDRESS = "https://rp.example.com/front;channel?kept=1"
SOURCE = "https://rp.example.com/front%3Bchannel"


@pytest.fixture
def party(provider: Provider) -> RelyingParty:
    """A client that wants to know the session."""
    return provider.client(
        "front-channel", frontchannel_logout_uri=ADDRESS, frontchannel_logout_session_required=True
    )


@pytest.fixture
def plain(provider: Provider) -> RelyingParty:
    """Another one, which does not ask."""
    return provider.client("front-channel-plain", frontchannel_logout_uri="https://rp.example.com/plain")


def leave(party: RelyingParty, browser: Browser, **parameters: str) -> TestResponse:
    """The page the end-session endpoint answers with; it is not followed."""
    parts = urlsplit(party.metadata["end_session_endpoint"])
    return browser.client.open(
        parts.path,
        base_url=browser.origin,
        query_string=parameters,
        environ_base={"REMOTE_ADDR": browser.address},
        buffered=True,
    )


def frames(page: TestResponse) -> list[str]:
    """The addresses of its frames."""
    assert page.status_code == 200
    return [unescape(src) for src in re.findall(r'<iframe src="([^"]*)"', page.text)]


def policy(page: TestResponse) -> dict[str, str]:
    """The directives of its Content-Security-Policy."""
    directives = page.headers["Content-Security-Policy"].split("; ")
    found = {name: sources for name, _, sources in (one.partition(" ") for one in directives)}
    assert len(found) == len(directives)
    return found


def test_oidcc_frontchannel_discovery_endpoint_verification(party: RelyingParty) -> None:
    """Both members true, in both documents, and an end_session_endpoint over https."""
    for name in ("openid-configuration", "oauth-authorization-server"):
        document = party.wire.get(f"{party.issuer}/.well-known/{name}").json
        assert document["frontchannel_logout_supported"] is True
        assert document["frontchannel_logout_session_supported"] is True
        assert document["end_session_endpoint"].startswith("https://")


def test_oidcc_frontchannel_rp_initiated_logout(party: RelyingParty, browser: Browser) -> None:
    """Sign in, sign out: the page loads the address with iss and sid, and goes on by itself, with exactly the state."""
    tokens = party.tokens(browser)
    state = new_state()
    page = leave(
        party,
        browser,
        id_token_hint=tokens.id_token,
        post_logout_redirect_uri=SIGNED_OUT,
        state=state,
    )
    (frame,) = frames(page)
    parts = urlsplit(frame)
    assert frame.startswith(ADDRESS + "&")
    told = {"kept": "1", "iss": party.issuer, "sid": tokens.claims["sid"]}
    assert dict(parse_qsl(parts.query)) == told
    shown = Page(party.issuer, page.text)
    target, _, query = shown.refresh.partition("?")
    assert target == SIGNED_OUT
    assert parse_qsl(query) == [("state", state)]
    callback = party.authorize(browser, prompt="none")
    assert callback.error in NOT_SIGNED_IN


def test_the_policy_names_exactly_these_addresses(
    party: RelyingParty, plain: RelyingParty, browser: Browser
) -> None:
    """frame-src has no wildcard, no origin, no query; everything else is as on every page."""
    tokens = party.tokens(browser)
    plain.tokens(browser)
    page = leave(party, browser, id_token_hint=tokens.id_token, post_logout_redirect_uri=SIGNED_OUT)
    found = policy(page)
    assert found.pop("frame-src") == f"{SOURCE} https://rp.example.com/plain"
    assert found == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    for tag in re.findall(r"<iframe[^>]*>", page.text):
        # It cannot send the page elsewhere, nor show anything.
        assert 'sandbox="allow-scripts allow-same-origin"' in tag
        assert " hidden" in tag


def test_iss_and_sid_only_where_they_are_wanted(
    party: RelyingParty, plain: RelyingParty, browser: Browser
) -> None:
    """Section 2: frontchannel_logout_session_required; each client once however often it came."""
    plain.tokens(browser)
    tokens = party.tokens(browser)
    plain.tokens(browser)
    page = leave(party, browser, id_token_hint=tokens.id_token, post_logout_redirect_uri=SIGNED_OUT)
    first, second = frames(page)
    assert first == "https://rp.example.com/plain"
    assert second.startswith(ADDRESS)


def test_without_an_address_to_go_on_to(party: RelyingParty, browser: Browser) -> None:
    """The page that says so loads them as well, whether the application or the person asked."""
    tokens = party.tokens(browser)
    page = leave(party, browser, id_token_hint=tokens.id_token)
    assert "You are signed out" in page.text
    assert len(frames(page)) == 1
    party.tokens(browser)
    visit = browser.open(party.metadata["end_session_endpoint"], press=BUTTONS)
    assert visit.pressed == ["confirm-logout"]
    assert "You are signed out" in visit.response.text
    assert len(frames(visit.response)) == 1


def test_after_a_confirmation_the_browser_goes_on_too(party: RelyingParty, browser: Browser) -> None:
    """Contracts 14: the answer to the POST is a page that goes on, frames and all."""
    party.tokens(browser)
    asked = {"client_id": party.client_id, "post_logout_redirect_uri": SIGNED_OUT, "state": "s"}
    visit = browser.open(party.metadata["end_session_endpoint"], asked, press=BUTTONS)
    assert visit.pressed == ["confirm-logout"]
    assert visit.arrival is not None
    assert visit.arrival.query == {"state": "s"}
    assert len(frames(visit.response)) == 1


REFUSED: list[dict[str, Any]] = [
    {"id_token_hint": "bad"},
    {"post_logout_redirect_uri": "https://evil.example/"},
]


@pytest.mark.parametrize("wrong", REFUSED)
def test_nothing_is_loaded_where_nobody_is_signed_out(
    party: RelyingParty, browser: Browser, wrong: dict[str, str]
) -> None:
    """Another site that makes such a link signs nobody out anywhere."""
    tokens = party.tokens(browser)
    for parameters in ({"id_token_hint": tokens.id_token} | wrong, {}):
        page = leave(party, browser, **parameters)
        assert "<iframe" not in page.text
        assert "frame-src" not in page.headers["Content-Security-Policy"]
    assert "code" in party.authorize(browser, prompt="none").parameters


def test_nobody_signed_in_nothing_to_load(party: RelyingParty, provider: Provider, browser: Browser) -> None:
    """A link that is opened in another browser, or once more, ends there at once."""
    asked = {
        "id_token_hint": party.tokens(browser).id_token,
        "post_logout_redirect_uri": SIGNED_OUT,
    }
    elsewhere = leave(party, provider.browser(), **asked)
    assert frames(leave(party, browser, **asked))
    for page in (elsewhere, leave(party, browser, **asked)):
        assert page.status_code == 303
        assert page.headers["Location"] == SIGNED_OUT


def test_other_tenants_and_browsers_are_not_in_it(
    party: RelyingParty, provider: Provider, browser: Browser
) -> None:
    """What the person uses in another browser stays theirs there."""
    elsewhere = provider.browser()
    other = provider.client(
        "front-channel-elsewhere", frontchannel_logout_uri="https://rp.example.com/elsewhere"
    )
    other.tokens(elsewhere)
    tokens = party.tokens(browser)
    page = leave(party, browser, id_token_hint=tokens.id_token, post_logout_redirect_uri=SIGNED_OUT)
    assert [urlsplit(frame).path for frame in frames(page)] == ["/front;channel"]
    assert "code" in other.authorize(elsewhere, prompt="none").parameters
