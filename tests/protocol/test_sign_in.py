"""Signing in with a password: what it gives away, how guessing is slowed, what is on record (contracts 16)."""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from app.domain import users
from app.domain.models import User
from app.domain.tenants import TenantContext
from app.infra.limits import SIGN_IN_NETWORK
from app.protocols.login.devices import Device
from app.protocols.login.factors.outcome import Blocked, Origin, Verified
from app.protocols.login.factors.password import PasswordFactor
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http as Browser
from tests.protocol.browserless import (
    PASSWORD,
    Person,
    answer_of,
    new_person,
    new_public_client,
    token_of,
)

if TYPE_CHECKING:
    from tests.conftest import Http

WRONG = "Wrong username or password"


@pytest.fixture
def services(services: Services) -> Services:
    """A shorter floor, as these tests fail on purpose all the time; still longer than a hash takes."""
    return dataclasses.replace(services, sign_in_floor_seconds=0.1)


@pytest.fixture
def person(services: Services, tenant: TenantContext, http: "Http") -> Person:
    new_person(services, tenant)
    new_public_client(services, tenant)
    return Person(http)


def stranger(person: Person) -> Person:
    """The same application in a browser nobody used before."""
    return Person(Browser(person.http.app, person.http.tenant), person.username)


@pytest.mark.parametrize("name", ["alice", "ALICE", " alice ", "alice@example.com", "Alice@Example.COM"])
def test_user_name_or_address(person: Person, name: str) -> None:
    assert 'id="allow"' in person.sign_in(person.authorize(), username=name).text


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", PASSWORD + " "),
        ("alice", "x" * 5000),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("a\x00b", PASSWORD),
        ("\u202ealice", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("' OR 1=1 --", PASSWORD),
    ],
)
def test_every_failure_reads_the_same(person: Person, name: str, password: str) -> None:
    page = person.sign_in(person.authorize(), username=name, password=password)
    assert page.status_code == 401
    assert WRONG in page.text
    assert PASSWORD not in page.text
    assert not any(c.key == f"ww-{person.http.tenant.id}" for c in person.http.client._cookies.values())


def test_failures_take_the_same_least_time(person: Person, services: Services) -> None:
    """The floor, for a known name and an unknown one; and no hashing slot is held meanwhile."""
    for name in ("alice", "nobody"):
        page = person.authorize()
        started = time.perf_counter()
        person.sign_in(page, username=name, password="wrong")
        assert time.perf_counter() - started >= services.sign_in_floor_seconds


def test_name_is_escaped(person: Person) -> None:
    page = person.sign_in(person.authorize(), username='"><script>x</script>', password="wrong")
    assert "<script>x" not in page.text
    assert "&lt;script&gt;" in page.text


def failures(person: Person, n: int) -> list[int]:
    page = person.authorize()
    return [person.sign_in(page, password="wrong").status_code for _ in range(n)]


def test_too_many_attempts(person: Person, tenant: TenantContext) -> None:
    """429 with Retry-After; the right password does not help then."""
    limit = tenant.settings.authentication.lockout.failures
    assert failures(person, limit + 1) == [401] * limit + [429]
    response = person.sign_in(person.authorize())
    assert response.status_code == 429
    assert "Too many attempts" in response.text
    assert 0 < int(response.headers["Retry-After"]) <= tenant.settings.authentication.lockout.window_seconds


def test_unknown_names_count_too(person: Person, tenant: TenantContext) -> None:
    person.username = "nobody"
    limit = tenant.settings.authentication.lockout.failures
    assert failures(person, limit + 1)[-1] == 429


def test_address_and_name_share_one_count(person: Person, tenant: TenantContext) -> None:
    limit = tenant.settings.authentication.lockout.failures
    failures(person, limit)
    assert person.sign_in(person.authorize(), username="alice@example.com").status_code == 429


def test_a_stranger_cannot_lock_the_owner_out(person: Person, tenant: TenantContext) -> None:
    """A browser the person signed in with before has a counter of its own."""
    person.through()
    limit = tenant.settings.authentication.lockout.failures
    assert failures(stranger(person), limit + 1)[-1] == 429
    assert "code" in answer_of(person.sign_in(person.authorize(prompt="login"))).parameters
    assert failures(stranger(person), 1) == [429]


def test_a_known_device_is_limited_too(person: Person, tenant: TenantContext) -> None:
    person.through()
    limit = tenant.settings.authentication.lockout.failures
    page = person.authorize(prompt="login")
    assert [person.sign_in(page, password="wrong").status_code for _ in range(limit + 1)][-1] == 429


