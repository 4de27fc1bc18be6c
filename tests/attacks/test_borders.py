"""Borders: tenants on one host, hosts of their own, redirects, cookies, pages in frames."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from app.domain import tenants
from app.domain.client_metadata import redirect_uri_fault
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel import uris
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol.browserless import (
    REDIRECT_URI,
    Person,
    consent_form,
    new_person,
    new_public_client,
    request,
    token_of,
)


def _signed_in(http: Http, services: Services, tenant: TenantContext) -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    assert person.through().parameters["code"]
    return person


def _jar(http: Http) -> dict[str, str]:
    return {c.key: c.value for c in (http.client._cookies or {}).values()}


def _send(http: Http, place: TenantContext, path: str, cookies: dict[str, str], **options: Any) -> Any:
    bare = Http(http.app, place)
    bare.client = Client(http.app.wsgi_app, use_cookies=False)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return bare.request(options.pop("method", "GET"), path, headers={"Cookie": header}, **options)


# Tenants on one host


def test_a_session_of_one_tenant_is_nobody_at_another(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """Even when the browser, or an attacker with a cookie editor, sends it under the other's name."""
    _signed_in(http, services, tenant)
    other = new_tenant(services)
    mine = _jar(http)
    renamed = {name.replace(tenant.id, other.id): value for name, value in mine.items()}
    assert "Sign in" in _send(http, other, "/account", {**mine, **renamed}).text
    assert "Alice" in _send(http, tenant, "/account", mine).text


