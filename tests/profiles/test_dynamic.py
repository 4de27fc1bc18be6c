"""The Dynamic plan of the certification programme, module by module: every client registers over the wire.

A test is called as its module. What every module checks, `dynamic` and `relying_party` check in every one of them.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urljoin

import pytest
import time_machine
from joserfc import jwt

from app.kernel import clock
from tests.profiles.browser import Arrival, Browser, Visit
from tests.profiles.conftest import CALLBACK, OTHER_CALLBACK
from tests.profiles.dynamic import (
    DynamicParty,
    DynamicProvider,
    Host,
    check_registration,
    digest_of,
    dynamic_providers,
    new_key,
    op,
    public,
)
from tests.profiles.registered_names import BOOLEANS, REGISTERED
from tests.profiles.relying_party import ID_TOKEN_CLAIMS, check_error, check_token_response

__all__ = ["dynamic_providers", "op"]

WITH_QUERY = CALLBACK + "?dummy1=lorem&dummy2=ipsum"
OFFLINE = {"grant_types": ["authorization_code", "refresh_token"]}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6364f8cf500f0003860180a3d7c2e50000000049454e44ae426082"
)


@pytest.fixture
def browser(op: DynamicProvider) -> Browser:
    """A browser of the test's own, with its person."""
    return op.provider.browser()


@pytest.fixture
def host() -> Iterator[Host]:
    """The relying party's host."""
    with Host() as found:
        yield found


def sent(visit: Visit) -> Arrival:
    """Where the browser was sent to; it has to be somewhere."""
    assert visit.arrival is not None, f"{visit.response.status}:\n{visit.response.text[:2000]}"
    return visit.arrival


def nowhere(visit: Visit) -> None:
    """An error page, and nobody was redirected."""
    assert visit.arrival is None
    assert visit.response.status_code == 400


def test_oidcc_idtoken_rs256(op: DynamicProvider, browser: Browser) -> None:
    """The algorithm the client registered."""
    with op.client(id_token_signed_response_alg="RS256") as party:
        assert party.told["id_token_signed_response_alg"] == "RS256"
        assert party.tokens(browser).claims["aud"] in (party.client_id, [party.client_id])


def test_oidcc_idtoken_unsigned(op: DynamicProvider) -> None:
    """`none` is not offered, and cannot be registered."""
    assert "none" not in op.metadata["id_token_signing_alg_values_supported"]
    answer = op.ask(id_token_signed_response_alg="none", jwks=public(new_key()))
    check_error(answer, "invalid_client_metadata")


def test_oidcc_userinfo_rs256(op: DynamicProvider, browser: Browser) -> None:
    """A JWT of RS256 with iss and aud, and no nonce."""
    assert "RS256" in op.metadata["userinfo_signing_alg_values_supported"]
    with op.client(userinfo_signed_response_alg="RS256") as party:
        tokens = party.tokens(browser)
        endpoint = party.metadata["userinfo_endpoint"]
        answer = party.wire.get(endpoint, Authorization=f"Bearer {tokens.access_token}")
        assert answer.status_code == 200
        assert answer.mimetype == "application/jwt"
        found = jwt.decode(answer.text, party.keys(), algorithms=["RS256"])
        assert found.claims["iss"] == party.issuer
        assert found.claims["aud"] in (party.client_id, [party.client_id])
        assert found.claims["sub"] == tokens.claims["sub"]
        assert "nonce" not in found.claims


def test_oidcc_ensure_redirect_uri_in_authorization_request(op: DynamicProvider, browser: Browser) -> None:
    """Two are registered and none is sent: an error page."""
    with op.client(redirect_uris=[CALLBACK, OTHER_CALLBACK]) as party:
        nowhere(party.visit(browser, redirect_uri=None))


def test_oidcc_redirect_uri_query_ok(op: DynamicProvider, browser: Browser) -> None:
    """The query stays, and what is answered is added to it."""
    with op.client(redirect_uris=[WITH_QUERY]) as party:
        request = party.request()
        arrived = sent(browser.open(party.metadata["authorization_endpoint"], request))
        assert arrived.uri == CALLBACK
        found = arrived.query
        assert (found["dummy1"], found["dummy2"]) == ("lorem", "ipsum")
        assert found["state"] == request["state"]
        assert found["iss"] == party.issuer
        form = {"grant_type": "authorization_code", "code": found["code"], "redirect_uri": WITH_QUERY}
        check_token_response(party.token(form))


