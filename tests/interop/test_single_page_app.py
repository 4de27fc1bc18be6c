"""oidc-client-ts as a single-page app in Chromium, on an origin of its own: everything it calls, it calls with CORS."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.interop import deployment
from tests.live import ROOT, LiveServer

pytestmark = [pytest.mark.interop, pytest.mark.browser, pytest.mark.timeout(180)]

LIBRARY = ROOT / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"

SIGNED_OUT_OR_ASKED = "#confirm-logout, #state:text-is('signed out')"


class _Files(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        """The library comes from where npm put it."""
        return str(LIBRARY) if path == "/oidc-client-ts.min.js" else super().translate_path(path)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def spa() -> Iterator[str]:
    """The origin of the app's static files."""
    handler = functools.partial(_Files, directory=str(Path(__file__).parent / "spa"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        thread = threading.Thread(target=files.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{files.server_address[1]}"
        files.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile."""
    found = browser.new_page()
    yield found
    found.close()


def result(page: Page, state: str) -> Any:
    page.wait_for_function(
        "wanted => ['failed', wanted].includes(document.getElementById('state')?.textContent)",
        arg=state,
        timeout=20_000,
    )
    found = page.text_content("#result") or ""
    assert page.text_content("#state") == state, found
    return json.loads(found)


def test_oidc_client_ts_signs_in_refreshes_revokes_and_signs_out(
    live: LiveServer, spa: str, page: Page
) -> None:
    live.apply(deployment.document(deployment.client("spa", "oauth2.1", "none", [f"{spa}/"])))
    page.goto(spa)
    page.wait_for_selector("text=ready")
    page.evaluate("authority => void signIn(authority)", live.base_url)
    page.fill("input[name=username]", deployment.USERNAME)
    page.fill("input[name=password]", deployment.PASSWORD)
    page.click("#sign-in")
    page.click("#allow")
    signed_in = result(page, "signed in")
    assert signed_in["profile"]["iss"] == live.base_url
    assert signed_in["profile"]["name"] == "Alice Adams"
    assert signed_in["type"] == "Bearer"
    assert 0 < signed_in["expires_in"] <= 300
    assert "offline_access" in signed_in["scopes"]

    page.evaluate("refresh()")
    refreshed = result(page, "refreshed")
    assert refreshed == {"changed": True, "sub": signed_in["profile"]["sub"]}

    page.evaluate("revoke()")
    revoked = result(page, "revoked")
    assert revoked["status"] == 401
    assert 'error="invalid_token"' in revoked["challenge"]

    page.evaluate("void signOut()")
    page.wait_for_selector(SIGNED_OUT_OR_ASKED, timeout=20_000)
    if page.locator("#confirm-logout").count():
        page.click("#confirm-logout")
    result(page, "signed out")