def test_known_device_is_forgotten_with_the_password(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """A cookie from before the password was changed may be a thief's."""
    from app.kernel import clock

    person.through()
    with services.tenancy.session(tenant.id, write=True) as session:
        alice = users.find_by_login(session, "alice")
        assert alice is not None
        alice.password_changed_at = clock.after(60)
    failures(stranger(person), tenant.settings.authentication.lockout.failures)
    assert person.sign_in(person.authorize(prompt="login")).status_code == 429


def test_one_network_does_not_try_every_name(
    person: Person, services: Services, tenant: TenantContext
) -> None:
    """Contracts 25: 429 whoever is tried next. Each IPv4 address that came over IPv6 is a network of its own."""
    origin, other = (Origin(f"::ffff:203.0.113.{n}", None) for n in (5, 6))
    services.state.execute(
        *(SIGN_IN_NETWORK.count(tenant.id, "203.0.113.5") for _ in range(SIGN_IN_NETWORK.most))
    )
    factor = PasswordFactor(services.tenancy, services.state, services.passwords, floor_seconds=0)
    refused = factor.attempt(tenant, "alice", PASSWORD, device=Device(), origin=origin)
    assert isinstance(refused, Blocked)
    assert refused.reason == "rate.network"
    assert isinstance(factor.attempt(tenant, "alice", PASSWORD, device=Device(), origin=other), Verified)


def test_success_forgets_the_failures(person: Person, tenant: TenantContext) -> None:
    limit = tenant.settings.authentication.lockout.failures
    failures(person, limit - 1)
    person.through()
    assert failures(stranger(person), limit - 1) == [401] * (limit - 1)


def test_parallel_guesses_do_not_slip_through(person: Person, tenant: TenantContext) -> None:
    """The attempt is counted before it is checked. Who is turned away as too many hash at once (503) tried nothing; but
    where that took its time, others were refused meanwhile, and stay counted."""
    limit = tenant.settings.authentication.lockout.failures
    with ThreadPoolExecutor(limit + 4) as pool:
        statuses = list(pool.map(lambda _: failures(stranger(person), 1)[0], range(limit + 4)))
    assert set(statuses) <= {401, 429, 503}
    statuses += failures(stranger(person), limit + 1)
    assert statuses.count(401) <= limit
    assert statuses.count(401) + statuses.count(503) >= limit
    assert statuses[-1] == 429


def test_older_hashes_are_made_anew(person: Person, services: Services, tenant: TenantContext) -> None:
    """argon2id with other parameters is replaced at the next sign-in."""
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with services.tenancy.session(tenant.id, write=True) as session:
        session.scalars(select(User)).one().password_hash = old
    person.through()
    with services.tenancy.session(tenant.id) as session:
        stored = session.scalars(select(User.password_hash)).one()
    assert stored is not None
    assert stored != old
    assert services.passwords.verify(PASSWORD, stored).ok


def test_busy_hashing_says_so(person: Person, services: Services) -> None:
    """Every slot taken: 503 with Retry-After, and the attempt does not count."""
    room = services.passwords._pool._room
    held = 0
    while room.acquire(blocking=False):
        held += 1
    assert held > 0
    try:
        response = person.sign_in(person.authorize())
    finally:
        room.release(held)
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert "Reference" in response.text


def test_events(person: Person, services: Services, tenant: TenantContext) -> None:
    """`auth.login.success` commits with the sign-in, `auth.login.fail` goes to the stream, with its reason."""
    page = person.authorize()
    page = person.sign_in(page, password="wrong")
    page = person.sign_in(page, username="nobody")
    person.sign_in(page)
    with services.tenancy.session(tenant.id) as session:
        kept = outbox_rows.events(session)
    success = next(event for event in kept if event["event"] == "auth.login.success")
    assert success["session"]
    assert success["client"] == "app"
    assert success["ip"] == "127.0.0.1"
    stream = services.state.read_stream([tenant.id], "audit", "test", count=50)[tenant.id]
    failed = [json.loads(entry.entry) for entry in stream if b"auth.login.fail" in entry.entry]
    assert [event["reason"] for event in failed] == ["password.wrong", "user.unknown"]
    assert PASSWORD not in json.dumps([kept, failed])


@pytest.mark.parametrize("token", ["", "abc.def"])
def test_form_token_is_needed(person: Person, token: str) -> None:
    """Nobody can be signed in to a stranger's account by a link (login CSRF)."""
    person.authorize()
    form = {"csrf_token": token, "step": "sign-in", "username": "alice", "password": PASSWORD}
    assert person.http.post(person.at, raw=True, form=form).status_code == 403


def test_token_of_another_browser_is_refused(person: Person) -> None:
    foreign = token_of(stranger(person).authorize())
    person.authorize()
    form = {"csrf_token": foreign, "step": "sign-in", "username": "alice", "password": PASSWORD}
    assert person.http.post(person.at, raw=True, form=form).status_code == 403


def test_sign_in_without_an_application(person: Person) -> None:
    """The start page is a quiet sign-in page; afterwards it is the start page."""
    page = person.http.get("/")
    assert 'id="sign-in"' in page.text
    person.at = page.text.split('action="')[1].split('"')[0]
    page = person.sign_in(page)
    assert "Hello, " in page.text
    assert "Alice" in person.http.get("/account").text


def test_cookies_over_https(services: Services, tenant: TenantContext) -> None:
    """Contracts 13: `__Host-`, Secure, HttpOnly, SameSite=Lax, no Domain."""
    from flask import Flask, Response

    from app.web.cookies import Cookies, Stub

    app = Flask("cookies")
    with app.test_request_context():
        response = Response()
        jar = Cookies(services.vault, https=True)
        jar.set(response, tenant, "value")
        jar.set_stub(response, tenant, "interaction", Stub("secret"))
        for cookie in response.headers.getlist("Set-Cookie"):
            assert cookie.startswith(f"__Host-ww-{tenant.id}")
            assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
            assert "Domain" not in cookie
