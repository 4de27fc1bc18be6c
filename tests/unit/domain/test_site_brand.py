"""A brand drawn from a site's page, by rules."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.domain import site_brand
from app.domain.branding import BrandingSettings
from app.infra.fetch import Fetcher
from app.kernel.errors import Problem

LOGO = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 30"><path fill="#7a1fa2" d="M0 0h9v9z"/></svg>'
)
ICON = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
PAGE = b"""<!doctype html><html><head><title>Home | Northwind Traders</title>
<meta property="og:site_name" content="Northwind"><meta name="theme-color" content="#ffcc00">
<link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="site.css">
</head><body><header><a href="/"><img src="/img/logo.svg" alt="Northwind"></a></header>
<footer><a href="https://northwind.example/privacy">Privacy policy</a>
<a href="https://northwind.example/impressum">Impressum</a><a href="http://plain.example/terms">Terms</a></footer>
"""


class Site:
    """A site whose pages are a table: path to status, type, body or redirect."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[str] = []
        self.slow: dict[str, float] = {}
        """Seconds until the answer, by path."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                time.sleep(outer.slow.get(self.path, 0.0))
                status, kind, body = outer.pages.get(self.path, (404, "text/plain", b"no"))
                self.send_response(status)
                self.send_header("Location" if 300 <= status < 400 else "Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def draw(self, path: str = "/") -> site_brand.Drawn:
        return site_brand.draw(Fetcher(["127.0.0.0/8"]), self.url + path)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_a_whole_brand(site: Site) -> None:
    site.pages = {
        "/": (302, "/home", b""),
        "/home": (200, "text/html", PAGE),
        "/site.css": (200, "text/css", b":root { --brand-500: #7a1fa2; --gap: 4px } a { color: #7a1fa2 }"),
        "/img/logo.svg": (200, "image/svg+xml", LOGO),
        "/icon.svg": (200, "image/svg+xml", ICON),
    }
    drawn = site.draw()
    said = BrandingSettings.model_validate(drawn.branding)
    assert said.name == "Northwind"
    assert said.colours.brand == "#7a1fa2", "a property called brand outweighs the browser's bar"
    assert said.colours.brand_dark
    assert said.logo
    assert said.icon
    assert said.show_name is False, "a logo three times as wide as high has the name in it"
    assert said.legal.privacy == "https://northwind.example/privacy"
    assert said.legal.imprint == "https://northwind.example/impressum"
    assert said.legal.terms is None, "plain http"


def test_a_colour_nobody_could_read_is_moved(site: Site) -> None:
    site.pages = {"/": (200, "text/html", PAGE.replace(b"site.css", b"gone.css"))}
    drawn = site.draw()
    assert drawn.branding["colours"]["brand"] == "#856a00"
    assert any("1.36:1" in note for note in drawn.notes)
    BrandingSettings.model_validate(drawn.branding)


def test_what_is_not_safe_is_left_out(site: Site) -> None:
    site.pages = {
        "/": (200, "text/html", PAGE),
        "/img/logo.svg": (200, "image/svg+xml", LOGO.replace(b"<path", b"<script>1</script><path")),
        "/icon.svg": (200, "image/png", b"x" * 200_000),
    }
    drawn = site.draw()
    assert "logo" not in drawn.branding
    assert "icon" not in drawn.branding
    assert len([note for note in drawn.notes if "left out" in note]) >= 2


@pytest.mark.parametrize("answer", [(404, "text/html", b"<html>"), (200, "text/plain", b"nothing")])
def test_no_page(site: Site, answer: tuple[int, str, bytes]) -> None:
    site.pages = {"/": answer}
    with pytest.raises(Problem, match="no page"):
        site.draw()


def test_redirects_end(site: Site) -> None:
    site.pages = {"/": (302, "/", b"")}
    with pytest.raises(Problem, match="too often"):
        site.draw()
    assert len(site.asked) == 4


def test_a_redirect_inwards_is_refused(site: Site) -> None:
    """Every hop is checked like the first."""
    site.pages = {"/": (302, "https://10.0.0.1/", b"")}
    with pytest.raises(Problem) as refusal:
        site.draw()
    assert refusal.value.code == "fetch.address"