def test_an_interaction_of_one_tenant_is_unknown_at_another(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    new_person(services, tenant)
    other = new_tenant(services)
    for place in (tenant, other):
        new_public_client(services, place)
    new_person(services, other)
    person = Person(http)
    page = person.sign_in(person.authorize())
    there = person.at.removeprefix(tenant.path)
    renamed = {name.replace(tenant.id, other.id): value for name, value in _jar(http).items()}
    for method, form in (("GET", None), ("POST", consent_form(page))):
        answer = _send(http, other, there, renamed, method=method, form=form)
        assert answer.status_code == 400
        assert "code=" not in answer.text


def test_a_form_token_of_one_tenant_is_foreign_at_another(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    _signed_in(http, services, tenant)
    token = token_of(http.get("/account"))
    other = new_tenant(services)
    new_person(services, other)
    neighbour = Http(http.app, other)
    person = Person(neighbour)
    new_public_client(services, other)
    person.through()
    answer = neighbour.post("/account/applications", form={"csrf_token": token, "consent": "0" * 36})
    assert answer.status_code == 403
    assert neighbour.post("/logout", form={"csrf_token": token}).status_code == 403
    assert "Alice" in neighbour.get("/account").text


@pytest.mark.parametrize(
    "path",
    [
        "/t/{slug}/../{other}/account",
        "/t/{slug}/t/{other}/account",
        "/t//{slug}/account",
        "/t/{slug}%2f..%2f{other}/account",
        "/T/{slug}/account",
        "/t/{upper}/account",
        "/t/{slug}./account",
        "/t/{slug}\u200b/account",
        "/t/default/account",
        "/.well-known/jwks/t/{slug}/t/{other}",
    ],
)
def test_no_other_spelling_of_a_path_leads_to_a_tenant(
    http: Http, services: Services, tenant: TenantContext, path: str
) -> None:
    other = new_tenant(services)
    spelled = path.format(slug=tenant.slug, upper=tenant.slug.upper(), other=other.slug)
    assert http.get(spelled, raw=True).status_code == 404


def test_a_tenant_with_a_host_is_there_and_nowhere_else(http: Http, services: Services) -> None:
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        made = tenants.create(session, slug="own-host", name="Own", host="own.example")
        slug = made.slug
    services.versions.touch()
    assert http.get(f"/t/{slug}/jwks", raw=True).status_code == 404
    jwks = "/.well-known/openid-configuration"
    for host, status in (
        ("own.example", 200),
        ("OWN.example", 200),
        ("own.example:80", 200),
        ("own.example.", 400),
        ("own.example:81", 400),
        ("own.example@evil.example", 400),
        ("evil.example", 400),
        ("", 400),
    ):
        answer = http.client.get(jwks, base_url="http://x/", environ_overrides={"HTTP_HOST": host})
        assert answer.status_code == status, host
    at_own = {"HTTP_HOST": "own.example"}
    answer = http.client.get(f"/t/{http.tenant.slug}/account", environ_overrides=at_own)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"},
        {"X-Forwarded-Prefix": "/evil"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Original-URL": "/health/live"},
        {"X-Rewrite-URL": "/health/live"},
        {"X-HTTP-Method-Override": "POST"},
        {"X-Script-Name": "/evil"},
        {"X-Forwarded-For": "9.9.9.9"},
    ],
)
def test_nobody_but_a_trusted_proxy_is_believed(
    http: Http, services: Services, tenant: TenantContext, headers: dict[str, str]
) -> None:
    new_public_client(services, tenant)
    for path in ("/account", "//account", "/sign-out", "/.well-known/openid-configuration"):
        answer = http.get(path, headers=headers)
        assert "evil" not in answer.text + str(answer.headers)
    answer = http.get("/authorize", query=request(), headers=headers)
    assert answer.headers["Location"].startswith(tenant.path + "/interaction/")


# Redirects


@pytest.mark.parametrize(
    "sent",
    [
        REDIRECT_URI + "/",
        REDIRECT_URI + "?x=1",
        REDIRECT_URI + "#f",
        REDIRECT_URI + "/../evil",
        REDIRECT_URI.upper(),
        REDIRECT_URI.replace("https", "http"),
        REDIRECT_URI.replace("app.example", "app.example:443"),
        REDIRECT_URI.replace("app.example", "app.example@evil.example"),
        REDIRECT_URI.replace("app.example", "evil.example\\@app.example"),
        REDIRECT_URI.replace("app.example", "app.example.evil.example"),
        REDIRECT_URI.replace("/cb", "%2fcb"),
        " " + REDIRECT_URI,
        REDIRECT_URI + " ",
        REDIRECT_URI + "\t",
        REDIRECT_URI + "\u0000",
        "//evil.example/",
        "javascript:alert(1)",
        "",
    ],
)
def test_no_redirect_uri_but_a_registered_one_is_gone_to(
    http: Http, services: Services, tenant: TenantContext, sent: str
) -> None:
    new_public_client(services, tenant)
    answer = http.get("/authorize", query=request(redirect_uri=sent, scope="openid"))
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:4711/cb@evil.example",
        "http://127.0.0.1:4711@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1:80:80/cb",
        "http://127.0.0.1:4711/cb?x",
        "http://127.0.0.1:4711/other",
        "http://localhost:4711/cb",
        "https://127.0.0.1:4711/cb",
        "http://[::1]:4711/cb",
        "http://127.1:4711/cb",
        "http://0x7f000001/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:-1/cb",
    ],
)
def test_only_the_port_of_a_loopback_address_is_free(asked: str) -> None:
    registered = "http://127.0.0.1/cb"
    assert uris.redirect_uri_matches("http://127.0.0.1:4711/cb", registered)
    assert not uris.redirect_uri_matches(asked, registered, native_public=True)


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "JaVaScRiPt://x/%0aalert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "https://user:pass@host/cb",
        "https:///cb",
        "https:cb",
        "//host/cb",
        "https://host/cb#f",
        "https://*.host/cb",
        "https://ho st/cb",
        "https://host\\@evil/cb",
        'https://host/"onload="x',
        "http://host.example/cb",
        "blob:https://host/x",
        "myapp:/cb",
    ],
)
def test_a_dangerous_redirect_uri_cannot_be_registered(uri: str) -> None:
    assert redirect_uri_fault(uri)


