"""Attacks on what all tenants share: threads, hashing, the interpreter. What one can have us do is bounded, and the
pages of the others go on meanwhile."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import create_app
from app.domain.tenants import TenantContext
from app.infra import limits
from app.infra.fetch import LOGOS, Fetcher
from app.serving.sizing import PAGE_THREADS
from app.web import branding
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol import mailbag
from tests.protocol.browserless import Person, new_person, new_public_client, token_of
from tests.protocol.key_server import KeyServer
from tests.protocol.registrations import Made, Registry
from tests.protocol.tarpit import Tarpit
from tests.protocol.test_tenant_settings import decide

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'


def test_logos_of_silent_servers_hold_few_threads(
    services: Services, tenant: TenantContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for as many as there are places for pages is told at once that there is no logo; the pages of
    others are there meanwhile, and a logo there was no place for is asked for again as soon as there is."""
    monkeypatch.setattr(branding, "LOGO_TIMEOUT_SECONDS", 30.0)
    parts = dataclasses.replace(services, fetcher=Fetcher(("127.0.0.1",)))
    app, other = create_app(parts.settings, services=parts), new_tenant(services)
    names = [f"c{number}" for number in range(PAGE_THREADS + 2)]

    def ask(name: str) -> int:
        return Http(app, tenant).get("/client-logo", query={"client_id": name}).status_code

    with Tarpit() as silent, KeyServer({}) as shelf, ThreadPoolExecutor(LOGOS + 4) as pool:
        shelf.text = SVG
        for name in names:
            new_public_client(services, tenant, name, logo_uri=f"{silent.url}{name}")
        new_public_client(services, tenant, "honest", logo_uri=shelf.url)
        held = [pool.submit(ask, name) for name in names[:LOGOS]]
        silent.wait_for(LOGOS)
        assert [*pool.map(ask, names[LOGOS:]), ask("honest")] == [404] * (len(names) - LOGOS + 1)
        assert not any(each.done() for each in held), "the others did not wait for them"
        assert Http(app, other).get("/forgot").status_code == 303
        silent.release()
        assert [each.result() for each in held] == [404] * LOGOS
        assert ask("honest") == 200


def test_one_client_has_few_logos_fetched(services: Services) -> None:
    """Whatever addresses it names, one after the other, and however many clients one makes (RFC 7592 section 2.2)."""
    parts = dataclasses.replace(services, fetcher=Fetcher(("127.0.0.1",)))
    registry = Registry.open(parts, create_app(parts.settings, services=parts))
    made = registry.register()

    def shown(made: Made) -> int:
        return registry.http.get("/client-logo", query={"client_id": made.client_id}).status_code

    with KeyServer({}) as shelf:
        shelf.text = SVG
        found = []
        for number in range(limits.CLIENT_LOGOS.most + 3):
            assert made.put(logo_uri=f"{shelf.url}?{number}").status_code == 200
            found.append(shown(made))
        assert found == [200] * limits.CLIENT_LOGOS.most + [404] * 3
        assert shelf.asked == limits.CLIENT_LOGOS.most
        other = registry.register(logo_uri=f"{shelf.url}?other")
        assert shown(other) == 200
        whole = limits.CLIENT_LOGOS_ALL
        services.state.execute(*[whole.fail(registry.tenant.id)] * whole.most)
        assert other.put(logo_uri=f"{shelf.url}?another").status_code == 200
        assert shown(other) == 404


def test_one_link_has_few_forms_read(
    services: Services, tenant: TenantContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may cost a hash, and says whether a user name is taken: neither is to be had without end for one link, and
    nothing is hashed for who cannot have the account."""
    fast = dataclasses.replace(services, sign_in_floor_seconds=0.0)
    http = Http(create_app(fast.settings, services=fast), tenant)
    hashed: list[str] = []
    monkeypatch.setattr(services.new_passwords, "hash", lambda *_, **how: hashed.append("") or "")
    terms = {"version": "1", "url": "https://example.com/terms"}
    decide(services, tenant, registration={"people": "open"}, terms=terms)
    new_person(services, tenant, "carol")
    path, form = _registration(services, http)
    network = limits.network_of("127.0.0.1")
    statuses = [
        http.post(path, form={**form, "username": f"free{number}"}).status_code
        for number in range(limits.LINK_FORMS.most)
    ]
    assert set(statuses) == {400}
    assert hashed == []
    refused = http.post(path, form={**form, "username": "carol"})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "taken" not in refused.text
    assert 'value="carol"' in refused.text
    assert form["password"] not in refused.text
    other, form = _registration(services, http)
    whole = limits.LINK_FORMS_NETWORK
    services.state.execute(*[whole.fail(tenant.id, network)] * whole.most)
    assert http.post(other, form={**form, "username": "free"}).status_code == 429


def test_one_reset_link_compares_few_passwords(services: Services, tenant: TenantContext, http: Http) -> None:
    """The present password is refused after it was compared, and uses nothing up."""
    new_person(services, tenant)
    person = Person(http)
    page = person.follow(http.get("/forgot"))
    http.post(person.at, raw=True, form={"csrf_token": token_of(page), "login": "alice"})
    path = mailbag.path_of(mailbag.newest(services, tenant, "alice@example.com").link, tenant)
    form = {"csrf_token": token_of(http.get(path)), "password": "short"}
    found = [http.post(path, form=form).status_code for _ in range(limits.LINK_FORMS.most + 1)]
    assert found == [400] * limits.LINK_FORMS.most + [429]


def _registration(services: Services, http: Http) -> tuple[str, dict[str, str]]:
    """A link to make an account behind, and what its form needs but the name."""
    person = Person(http)
    page = person.follow(http.get("/register"))
    http.post(person.at, raw=True, form={"csrf_token": token_of(page), "email": "thief@example.com"})
    path = mailbag.path_of(mailbag.newest(services, http.tenant, "thief@example.com").link, http.tenant)
    return path, {"csrf_token": token_of(http.get(path)), "password": "a-long-enough-passphrase"}


def test_the_networks_of_one_site_are_counted_together(services: Services, tenant: TenantContext) -> None:
    """Who has a /48 has 65,536 networks, and not as many budgets; their neighbours have their own."""
    fast = dataclasses.replace(services, sign_in_floor_seconds=0.0)
    http = Http(create_app(fast.settings, services=fast), tenant)
    person = Person(http)
    form = {"csrf_token": token_of(person.follow(http.get("/forgot"))), "login": "nobody"}

    def ask(address: str) -> int:
        return http.post(person.at, raw=True, form=form, environ_base={"REMOTE_ADDR": address}).status_code

    few = limits.RESET_NETWORK
    for number in range(limits.WIDER):
        counted = limits.by_network(few, tenant.id, f"2001:db8:7:{number:x}::1")
        assert len(counted) == 2
        assert services.state.execute(*counted * (few.most - 1)).ok
    assert [ask(f"2001:db8:7:{number:x}::1") for number in range(16, 16 + limits.WIDER)] == [
        303
    ] * limits.WIDER
    assert ask("2001:db8:7:ffff::1") == 429
    assert ask("2001:db8:8:ffff::1") == 303
    assert len(limits.by_network(few, tenant.id, "192.0.2.1")) == 1
