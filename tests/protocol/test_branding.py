"""A tenant's looks as they are served: its stylesheet, pictures, words, previews, and clients' logos."""

import base64
import dataclasses
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from app.domain import branding, tenants
from app.domain.tenants import TenantContext
from app.infra.fetch import Fetcher
from app.infra.mail import Mailer
from app.infra.state import Delete, Key
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.web import brand_preview, mails
from app.web.services import Services
from tests.protocol.browserless import Person, new_person, new_public_client
from tests.unit.infra.test_mail import Inbox, Server
from tests.unit.infra.test_mail import inbox as inbox

if TYPE_CHECKING:
    from tests.conftest import Http

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" fill="#123456"/></svg>'
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def decide(services: Services, tenant: TenantContext, **said: Any) -> None:
    """As `watchword apply` does with `settings.branding`."""
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        settings = branding.keep_pictures(session, row.id, {"branding": said})
        tenants.update_settings(row, settings)
    services.versions.touch()


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1].replace("&amp;", "&")


def test_without_a_brand_there_is_nothing_to_load(http: "Http") -> None:
    page = http.get("/sign-in").text
    assert "brand" not in page.replace("brand-", "")
    assert http.get("/brand.css").text == ""
    assert http.get("/brand/logo").status_code == 404
    assert http.get("/brand/client:app").status_code == 404


def test_the_stylesheet_may_be_kept_until_it_changes(
    services: Services, tenant: TenantContext, http: "Http"
) -> None:
    decide(services, tenant, colours={"brand": "#7a1fa2"}, radius=3)
    link = found(r'href="([^"]+/brand\.css\?v=[0-9a-f]+)"', http.get("/sign-in").text)
    response = http.get(link, raw=True)
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in response.headers["Cache-Control"]
    assert "--brand: #7a1fa2;" in response.text
    decide(services, tenant, radius=4)
    assert found(r'href="([^"]+/brand\.css\?v=[0-9a-f]+)"', http.get("/sign-in").text) != link
    assert "immutable" not in http.get(link, raw=True).headers["Cache-Control"]


def test_pictures(services: Services, tenant: TenantContext, http: "Http") -> None:
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    decide(services, tenant, name="Northwind & Co", logo=SVG, logo_dark=data, icon=data)
    page = http.get("/sign-in").text
    assert "Northwind &amp; Co" in page
    logo = http.get(found(r'class="logo" src="([^"]+)"', page), raw=True)
    assert (logo.headers["Content-Type"], logo.data) == ("image/svg+xml", SVG.encode())
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    assert "default-src 'none'" in logo.headers["Content-Security-Policy"]
    assert logo.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in logo.headers["Cache-Control"]
    dark = http.get(found(r'srcset="([^"]+)"', page), raw=True)
    assert (dark.headers["Content-Type"], dark.data) == ("image/png", PNG)
    assert 'type="image/png"' in page
    decide(services, tenant, logo=None)
    assert http.get("/brand/logo").status_code == 404
    assert 'class="logo"' not in http.get("/sign-in").text


def test_the_stored_setting_names_the_picture(services: Services, tenant: TenantContext) -> None:
    """Settings stay small, and what `watchword tenant show` says can be applied again."""
    decide(services, tenant, logo=SVG)
    said = services.tenants.by_id(tenant.id)
    assert said is not None
    stored = said.settings.branding.logo
    assert stored is not None
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\.svg", stored)
    decide(services, tenant, logo=stored)
    with pytest.raises(Exception, match="no picture of this digest"):
        decide(services, tenant, logo="sha256:" + "0" * 64 + ".svg")


def test_words_and_links(services: Services, tenant: TenantContext, http: "Http") -> None:
    decide(
        services,
        tenant,
        texts={"title": {"en": "Welcome <b>", "de": "Willkommen"}, "intro": {"en": "Staff only"}},
        links=[{"text": {"en": "Help"}, "uri": "https://example.com/help?a=1&b=2"}],
        legal={"imprint": "https://example.com/imprint"},
    )
    page = http.get("/sign-in").text
    assert "<h1><bdi>Welcome &lt;b&gt;</bdi></h1>" in page
    assert "Staff only" in page
    assert 'href="https://example.com/help?a=1&amp;b=2" rel="noreferrer noopener"' in page
    german = http.get("/sign-in", headers={"Accept-Language": "de"}).text
    assert "Willkommen</bdi></h1>" in german
    assert "Impressum" in german


