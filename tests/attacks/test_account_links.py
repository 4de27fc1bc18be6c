"""Attacks on the links and pages of people's accounts: telling people apart by time, and reading secrets in logs."""

import dataclasses
import logging
import re
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from app.domain.tenants import TenantContext
from app.web.services import Services
from tests.attacks.test_sign_in import confirm
from tests.protocol import mailbag
from tests.protocol.browserless import Person, new_person, token_of
from tests.protocol.test_tenant_settings import decide

if TYPE_CHECKING:
    from tests.conftest import Http

FLOOR = 0.15
TIMES = 3


@pytest.fixture
def services(services: Services) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=FLOOR)


@pytest.fixture
def somebody(services: Services, tenant: TenantContext) -> str:
    decide(services, tenant, registration={"people": "open"})
    new_person(services, tenant)
    return "alice@example.com"


@pytest.mark.parametrize(("path", "field"), [("/forgot", "login"), ("/register", "email")])
def test_enumeration_by_time(http: "Http", somebody: str, path: str, field: str) -> None:
    """A mail is written for the one address and none, or another, for the other: both take the same least time."""
    medians = []
    for address in (somebody, "nobody@example.com"):
        taken = []
        for _ in range(TIMES - (path == "/register")):
            person = Person(http)
            page = person.follow(http.get(path))
            form = {"csrf_token": token_of(page), field: address}
            started = time.perf_counter()
            assert http.post(person.at, raw=True, form=form).status_code == 303
            taken.append(time.perf_counter() - started)
        assert min(taken) >= FLOOR
        medians.append(statistics.median(taken))
    assert abs(medians[0] - medians[1]) < FLOOR / 2


def test_no_link_is_in_the_log(
    http: "Http",
    services: Services,
    tenant: TenantContext,
    somebody: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Canary: at DEBUG, from making a link to using it."""
    with caplog.at_level(logging.DEBUG):
        person = Person(http)
        page = person.follow(http.get("/forgot"))
        http.post(person.at, raw=True, form={"csrf_token": token_of(page), "login": "alice"})
        path = mailbag.path_of(mailbag.newest(services, tenant, somebody).link, tenant)
        page = http.get(path)
        http.post(path, form={"csrf_token": token_of(page), "password": "a password for the canary"})
        assert http.get(path).status_code == 404
    secret = path.rpartition("/")[2]
    out, err = capfd.readouterr()
    told = caplog.text + out + err + str([vars(record) for record in caplog.records])
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)
    assert secret not in told
    assert "a password for the canary" not in told


def test_enumeration_by_time_of_another_address(
    http: "Http", services: Services, tenant: TenantContext
) -> None:
    """In the console too: no mail is written to an address that is somebody's, in the same least time."""
    confirm(services, tenant, new_person(services, tenant))
    confirm(services, tenant, new_person(services, tenant, "victim"))
    person = Person(http)
    page = http.get("/sign-in")
    person.at = re.findall(r'action="([^"]*/interaction/[^"?]+)"', page.text)[0]
    person.sign_in(page)
    token = token_of(http.get("/account/email"))
    for address in ("victim@example.com", "free@example.com"):
        started = time.perf_counter()
        answer = http.post("/account/email", form={"csrf_token": token, "email": address})
        assert answer.status_code == 303
        assert time.perf_counter() - started >= FLOOR