def test_oidcc_redirect_uri_query_mismatch(op: DynamicProvider, browser: Browser) -> None:
    """Another query than the registered one: an error page."""
    with op.client(redirect_uris=[WITH_QUERY]) as party:
        for other in ("?dummy1=lorem&dummy2=dolor", "?dummy2=ipsum&dummy1=lorem", ""):
            nowhere(party.visit(browser, redirect_uri=CALLBACK + other))


def test_oidcc_redirect_uri_query_added(op: DynamicProvider, browser: Browser) -> None:
    """A query where none is registered: an error page."""
    with op.client() as party:
        nowhere(party.visit(browser, redirect_uri=CALLBACK + "?dummy1=lorem"))


def test_oidcc_redirect_uri_regfrag(op: DynamicProvider) -> None:
    """A redirect URI with a fragment is not registered."""
    answer = op.ask(redirect_uris=[CALLBACK + "#foobar"], jwks=public(new_key()))
    check_error(answer, "invalid_redirect_uri")


def test_oidcc_discovery_endpoint_verification(op: DynamicProvider) -> None:
    """What a provider with registration publishes beside what every other one does."""
    answer = op.wire.get(op.issuer + "/.well-known/openid-configuration")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    found = answer.json
    assert set(found) <= REGISTERED
    assert all(isinstance(found[name], bool) for name in BOOLEANS & set(found))
    assert found["issuer"] == op.issuer
    assert found["registration_endpoint"] == f"{op.issuer}/register"
    assert all(url.startswith("https://") for name, url in found.items() if name.endswith("_endpoint"))
    assert {"code", "id_token", "id_token token"} <= set(found["response_types_supported"])
    assert {"authorization_code", "implicit"} <= set(found["grant_types_supported"])
    assert {"public", "pairwise"} == set(found["subject_types_supported"])
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    assert "RS256" in found["token_endpoint_auth_signing_alg_values_supported"]
    assert found["request_uri_parameter_supported"] is True
    assert found["claims_supported"]


def test_oidcc_server(op: DynamicProvider, browser: Browser) -> None:
    """The whole flow of a client that has just registered, with private_key_jwt."""
    with op.client() as party:
        tokens = party.tokens(browser, scope="openid profile email")
        assert set(tokens.claims) <= ID_TOKEN_CLAIMS
        assert tokens.response["expires_in"] > 0
        assert party.userinfo(tokens.access_token)["sub"] == tokens.claims["sub"]
        assert "allow" in tokens.callback.visit.pressed


def first_page(party: DynamicParty, browser: Browser) -> tuple[str, str]:
    """Where somebody signs in for the client, and what is there."""
    visit = browser.open(party.metadata["authorization_endpoint"], party.request(), press=())
    assert visit.page.form_with("sign-in") is not None
    return visit.page.url, visit.response.text


def test_oidcc_registration_logo_uri(op: DynamicProvider, browser: Browser, host: Host) -> None:
    """The logo is on the page where people sign in. It is fetched by the server, so that its host sees nobody."""
    logo_uri = host.put("/logo.png", "image/png", PNG)
    with op.client(logo_uri=logo_uri) as party:
        assert party.told["logo_uri"] == logo_uri
        url, html = first_page(party, browser)
        assert logo_uri not in html
        (source,) = re.findall(r'<img[^>]* src="([^"]*client-logo[^"]*)"', html)
        answer = op.wire.get(urljoin(url, unescape(source)))
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        assert answer.data[:8] == PNG[:8]
        assert host.asked == ["/logo.png"]


@pytest.mark.parametrize("member", ["policy_uri"])
def test_oidcc_registration_policy_uri(op: DynamicProvider, browser: Browser, member: str) -> None:
    """A link to the policy is on the page where people sign in."""
    has_link(op, browser, member)


