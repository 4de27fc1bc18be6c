"""Front-channel logout in Chromium: frames of other origins, the policy that lets them in, going on without a click.

OpenID Connect Front-Channel Logout 1.0 sections 2 and 3.
"""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Page, expect

from app.domain import clients
from app.kernel.secrets import new_secret
from tests.browser.site import Site
from tests.browser.test_flows import tab
from tests.browser.tour import sign_in
from tests.protocol.browserless import CHALLENGE, VERIFIER
from tests.receiver import Answer, Received, Receiver

__all__ = ["tab"]

pytestmark = pytest.mark.browser


class Application:
    """An application at an origin of its own, with a page to sign out and one to come back to."""

    def __init__(self, site: Site, receiver: Receiver) -> None:
        self.site, self.receiver = site, receiver
        self.client_id = f"framed-{new_secret()[:12].lower()}"
        self.callback, self.goodbye = receiver.url("/cb"), receiver.url("/goodbye")
        said = {
            "redirect_uris": [self.callback],
            "post_logout_redirect_uris": [self.goodbye],
            "token_endpoint_auth_method": "none",
            "scope": "openid profile email",
            "first_party": True,
            "frontchannel_logout_uri": receiver.url("/leave;x=1?kept=1"),
            "frontchannel_logout_session_required": True,
        }
        with site.services.tenancy.session(site.demo.tenant.id, write=True) as session:
            clients.create(session, self.client_id, said)
        site.services.versions.touch()

    def open(self, page: Page, *, first: bool) -> dict[str, Any]:
        """Sign in there; the tokens."""
        self.receiver.received.clear()
        page.goto(
            self.site.authorize_url(self.client_id, redirect_uri=self.callback, code_challenge=CHALLENGE)
        )
        if first:
            sign_in(page, "carol")
        page.wait_for_url(f"{self.callback}?**")
        form = {
            "grant_type": "authorization_code",
            "code": dict(self.receiver.got("/cb")[-1].query)["code"],
            "client_id": self.client_id,
            "redirect_uri": self.callback,
            "code_verifier": VERIFIER,
        }
        answer = requests.post(f"{self.site.base_url}/token", data=form, timeout=10)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def sign_out_url(self, tokens: dict[str, Any], **more: str) -> str:
        """Where it sends people to sign out, and have them back."""
        asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": self.goodbye, **more}
        return f"{self.site.base_url}/logout?{urlencode(asked)}"

    @property
    def told(self) -> list[dict[str, str]]:
        """What came to the page to sign out."""
        return [dict(one.query) for one in self.receiver.got("/leave;x=1")]

    def was_told_once(self) -> bool:
        """Frames are loaded beside the page: for what comes without a wait for them, some time is given."""
        end = time.monotonic() + 10
        while not self.told and time.monotonic() < end:
            time.sleep(0.05)
        return len(self.told) == 1


def application(site: Site) -> Iterator[Application]:
    with Receiver() as receiver:
        yield Application(site, receiver)


here = pytest.fixture(application, name="here")
there = pytest.fixture(application, name="there")


def test_every_application_signs_out_and_the_browser_goes_on(
    tab: Page, site: Site, here: Application, there: Application
) -> None:
    """Without a click, with scripts or without, and without a complaint about the policy."""
    other = there.open(tab, first=True)
    mine = here.open(tab, first=False)
    assert other["id_token"] != mine["id_token"]
    started = time.monotonic()
    tab.goto(here.sign_out_url(mine, state="st&<\"'>ä"), wait_until="commit")
    tab.wait_for_url(f"{here.goodbye}?**")
    assert time.monotonic() - started < 8
    assert dict(here.receiver.got("/goodbye")[-1].query) == {"state": "st&<\"'>ä"}
    ((one,), (two,)) = here.told, there.told
    assert one == two
    assert set(one) == {"kept", "iss", "sid"}
    assert one["iss"] == site.base_url
    for got in (*here.receiver.got("/leave;x=1"), *there.receiver.got("/leave;x=1")):
        assert "referer" not in got.headers
        assert got.headers["sec-fetch-dest"] == "iframe"
    tab.goto(site.authorize_url(here.client_id, redirect_uri=here.callback))
    assert tab.locator("#password").count() == 1