def test_words_of_each_page(services: Services, tenant: TenantContext, http: "Http") -> None:
    """Heading and line where the page may have both, the line alone where the heading says who wants what."""
    pages = ("registration", "recover", "factor", "consent", "signed_out", "error")
    texts: dict[str, Any] = {name: {"intro": {"en": f"Our line: {name}"}} for name in pages}
    for name in ("registration", "recover", "signed_out"):
        texts[name]["title"] = {"en": f"Our heading: {name}", "de": f"Unser Titel: {name}"}
    decide(services, tenant, texts=texts)
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        mfa = {"required": "all", "methods": ["totp"]}
        tenants.update_settings(row, {"registration": {"people": "open"}, "authentication": {"mfa": mfa}})
    services.versions.touch()
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    consent = person.save_codes(person.enrol(person.sign_in(person.authorize())))
    again = Person(type(http)(http.app, tenant))
    again.app = person.app
    seen = {
        "consent": consent,
        "factor": again.sign_in(again.authorize()),
        "registration": again.follow(again.http.get("/register")),
        "recover": again.follow(again.http.get("/forgot")),
        "error": http.get("/no-such-page"),
        "signed_out": again.follow(again.http.get("/logout")),
    }
    for name, page in seen.items():
        assert f'<p class="lead" dir="auto">Our line: {name}</p>' in page.text, name
        assert page.text.count("Our line") == 1, name
        has_heading = f"<h1><bdi>Our heading: {name}</bdi></h1>" in page.text
        assert has_heading == ("title" in texts[name]), name
    assert "wants access</h1>" in consent.text
    german = again.follow(again.http.get("/forgot", headers={"Accept-Language": "de"}))
    assert "Our line: recover" in german.text
    assert "Our line" not in http.get("/sign-in").text


def test_mail_comes_from_the_tenant(services: Services, tenant: TenantContext, inbox: Inbox) -> None:
    """Its name beside the deployment's address, another where the settings say so, and where answers go."""
    server = Server(inbox)
    server.start()
    sending = dataclasses.replace(services.settings, smtp_url=f"smtp://127.0.0.1:{server.port}")
    mailer = Mailer(sending, services.vault, services.tenancy)
    try:
        for said in (
            {},
            {"name": "Northwind"},
            {"mail": {"from_name": "Northwind accounts", "reply_to": "help@example.org"}},
        ):
            decide(services, tenant, **said)
            where = services.tenants.by_id(tenant.id)
            assert where is not None
            with mails.outside_requests(services), services.tenancy.session(tenant.id, write=True) as db:
                mails.send(db, where, "account_deleted", "alice@example.com", "en")
            for claim in services.outbox.claim(tenant.id):
                services.outbox.delivered(claim, mailer.deliver(tenant.id, claim.payload))
    finally:
        server.stop()
    senders = [message["From"].addresses[0] for message in inbox.messages]
    assert [sender.display_name for sender in senders] == [tenant.name, "Northwind", "Northwind accounts"]
    assert {sender.addr_spec for sender in senders} == {"no-reply@localhost"}
    assert [message["Reply-To"] for message in inbox.messages] == [None, None, "help@example.org"]


def test_own_markup_needs_a_host_of_its_own(services: Services, tenant: TenantContext, http: "Http") -> None:
    """Contracts 13: refused at apply, and ignored should it be there all the same."""
    with pytest.raises(Exception, match="host of their own"):
        decide(services, tenant, header_html="<p>Hello</p>")
    host = f"{tenant.slug}.example"
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        row.host = host
    decide(
        services, tenant, header_html='<p class="x-top">Hello {{ tenant }}</p>', css=".x-top { color: #000 }"
    )
    base = services.settings.base_url.partition("://")[0] + f"://{host}"
    page = http.client.get("/sign-in", base_url=base)
    assert '<p class="x-top">Hello ' in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert ".x-top { color: #000; }" in http.client.get("/brand.css", base_url=base).text
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        row.host = None
    services.versions.touch()
    assert "x-top" not in http.get("/sign-in").text
    assert "x-top" not in http.get("/brand.css").text