@pytest.mark.parametrize("member", ["tos_uri"])
def test_oidcc_registration_tos_uri(op: DynamicProvider, browser: Browser, member: str) -> None:
    """A link to the terms is on the page where people sign in."""
    has_link(op, browser, member)


def has_link(op: DynamicProvider, browser: Browser, member: str) -> None:
    uri = f"https://rp.example.com/{member}?a=1&b=2"
    with op.client(**{member: uri}) as party:
        _, html = first_page(party, browser)
        assert uri in [unescape(found) for found in re.findall(r'<a[^>]* href="([^"]+)"', html)]


def test_oidcc_registration_jwks_uri(op: DynamicProvider, browser: Browser, host: Host) -> None:
    """The assertion is verified with the keys that lie there."""
    key = new_key()
    jwks_uri = host.put("/jwks", "application/jwk-set+json", public(key))
    with op.client(key=key, jwks_uri=jwks_uri) as party:
        assert party.told["jwks_uri"] == jwks_uri
        assert "jwks" not in party.told
        party.tokens(browser)
        assert "/jwks" in host.asked


def test_oidcc_registration_sector_uri(op: DynamicProvider, browser: Browser, host: Host) -> None:
    """Pairwise subjects of a sector whose document names the redirect URI."""
    sector = host.put("/sector.json", "application/json", [CALLBACK, OTHER_CALLBACK])
    with (
        op.client(subject_type="pairwise", sector_identifier_uri=sector) as party,
        op.client() as public_client,
    ):
        assert party.told["subject_type"] == "pairwise"
        tokens = party.tokens(browser)
        assert tokens.claims["sub"] != public_client.tokens(browser).claims["sub"]
        assert party.userinfo(tokens.access_token)["sub"] == tokens.claims["sub"]


def test_oidcc_registration_sector_bad(op: DynamicProvider, host: Host) -> None:
    """A sector whose document does not."""
    sector = host.put("/sector.json", "application/json", [OTHER_CALLBACK])
    members = {"subject_type": "pairwise", "sector_identifier_uri": sector, "jwks": public(new_key())}
    check_error(op.ask(**members), "invalid_client_metadata")


def test_oidcc_server_rotate_keys(op: DynamicProvider, browser: Browser) -> None:
    """After a rotation there is a new key beside the old one, and what was signed before is still good."""
    with op.client() as party:
        before = {key.kid for key in party.keys().keys}
        tokens = party.tokens(browser, nonce="before")
        op.provider.services.keyring.rotate(op.provider.tenant.id)
        after = {key.kid for key in party.keys().keys}
        assert after - before
        assert before <= after
        party.read_id_token(tokens.id_token, nonce="before")
        party.tokens(browser)


def test_oidcc_refresh_token_rp_key_rotation(op: DynamicProvider, browser: Browser, host: Host) -> None:
    """The client's keys are fetched anew when it signs under a kid nobody knows, within a minute."""
    old, new = new_key("old"), new_key("new")
    jwks_uri = host.put("/jwks", "application/jwk-set+json", public(old))
    with op.client(key=old, jwks_uri=jwks_uri, **OFFLINE) as party:
        tokens = party.tokens(browser, scope="openid offline_access", prompt="consent")
        host.put("/jwks", "application/jwk-set+json", public(new))
        with time_machine.travel(clock.now() + timedelta(seconds=59), tick=True):
            answer = party.with_key(new).refresh(tokens.response["refresh_token"])
        check_token_response(answer)


def test_oidcc_request_uri_unsigned(op: DynamicProvider) -> None:
    """Unsigned request objects are not offered."""
    assert "none" not in op.metadata["request_object_signing_alg_values_supported"]


def by_reference(party: DynamicParty, host: Host, path: str, **claims: Any) -> str:
    """A request object of the client at its host; gives its address."""
    said = {**party.request(), "iss": party.client_id, "aud": party.issuer, **claims}
    token = party.signed(said)
    return host.put(path, "application/jwt", token.encode()) + "#" + digest_of(token)