def test_an_interaction_goes_back_to_no_address_the_client_gave_up(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """What was checked when it began is checked again before anybody is sent there."""
    from app.domain.models import Client as Row

    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.sign_in(person.authorize())
    with services.tenancy.session(tenant.id, write=True) as session:
        row = session.get_one(Row, (tenant.id, "app"))
        row.metadata_ = {**row.metadata_, "redirect_uris": ["https://new.example/cb"]}
    services.versions.touch()
    for form in (consent_form(page), {**consent_form(page), "answer": "deny"}):
        answer = http.post(person.at, raw=True, form=form)
        assert answer.status_code == 400
        assert "app.example" not in answer.text


def test_signing_out_goes_nowhere_that_was_not_registered(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    new_public_client(services, tenant, post_logout_redirect_uris=["https://app.example/bye"])
    for target in (
        "https://evil.example/",
        "https://app.example/bye/",
        "https://app.example/bye?x",
        "https://app.example@evil.example/bye",
        REDIRECT_URI,
        "//evil.example",
    ):
        query = {"client_id": "app", "post_logout_redirect_uri": target}
        answer = http.get("/logout", query=query)
        assert answer.status_code == 400
        assert "evil" not in answer.text + str(answer.headers)
    # Registered, but anybody can make such a link: nobody is sent on by it.
    query = {"client_id": "app", "post_logout_redirect_uri": "https://app.example/bye"}
    assert "app.example" not in http.get("/logout", query=query).text


# Sessions, forms, frames


def test_signing_in_gives_a_new_session(http: Http, services: Services, tenant: TenantContext) -> None:
    """Session fixation: what the browser held before is worth nothing afterwards."""
    person = _signed_in(http, services, tenant)
    before = _jar(http)[f"ww-{tenant.id}"]
    page = person.authorize(prompt="login")
    person.sign_in(page)
    after = _jar(http)[f"ww-{tenant.id}"]
    assert before != after
    assert "Sign in" in _send(http, tenant, "/account", {f"ww-{tenant.id}": before}).text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_forms_of_other_sites_do_nothing(
    http: Http, services: Services, tenant: TenantContext, site: str
) -> None:
    _signed_in(http, services, tenant)
    page = http.get("/account/applications")
    consent = re.search(r'name="consent" value="([^"]+)"', page.text)
    assert consent
    forged = {"consent": consent[1], "step": "withdraw"}
    assert http.post("/account/applications", form=forged).status_code == 403
    good = {**forged, "csrf_token": token_of(page)}
    assert http.post("/account/applications", form=good, headers={"Sec-Fetch-Site": site}).status_code == 403
    answer = http.post("/logout", form={"csrf_token": token_of(page)}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "Alice" in http.get("/account").text


def test_a_link_signs_nobody_out(http: Http, services: Services, tenant: TenantContext) -> None:
    _signed_in(http, services, tenant)
    for path in ("/logout", "/sign-out", "/logout?client_id=app", "/logout?logout_hint=alice"):
        assert 'id="confirm-logout"' in http.get(path).text
    assert "Alice" in http.get("/account").text


@pytest.mark.parametrize("path", ["/sign-in", "/account", "/", "/sign-out", "/nowhere", "/first-admin/x"])
def test_no_page_is_framed_cached_or_sniffed(http: Http, path: str) -> None:
    headers = http.get(path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("mark", ['"><script>alert(1)</script>', "{{7*7}}", "'-alert(1)-'", "\u202eevil"])
def test_nothing_of_a_request_becomes_markup(
    http: Http, services: Services, tenant: TenantContext, mark: str
) -> None:
    new_person(services, tenant)
    new_public_client(services, tenant, client_name=mark)
    person = Person(http)
    shown = [
        person.authorize(login_hint=mark, state=mark, nonce=mark),
        http.get("/nowhere/" + quote(mark)),
        http.get("/account/applications", query={"done": mark}),
        http.get("/authorize", query=request(client_id=mark)),
        http.get("/logout", query={"state": mark, "id_token_hint": mark}),
    ]
    page = person.authorize(login_hint=mark)
    shown += [person.sign_in(page, username=mark), person.sign_in(page)]
    for answer in shown:
        assert "<script>alert" not in answer.text
        assert "49" not in re.findall(r"value=\"([^\"]*)\"", answer.text)
    answer = person.allow(shown[-1])
    assert "<script>alert" not in answer.text
