"""The RP-Initiated Logout plan of the certification programme: eleven modules, each a test of its name."""

import base64
import json
import secrets
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.profiles.browser import BUTTONS, Browser, Visit
from tests.profiles.conftest import SIGNED_OUT
from tests.profiles.relying_party import RelyingParty, Tokens, new_state

NOT_SIGNED_IN = {"login_required", "interaction_required", "consent_required", "account_selection_required"}
WITHOUT_CONFIRMING = tuple(button for button in BUTTONS if button != "confirm-logout")


@dataclass(frozen=True)
class SignedIn:
    """A person signed in at a client, about to sign out."""

    party: RelyingParty
    browser: Browser
    tokens: Tokens

    def leave(self, *, confirm: bool = True, post: bool = False, **parameters: str) -> Visit:
        """Open the end-session endpoint; confirm if asked."""
        endpoint = self.party.metadata["end_session_endpoint"]
        press = BUTTONS if confirm else WITHOUT_CONFIRMING
        return self.browser.open(endpoint, parameters, post=post, press=press)

    def is_signed_in(self) -> bool:
        """Whether a silent request succeeds."""
        callback = self.party.authorize(self.browser, prompt="none")
        if "code" in callback.parameters:
            return True
        assert callback.error in NOT_SIGNED_IN
        return False


@pytest.fixture
def person(first_client: RelyingParty, browser: Browser) -> SignedIn:
    """Somebody who just signed in."""
    return SignedIn(first_client, browser, first_client.tokens(browser))


def stays(visit: Visit) -> None:
    """Nobody was sent anywhere: an error or a question."""
    assert visit.arrival is None
    asks = visit.page.form_with("confirm-logout") is not None
    assert asks or visit.response.status_code == 400


def with_payload(token: str, key: RSAKey | None, **changes: Any) -> str:
    """The ID token with other claims: unsigned, or signed with a key of somebody else."""
    head, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | changes
    if key is not None:
        header = json.loads(base64.urlsafe_b64decode(head + "=="))
        return jwt.encode(header, claims, key)
    segments = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*segments, ""])


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(first_client: RelyingParty) -> None:
    """end_session_endpoint, over https."""
    assert first_client.metadata["end_session_endpoint"].startswith("https://")


@pytest.mark.parametrize("post", [False, True])
def test_oidcc_rp_initiated_logout(person: SignedIn, post: bool) -> None:
    """Out, back at the client with exactly the state, and a silent request fails."""
    assert person.is_signed_in()
    state = new_state()
    visit = person.leave(
        id_token_hint=person.tokens.id_token, post_logout_redirect_uri=SIGNED_OUT, state=state, post=post
    )
    assert visit.arrival is not None
    assert visit.arrival.uri == SIGNED_OUT
    assert visit.arrival.query == {"state": state}
    assert not person.is_signed_in()


@pytest.mark.parametrize("uri", ["https://rp.example.com/unregistered", "https://evil.example/", "/", "x"])
def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(person: SignedIn, uri: str) -> None:
    """Nobody is sent there."""
    stays(
        person.leave(
            id_token_hint=person.tokens.id_token, post_logout_redirect_uri=uri, state="s", confirm=False
        )
    )
    visit = person.leave(id_token_hint=person.tokens.id_token, post_logout_redirect_uri=uri, state="s")
    assert visit.arrival is None


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(person: SignedIn) -> None:
    """Compared exactly."""
    added = SIGNED_OUT + "?foo=bar"
    stays(
        person.leave(
            id_token_hint=person.tokens.id_token, post_logout_redirect_uri=added, state="s", confirm=False
        )
    )


def test_oidcc_rp_initiated_logout_modified_id_token_hint(person: SignedIn) -> None:
    """A hint with alg none proves nothing."""
    for changes in ({}, {"sub": "somebody-else"}):
        hint = with_payload(person.tokens.id_token, None, **changes)
        visit = person.leave(
            id_token_hint=hint, post_logout_redirect_uri=SIGNED_OUT, state="s", confirm=False
        )
        stays(visit)
    assert person.is_signed_in()


def test_oidcc_rp_initiated_logout_bad_id_token_hint(person: SignedIn) -> None:
    """Nor one somebody else signed, even under our kid."""
    hint = with_payload(person.tokens.id_token, RSAKey.generate_key(2048))
    stays(person.leave(id_token_hint=hint, post_logout_redirect_uri=SIGNED_OUT, state="s", confirm=False))
    assert person.is_signed_in()


def test_oidcc_rp_initiated_logout_no_id_token_hint(person: SignedIn) -> None:
    """An address without a hint: an error, or with the client's name a question, before anybody is sent there."""
    stays(person.leave(post_logout_redirect_uri=SIGNED_OUT, state="s", confirm=False))
    named = {"post_logout_redirect_uri": SIGNED_OUT, "state": "s", "client_id": person.party.client_id}
    stays(person.leave(**named, confirm=False))
    assert person.is_signed_in()
    visit = person.leave(**named)
    assert visit.pressed == ["confirm-logout"]
    assert visit.arrival is not None
    assert visit.arrival.query == {"state": "s"}
    assert not person.is_signed_in()


def ends_signed_out(person: SignedIn, **parameters: str) -> None:
    """At the end there is a page that says so, and it is so."""
    visit = person.leave(**parameters)
    assert visit.arrival is None
    assert visit.response.status_code == 200
    assert "You are signed out" in visit.response.text
    assert not person.is_signed_in()


def test_oidcc_rp_initiated_logout_no_params(person: SignedIn) -> None:
    """Asked first: anybody can make such a link."""
    stays(person.leave(confirm=False))
    assert person.is_signed_in()
    ends_signed_out(person)


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(person: SignedIn) -> None:
    """A hint alone."""
    ends_signed_out(person, id_token_hint=person.tokens.id_token, state=secrets.token_urlsafe(96)[:128])


def test_oidcc_rp_initiated_logout_only_state(person: SignedIn) -> None:
    """A state alone goes nowhere."""
    ends_signed_out(person, state=new_state())


def test_oidcc_rp_initiated_logout_no_state(person: SignedIn) -> None:
    """Back at the client, without a state."""
    visit = person.leave(id_token_hint=person.tokens.id_token, post_logout_redirect_uri=SIGNED_OUT)
    assert visit.arrival is not None
    assert visit.arrival.uri == SIGNED_OUT
    assert visit.arrival.query == {}
    assert not person.is_signed_in()
