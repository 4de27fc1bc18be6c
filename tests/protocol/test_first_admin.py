"""The one-time link that makes the first administrator (contracts 15)."""

import dataclasses
import threading
from typing import TYPE_CHECKING

import pytest
import time_machine

from app import create_app
from app.domain import admin_links
from app.domain.access import rbac
from app.domain.new_passwords import NewPasswords
from app.domain.tenants import TenantContext
from app.infra.limits import FIRST_ADMIN
from app.kernel import clock
from app.kernel.errors import Problem
from app.web.services import Services
from tests.conftest import Http as Browser
from tests.protocol.browserless import Person, token_of

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.conftest import Http

PASSWORD = "a long sentence nobody says"


def link(services: Services, tenant: TenantContext, *, recover: bool = False) -> str:
    with services.tenancy.session(tenant.id, write=True) as session:
        return "/first-admin/" + admin_links.create(session, recover=recover)


def fill_in(http: "Http", path: str, page: "TestResponse", **changes: str) -> "TestResponse":
    form = {"username": "root", "email": "root@example.com", "password": PASSWORD, **changes}
    return http.post(path, form={"csrf_token": token_of(page), **form})


def administrators(services: Services, tenant: TenantContext) -> int:
    with services.tenancy.session(tenant.id) as session:
        return len(rbac.holders(session, rbac.SUPER_ADMIN))


def test_makes_an_administrator_and_signs_them_in(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    path = link(services, tenant)
    response = fill_in(http, path, http.get(path))
    assert response.status_code == 303
    assert 'id="sign-in"' in http.get("/").text
    person = Person(http, "root")
    person.save_codes(person.enrol(person.follow(response)))
    page = http.get("/")
    assert "Hello, " in page.text
    assert "watchword apply" in page.text
    assert administrators(services, tenant) == 1
    assert http.get(path).status_code == 404


def test_unknown_expired_and_superseded_links(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    gone = http.get("/first-admin/" + "x" * 43)
    assert gone.status_code == 404
    assert "a newer one was made" in gone.text
    assert "with --recover, if there is an administrator already" in gone.text
    first, second = link(services, tenant), link(services, tenant)
    assert http.get(first).status_code == 404
    assert http.get(second).status_code == 200
    with time_machine.travel(clock.after(3601), tick=True):
        assert http.get(second).status_code == 404


def test_trying_links_out_is_ended_with_429(http: "Http", services: Services, tenant: TenantContext) -> None:
    """Contracts 25; the right link works all the same."""
    wrong = "/first-admin/" + "x" * 43
    assert {http.get(wrong).status_code for _ in range(FIRST_ADMIN.most)} == {404}
    answer = http.get(wrong)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= FIRST_ADMIN.window_seconds
    assert http.get(link(services, tenant)).status_code == 200


def test_only_while_there_is_none_but_to_recover(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    path = link(services, tenant)
    fill_in(http, path, http.get(path))
    with pytest.raises(Problem, match=r"admin\.exists"):
        link(services, tenant)
    path = link(services, tenant, recover=True)
    page = http.get(path)
    assert "restores access" in page.text
    assert fill_in(http, path, page, username="rescue", email="").status_code == 303
    assert administrators(services, tenant) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "short"},
        {"password": ""},
        {"username": ""},
        {"username": "a\x07b"},
        {"email": "not an address"},
        {"password": "root@example.com"},
    ],
)
def test_what_is_not_accepted_does_not_use_the_link_up(
    http: "Http", services: Services, tenant: TenantContext, changes: dict[str, str]
) -> None:
    path = link(services, tenant)
    page = fill_in(http, path, http.get(path), **changes)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert administrators(services, tenant) == 0
    assert fill_in(http, path, http.get(path)).status_code == 303


def test_a_leaked_password_is_refused(http: "Http", services: Services, tenant: TenantContext) -> None:
    """Whoever may do everything is asked no less of than anybody else."""

    class Leaked:
        def knows(self, password: str) -> bool:
            return password == PASSWORD

    told = dataclasses.replace(services, new_passwords=NewPasswords(services.passwords, Leaked()))
    http = Browser(create_app(services.settings, services=told), tenant)
    path = link(services, tenant)
    page = fill_in(http, path, http.get(path))
    assert page.status_code == 400
    assert "leaked" in page.text
    assert administrators(services, tenant) == 0


def test_form_token_is_needed(http: "Http", services: Services, tenant: TenantContext) -> None:
    path = link(services, tenant)
    form = {"username": "root", "password": PASSWORD, "csrf_token": "x.y"}
    assert http.post(path, form=form).status_code == 403
    assert administrators(services, tenant) == 0


def test_sixteen_at_once_make_one(http: "Http", services: Services, tenant: TenantContext) -> None:
    path = link(services, tenant)
    page = http.get(path)
    statuses: list[int] = []

    def use(n: int) -> None:
        browser = Browser(http.app, tenant)
        while True:
            response = fill_in(browser, path, page, username=f"root{n}", email="")
            if response.status_code != 503:
                break
        statuses.append(response.status_code)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303] + [404] * 15
    assert administrators(services, tenant) == 1


def test_link_of_another_tenant_is_unknown(http: "Http", services: Services, tenant: TenantContext) -> None:
    from tests.conftest import new_tenant

    other = new_tenant(services)
    path = link(services, other)
    assert http.get(path).status_code == 404
    assert Browser(http.app, other).get(path).status_code == 200
