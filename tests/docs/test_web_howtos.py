"""The how-to pages for Apache and for single-page applications, with a real Apache and a real Chromium."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.docs.conftest import PASSWORD, USERNAME, ReaderOf
from tests.docs.newcomer import Folder, Reading, apply, apply_anew, printed_secret
from tests.interop.apache import Apache
from tests.live import ROOT, LiveServer
from tests.person import Person

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

APACHE_ORIGIN = "https://intranet.example.com"
SPA_ORIGIN = "https://board.example.com"
LIBRARY = ROOT / "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"


class DocumentedApache(Apache):
    """Apache with the directives of the page in place of those of the other tests, on http."""

    def __init__(self, live: LiveServer) -> None:
        super().__init__(live.base_url, "", "", "client_secret_basic", pkce=True)
        protected = self.folder / "www" / "protected"
        protected.mkdir()
        (protected / "index.html").write_text("for staff only\n")

    def configure(self, directives: str) -> None:
        """Keep the server's own lines, replace the module's."""
        file = self.folder / "apache.conf"
        own, _, _ = file.read_text().partition("OIDCProviderMetadataURL")
        file.write_text(own + directives)


def test_apache(reader: ReaderOf, documented: LiveServer, folder: Folder, alice: Person) -> None:
    apache = DocumentedApache(documented)
    reading = reader("docs/how-to/apache.md", **{APACHE_ORIGIN: apache.origin})
    secret = printed_secret(apply_anew(folder, reading.documents()[0]), "intranet")
    directives = reading.block("apache").replace("THE-PRINTED-SECRET", secret)
    apache.configure(directives)
    page, redirect = f"{apache.origin}/protected/index.html", f"{apache.origin}/protected/redirect"
    with apache:
        returned = alice.walk(page, redirect)
        shown = alice.session.get(returned, timeout=20)
        assert (shown.status_code, shown.url, shown.text) == (200, page, "for staff only\n"), apache.errors

        bob = {"username": "bob", "password": PASSWORD}
        apply(folder, {"tenants": [{"slug": "default", "users": [bob]}]})
        turned_away = Person("bob", PASSWORD).walk(page, redirect)
        assert parse_qs(urlsplit(turned_away).query)["error"] == ["access_denied"]


def test_single_page_application(
    reader: ReaderOf, documented: LiveServer, folder: Folder, browser: Browser
) -> None:
    with served() as (origin, files):
        reading = reader("docs/how-to/single-page-app.md", **{SPA_ORIGIN: origin})
        apply_anew(folder, reading.documents()[0])
        files |= application(reading)
        page = browser.new_page()
        try:
            profile = person_signs_in(page, origin)
        finally:
            page.close()
    assert profile["preferred_username"] == USERNAME
    assert profile["email"] == "alice@example.com"


def application(reading: Reading) -> dict[str, str]:
    """The page's code as two files: one with the button, one to come back to."""
    settings, button, callback = (reading.text(block.text) for block in reading.page.of("js"))
    imported = 'import { UserManager } from "oidc-client-ts";'
    assert imported in settings
    settings = settings.replace(imported, "const { UserManager } = oidc;")
    head = '<!doctype html><meta charset="utf-8"><title>Board</title><script src="/oidc-client-ts.min.js"></script>'
    clicked = f'<button id="in">Sign in</button><script>{settings}\nasync function go() {{ {button} }}\n'
    clicked += "document.getElementById('in').addEventListener('click', go);</script>"
    returned = f'<script type="module">{settings}\n{callback}\nwindow.person = user.profile;</script>'
    return {"/": head + clicked, "/callback.html": head + returned}


def person_signs_in(page: Page, origin: str) -> dict[str, Any]:
    """Click the button, sign in, allow; what the application then knows."""
    page.goto(origin)
    page.click("#in")
    page.fill("input[name=username]", USERNAME)
    page.fill("input[name=password]", PASSWORD)
    page.click("#sign-in")
    page.click("#allow")
    page.wait_for_function("window.person", timeout=20_000)
    found: dict[str, Any] = page.evaluate("window.person")
    return found


@contextmanager
def served() -> Iterator[tuple[str, dict[str, str]]]:
    """A web server of an origin of its own; what it serves is put into the dictionary."""
    files: dict[str, str] = {"/oidc-client-ts.min.js": LIBRARY.read_text("utf-8")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """A file, whatever the query."""
            body = files.get(self.path.partition("?")[0])
            self.send_response(200 if body else 404)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", files
        server.shutdown()
        thread.join()