def test_after_a_question(tab: Page, site: Site, here: Application) -> None:
    """The form's answer is a page that goes on (contracts 14)."""
    here.open(tab, first=True)
    asked = urlencode({"client_id": here.client_id, "post_logout_redirect_uri": here.goodbye, "state": "s"})
    tab.goto(f"{site.base_url}/logout?{asked}")
    assert here.told == []
    tab.click("#confirm-logout", no_wait_after=True)
    tab.wait_for_url(f"{here.goodbye}?state=s")
    assert len(here.told) == 1


def test_without_an_address_the_page_stays(tab: Page, site: Site, here: Application) -> None:
    here.open(tab, first=True)
    tab.goto(f"{site.base_url}/sign-out")
    tab.click("#confirm-logout")
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed out")
    expect(tab.locator("iframe")).to_be_hidden()
    assert here.was_told_once()


def _never(received: Received) -> Answer:
    if received.path == "/leave;x=1":
        time.sleep(25)
    return 200, {}


def test_an_application_that_does_not_answer_is_not_waited_for(
    page: Page, site: Site, here: Application
) -> None:
    tokens = here.open(page, first=True)
    here.receiver.answer = _never
    started = time.monotonic()
    page.goto(here.sign_out_url(tokens), wait_until="commit")
    page.wait_for_url(here.goodbye)
    assert 3 < time.monotonic() - started < 9


def test_without_scripts_there_is_a_link_meanwhile(site: Site, here: Application, page: Page) -> None:
    """Chromium begins to count once every frame is there."""
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tokens = here.open(tab, first=True)
    here.receiver.answer = _never
    tab.goto(here.sign_out_url(tokens), wait_until="commit")
    expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed out")
    tab.click("#continue", no_wait_after=True)
    tab.wait_for_url(here.goodbye)
    context.close()


HOSTILE = b"""<!doctype html><title>mine</title><script>
  try { top.location = "https://evil.example/" } catch (e) {}
  try { open("https://evil.example/") } catch (e) {}
  try { alert("stay") } catch (e) {}
</script><form target=_top action="https://evil.example/"></form><script>document.forms[0].submit()</script>"""


def test_a_hostile_frame_takes_nobody_away(page: Page, site: Site, here: Application) -> None:
    """It is in a sandbox: it can neither lead the page away nor open windows nor hold it with a question."""
    tokens = here.open(page, first=True)

    def answer(got: Received) -> Answer:
        here.receiver.body = HOSTILE if got.path == "/leave;x=1" else b"<!doctype html><title>bye</title>"
        return 200, {}

    here.receiver.answer = answer
    opened: list[object] = []
    page.on("dialog", lambda dialog: (opened.append(dialog), dialog.dismiss()))
    page.on("popup", lambda window: opened.append(window))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(here.sign_out_url(tokens), wait_until="commit")
    page.wait_for_url(here.goodbye)
    assert len(here.told) == 1
    assert opened == []
    assert not any("evil.example" in url for url in asked)


def test_a_frame_is_not_redirected_elsewhere(
    page: Page, site: Site, here: Application, there: Application
) -> None:
    """frame-src names this address alone: another host behind a redirect is not loaded."""
    tokens = here.open(page, first=True)
    there.receiver.received.clear()
    here.receiver.answer = lambda got: (
        302 if got.path == "/leave;x=1" else 200,
        {"Location": there.receiver.url("/elsewhere")},
    )
    page.goto(here.sign_out_url(tokens), wait_until="commit")
    page.wait_for_url(here.goodbye)
    assert len(here.told) == 1
    assert there.receiver.received == []
