"""What every page carries, and what errors look like."""

import dataclasses
import re
from typing import TYPE_CHECKING

import pytest

from app.domain.tenants import TenantContext
from app.kernel import paths
from app.web.services import Services
from tests.protocol.browserless import Person, new_person, new_public_client, request

if TYPE_CHECKING:
    from tests.conftest import Http

PAGES = ("/", "/sign-in", "/account", "/logout", "/sign-out", "/nowhere", "/first-admin/x", "/interaction/x")


@pytest.mark.parametrize("path", PAGES)
def test_policy(http: "Http", path: str) -> None:
    """Contracts 13 and 14: nothing inline, nothing foreign, nothing framed, nothing stored, nothing referred."""
    response = http.get(path)
    policy = dict(
        part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["base-uri"] == "'none'"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert response.headers["X-Request-Id"]
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/account", "/first-admin/x"])
def test_pages_of_our_own_cut_the_opener_off(http: "Http", path: str) -> None:
    """Only the pages an application may open in a pop-up keep their opener."""
    response = http.get(path)
    kept = "Cross-Origin-Opener-Policy" not in response.headers
    assert kept == ("sign-in" in response.text or response.status_code == 404)


def test_nothing_inline_in_any_template() -> None:
    # Mail programs read no stylesheets, and run nothing.
    for template in (t for t in paths.TEMPLATES.rglob("*.html") if t.parent.name != "mail"):
        text = template.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]+src=)|javascript:", text), template
        assert "|safe" not in text.replace("paths[name]|safe", ""), template


def test_static_files_may_be_kept(http: "Http") -> None:
    """They are addressed by their digest."""
    page = http.get("/")
    found = re.search(r'href="([^"]+watchword\.css\?v=[0-9a-f]+)"', page.text)
    assert found
    response = http.get(found[1], raw=True)
    assert response.status_code == 200
    assert response.data.startswith(b"/* Watchword")
    assert "immutable" in response.headers["Cache-Control"]
    response.close()


def test_https_deployment(services: Services, tenant: TenantContext) -> None:
    """HSTS, and cookies that only TLS carries."""
    from app import create_app
    from tests.conftest import Http

    settings = dataclasses.replace(services.settings, base_url="https://localhost:8000")
    secure = dataclasses.replace(services, settings=settings)
    response = Http(create_app(settings, services=secure), tenant).get("/sign-in")
    assert "max-age=" in response.headers["Strict-Transport-Security"]
    cookies = response.headers.getlist("Set-Cookie")
    assert cookies
    assert all(cookie.startswith("__Host-") and "Secure" in cookie for cookie in cookies)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/authorize", 405)]
)
def test_errors_have_a_reference(http: "Http", method: str, path: str, status: int) -> None:
    response = http.request(method, path)
    assert response.status_code == status
    assert "Reference" in response.text
    assert response.headers["X-Request-Id"] in response.text
    if status == 405:
        assert "POST" in response.headers["Allow"]


def test_programs_get_problem_details(http: "Http") -> None:
    """RFC 9457."""
    response = http.get("/nowhere", headers={"Accept": "application/json"})
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json["status"] == 404
    assert response.json["reference"] == response.headers["X-Request-Id"]


def test_a_fault_of_ours_tells_nothing(services: Services, tenant: TenantContext) -> None:
    """500: a reference, no traceback, no names of ours."""
    from app import create_app
    from tests.conftest import Http

    app = create_app(services.settings, services=services)

    def broken() -> str:
        raise RuntimeError("a secret detail")

    app.add_url_rule("/broken", "broken", broken)
    response = Http(app, tenant).get("/broken")
    assert response.status_code == 500
    assert "Something went wrong here" in response.text
    assert "secret detail" not in response.text
    assert "Traceback" not in response.text


def test_large_bodies_are_refused(http: "Http", services: Services, tenant: TenantContext) -> None:
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    person.authorize()
    response = http.post(person.at, raw=True, form={"username": "x" * 100_000})
    assert response.status_code == 413


def test_tenants_do_not_share_interactions(http: "Http", services: Services, tenant: TenantContext) -> None:
    """An interaction, its cookie and its page are one tenant's."""
    from tests.conftest import Http, new_tenant

    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    person.authorize()
    other = new_tenant(services)
    elsewhere = person.at.replace(tenant.path, other.path)
    response = http.get(elsewhere, raw=True)
    assert response.status_code == 400
    assert "This request has expired" in response.text
    assert http.get(other.path + "/authorize", raw=True, query=request()).status_code == 400
    assert Http(http.app, other).get("/account").status_code == 200


def test_no_escape_by_names(http: "Http", services: Services, tenant: TenantContext) -> None:
    """Whatever a client is called, it is text."""
    name = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
    new_person(services, tenant)
    new_public_client(services, tenant, client_name=name)
    person = Person(http)
    page = person.authorize()
    assert "<img src=x" not in page.text
    assert "49" not in page.text.split("<h1>")[1].split("</h1>")[0]
    page = person.sign_in(page)
    assert "<img src=x" not in page.text
    assert "&lt;img" in page.text
