"""Between looking something up and using it."""

import base64
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
from werkzeug.test import Client

from app.domain import consents, grants
from app.domain.models import Grant, User
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.settings import Settings
from app.web.services import Services
from tests.conftest import Http
from tests.protocol.browserless import (
    PASSWORD,
    Person,
    consent_form,
    new_person,
    new_public_client,
    token_of,
)

WANTED = {consents.ISSUER: frozenset({"openid"})}


@pytest.fixture
def settings(any_database: Settings) -> Settings:
    """Both databases, each holding the short-lived state as well."""
    return any_database


def _bare(http: Http) -> Http:
    """A client that sends the cookies it is told to."""
    bare = Http(http.app, http.tenant)
    bare.client = Client(http.app.wsgi_app, use_cookies=False)
    return bare


def test_a_consent_withdrawn_meanwhile_leaves_no_grant_behind(
    services: Services, tenant: TenantContext
) -> None:
    """One tab authorizes on a remembered consent while another takes it back."""
    user_id, client_id = new_person(services, tenant), new_public_client(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        (consent,) = consents.allow(session, user_id, client_id, WANTED)

    def withdraw() -> None:
        with services.tenancy.session(tenant.id, write=True) as session:
            consents.withdraw(session, consent.id, user_id=user_id, log=services.revocations)

    with ThreadPoolExecutor(1) as pool:
        with services.tenancy.session(tenant.id, write=True) as session:
            standing = consents.covering(session, user_id, client_id, WANTED, hold=True)
            assert standing
            withdrawn: Future[None] = pool.submit(withdraw)
            with suppress(TimeoutError):
                withdrawn.result(0.5)
            grant_id = grants.create(
                session,
                user_id=user_id,
                client_id=client_id,
                session_id="s",
                scopes={"openid"},
                resources=(),
                auth_time=clock.now(),
                amr=("pwd",),
                acr="1",
                offline=True,
                consents=standing,
            ).id
        withdrawn.result(10)
    with services.tenancy.session(tenant.id) as session:
        assert session.get_one(Grant, (tenant.id, grant_id)).revoked_at is not None


def test_somebody_disabled_on_the_consent_page_gets_no_code(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    user_id = new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.sign_in(person.authorize())
    with services.tenancy.session(tenant.id, write=True) as session:
        session.get_one(User, (tenant.id, user_id)).disabled_at = clock.now()
    assert "code=" not in person.allow(page).text


def test_of_many_clicks_on_allow_one_makes_a_code(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    new_person(services, tenant)
    new_public_client(services, tenant)
    person = Person(http)
    page = person.sign_in(person.authorize())
    form = consent_form(page)
    cookies = "; ".join(f"{c.key}={c.value}" for c in (http.client._cookies or {}).values())

    def click(_: int) -> str:
        return _bare(http).post(person.at, raw=True, form=form, headers={"Cookie": cookies}).text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(click, range(8)))
    assert sum("code=" in answer for answer in answers) == 1


def test_of_many_sign_ins_for_one_request_one_makes_a_code(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """Where no consent is asked for, signing in is what completes the request."""
    new_person(services, tenant)
    new_public_client(services, tenant, first_party=True)
    person = Person(http)
    page = person.authorize()
    form = {"csrf_token": token_of(page), "step": "sign-in", "username": "alice", "password": PASSWORD}
    cookies = "; ".join(f"{c.key}={c.value}" for c in (http.client._cookies or {}).values())

    def click(_: int) -> str:
        return _bare(http).post(person.at, raw=True, form=form, headers={"Cookie": cookies}).text

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(click, range(6)))
    assert sum("code=" in answer for answer in answers) == 1
    assert sum("This request has expired" in answer for answer in answers) == 5
    assert "code=" not in click(0)


@pytest.mark.parametrize("person", [b"\0", b"\x01", b"\xff", b"x" * 400])
def test_a_cookie_no_database_likes_is_no_session(http: Http, tenant: TenantContext, person: bytes) -> None:
    encoded = base64.urlsafe_b64encode(person).rstrip(b"=").decode()
    for sid in ("a", "\x01", "a" * 100):
        cookie = f"ww-{tenant.id}={sid}.b.{encoded}"
        assert _bare(http).get("/account", headers={"Cookie": cookie}).status_code == 200


def test_a_wrong_password_takes_as_long_for_nobody(
    http: Http, services: Services, tenant: TenantContext
) -> None:
    """The least of several tries each, in turns: a busy machine makes single ones longer."""
    new_person(services, tenant)
    took = {"alice": math.inf, "nobody": math.inf}
    for name in [*took] * 4:
        person = Person(http, name, "wrong horse battery staple")
        page = person.follow(http.get("/sign-in"))
        person.at = page.text.partition('method="post" action="')[2].partition('"')[0]
        started = time.monotonic()
        assert person.sign_in(page).status_code == 401
        took[name] = min(took[name], time.monotonic() - started)
    assert abs(took["alice"] - took["nobody"]) < services.sign_in_floor_seconds / 4
    assert min(took.values()) >= services.sign_in_floor_seconds