def test_oidcc_request_uri_signed_rs256(op: DynamicProvider, browser: Browser, host: Host) -> None:
    """A signed request at an address that was registered with the digest of what lies there."""
    assert op.metadata["request_uri_parameter_supported"] is True
    assert "RS256" in op.metadata["request_object_signing_alg_values_supported"]
    key = new_key()
    address = host.put("/request.jwt", "application/jwt", b"later")
    registered = f"{address}#{digest_of('later')}"
    with op.client(key=key, request_uris=[registered], request_object_signing_alg="RS256") as party:
        assert party.told["request_uris"] == [registered]
        request_uri = by_reference(party, host, "/request.jwt", state="inside", nonce="inside")
        beside = {"client_id": party.client_id, "response_type": "code", "scope": "openid"}
        visit = browser.open(party.metadata["authorization_endpoint"], {**beside, "request_uri": request_uri})
        arrived = sent(visit)
        assert arrived.uri == CALLBACK
        assert arrived.query["state"] == "inside"
        form = {"grant_type": "authorization_code", "code": arrived.query["code"], "redirect_uri": CALLBACK}
        response = check_token_response(party.token(form))
        assert party.read_id_token(response["id_token"], nonce="inside")["nonce"] == "inside"
        elsewhere = by_reference(party, host, "/another.jwt")
        nowhere(browser.open(party.metadata["authorization_endpoint"], {**beside, "request_uri": elsewhere}))


def test_oidcc_ensure_request_object_with_redirect_uri(op: DynamicProvider, browser: Browser) -> None:
    """A good address inside the object and a bad one outside: the one inside is used."""
    with op.client(request_object_signing_alg="RS256") as party:
        inside = party.request(state="inside")
        token = party.signed({**inside, "iss": party.client_id, "aud": party.issuer})
        visit = party.visit(browser, request=token, redirect_uri="https://rp.example.com/bad")
        arrived = sent(visit)
        assert arrived.uri == CALLBACK
        assert arrived.query["state"] == "inside"


def test_oidcc_refresh_token(op: DynamicProvider, browser: Browser) -> None:
    """Refreshing with the same scope; another client's refresh token is refused."""
    scope = "openid offline_access"
    with op.client(**OFFLINE) as first, op.client(**OFFLINE) as second:
        mine = first.tokens(browser, scope=scope, prompt="consent")
        theirs = second.tokens(op.provider.browser(), scope=scope, prompt="consent")
        answer = check_token_response(first.refresh(mine.response["refresh_token"], scope=scope))
        renewed = first.read_id_token(answer["id_token"], nonce=None) if "id_token" in answer else None
        if renewed is not None:
            same = ("iss", "sub", "aud", "auth_time")
            assert [renewed[name] for name in same] == [mine.claims[name] for name in same]
        check_error(first.refresh(theirs.response["refresh_token"]), "invalid_grant")
        check_token_response(second.refresh(theirs.response["refresh_token"]))


def test_oidcc_ensure_client_assertion_with_iss_aud_succeeds(op: DynamicProvider, browser: Browser) -> None:
    """The audience of the assertion may be the issuer."""
    with op.client() as party:
        callback = party.authorize(browser)
        form = {"grant_type": "authorization_code", "code": callback.code, "redirect_uri": CALLBACK}
        check_token_response(party.with_assertion(form, party.assertion(aud=party.issuer)))


def test_dynamic_registration(op: DynamicProvider) -> None:
    """What every module checks of the answer; each method of authentication is registered as it was asked for."""
    for method in ("client_secret_basic", "client_secret_post", "private_key_jwt", "none"):
        with op.client(token_endpoint_auth_method=method) as party:
            assert party.told["token_endpoint_auth_method"] == method
            assert party.configuration().status_code == 200


def test_dynamic_front_channel(op: DynamicProvider) -> None:
    """The response types a provider with registration has to have can be registered."""
    for kind in ("id_token", "id_token token", "code id_token"):
        grants = ["implicit", *(["authorization_code"] if "code" in kind else [])]
        with op.client(response_types=[kind], grant_types=grants) as party:
            assert party.told["response_types"] == [kind]


def test_checks_of_registration_can_fail(op: DynamicProvider) -> None:
    """A refusal is none."""
    with pytest.raises(AssertionError):
        check_registration(op.ask(redirect_uris=["x"]))