class TestPreview:
    def test_shown_before_it_is_saved(self, services: Services, tenant: TenantContext, http: "Http") -> None:
        link = brand_preview.make_link(
            services, tenant, {"name": "Proposed", "logo": SVG, "colours": {"brand": "#7a1fa2"}}
        )
        path = link.removeprefix(tenant.issuer)
        page = http.get(path)
        assert "Proposed" in page.text
        assert "<fieldset disabled" in page.text
        assert "--brand: #7a1fa2;" in http.get(path + "/brand.css").text
        assert http.get(path + "/logo").data == SVG.encode()
        assert http.get(path + "/icon").status_code == 404
        consent = http.get(path + "/consent")
        assert "An application</bdi> wants access" in consent.text
        assert "<fieldset disabled" in consent.text
        assert f'href="{tenant.path}{path}"' in consent.text
        assert "Proposed" not in http.get("/sign-in").text
        assert http.post(path).status_code == 405

    def test_the_link_cannot_be_guessed_and_expires(
        self, services: Services, tenant: TenantContext, http: "Http"
    ) -> None:
        link = brand_preview.make_link(services, tenant, {"name": "Proposed"})
        path = link.removeprefix(tenant.issuer)
        assert len(path.rpartition("/")[2]) >= 43
        assert http.get(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404
        with time_machine.travel(clock.now() + timedelta(seconds=3700), tick=True):
            if services.settings.redis_url:
                key = Key(tenant.id, brand_preview.KIND, lookup_hash(path.rpartition("/")[2]))
                services.state.execute(Delete(key))  # Redis has a clock of its own
            assert http.get(path).status_code == 404


class Pictures:
    """A client's server with a logo on it."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = PNG, 200, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/logo.png"


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    made = Pictures()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class TestClientLogos:
    @pytest.fixture
    def services(self, services: Services) -> Services:
        return dataclasses.replace(services, fetcher=Fetcher(["127.0.0.0/8"]))

    def test_shown_from_our_own_origin(
        self, services: Services, tenant: TenantContext, http: "Http", pictures: Pictures
    ) -> None:
        """Contracts 14: fetched once, served as what it is, and never by the client's server to the browser."""
        new_person(services, tenant)
        new_public_client(services, tenant, logo_uri=pictures.url)
        person = Person(http)
        page = person.authorize()
        assert pictures.url not in page.text
        address = found(r'class="client-logo" src="([^"]+)"', page.text)
        logo = http.get(address, raw=True)
        assert (logo.headers["Content-Type"], logo.data) == ("image/png", PNG)
        assert http.get(address, raw=True).data == PNG
        assert pictures.asked == 1
        consent = person.sign_in(page)
        assert found(r'class="client-logo" src="([^"]+)"', consent.text) == address

    def test_what_cannot_be_shown_is_asked_for_rarely(
        self, services: Services, tenant: TenantContext, http: "Http", pictures: Pictures
    ) -> None:
        pictures.body = b"<html><script>alert(1)</script>"
        new_public_client(services, tenant, logo_uri=pictures.url)
        for _ in range(3):
            answer = http.get("/client-logo", query={"client_id": "app"})
            assert answer.status_code == 404
            assert answer.headers["Cache-Control"] == "no-store"
        assert pictures.asked == 1

    def test_a_client_without_one(self, services: Services, tenant: TenantContext, http: "Http") -> None:
        new_public_client(services, tenant)
        assert "client-logo" not in Person(http).authorize().text
        for client_id in ("app", "nobody", "", "x" * 3000, "\x00"):
            assert http.get("/client-logo", query={"client_id": client_id}).status_code == 404
