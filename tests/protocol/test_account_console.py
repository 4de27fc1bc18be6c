"""The account console: sessions, applications, the copy of one's data, and the notice of a new device."""

import dataclasses
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from werkzeug.test import TestResponse

from app.domain import users
from app.domain.places import Places
from app.domain.tenants import TenantContext
from app.infra.geoip import GeoFile
from app.infra.mail import mailbox
from app.kernel import clock
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http
from tests.protocol.browserless import PASSWORD, Person, new_person, new_public_client, token_of
from tests.protocol.test_tenant_settings import decide
from tests.unit import mmdb

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    berlin = {"city": {"names": {"en": "Berlin"}}, "country": {"names": {"en": "Germany"}}}
    return mmdb.write(tmp_path_factory.mktemp("geo") / "places.mmdb", {"127.0.0.0/8": berlin})


@pytest.fixture
def services(services: Services, places: Path) -> Services:
    return dataclasses.replace(services, sign_in_floor_seconds=0.05, places=Places(GeoFile(places).record))


@pytest.fixture
def alice(services: Services, tenant: TenantContext, http: Http) -> Person:
    new_public_client(services, tenant, client_name="Notes")
    user_id = new_person(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        user.email_verified = True
    person = Person(http)
    person.through()
    return person


def mails(services: Services, tenant: TenantContext) -> list[str]:
    """The texts of the mails that wait."""
    for claim in services.outbox.claim(tenant.id):
        if claim.topic == "mail":
            services.mailer.deliver(tenant.id, claim.payload)
    with services.tenancy.session(tenant.id) as session:
        return [message.text for message in mailbox(session)]


def test_no_link_of_the_console_is_dead(alice: Person) -> None:
    """Every page on the rail, and every page those lead to, answers."""
    seen: set[str] = set()
    waiting = {alice.http.tenant.path + "/account"}
    while waiting - seen:
        path = (waiting - seen).pop()
        seen.add(path)
        page = alice.follow(alice.http.get(path, raw=True))
        assert page.status_code == 200, path
        waiting |= {link for link in re.findall(r'href="(/[^"?#]*)"', page.text) if "/account" in link}
    assert {"/account/sessions", "/account/applications", "/account/data", "/account/security"} <= {
        path.removeprefix(alice.http.tenant.path) for path in seen
    }


def test_sessions_say_where_and_with_what(alice: Person, services: Services, tenant: TenantContext) -> None:
    found, _ = services.sessions.start(
        tenant,
        _id_of(services, tenant),
        0,
        amr=("pwd",),
        user_agent=FIREFOX["User-Agent"],
        ip="127.0.0.9",
    )
    page = alice.http.get("/account/sessions")
    assert "This session" in page.text
    assert "Firefox 140 on Linux" in page.text
    assert "Berlin, Germany" in page.text
    assert "127.0.0.9" in page.text
    assert "Notes" in page.text
    form = {"csrf_token": token_of(page), "step": "end", "session": found.sid}
    assert alice.http.post("/account/sessions", form=form).status_code == 303
    assert "That session has ended" in alice.http.get("/account/sessions", query={"done": "one"}).text
    assert "Firefox" not in alice.http.get("/account/sessions").text
    assert alice.http.post("/account/sessions", form=form).status_code == 404


def test_sessions_say_where_they_were_last_active(alice: Person) -> None:
    """In an hour on the train the telephone has another address."""
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=True):
        Saying(alice.http, {}, "198.51.100.7").get("/account")
        page = alice.http.get("/account/sessions")
    assert "198.51.100.7" in page.text
    assert "127.0.0.1" not in page.text


def _id_of(services: Services, tenant: TenantContext) -> str:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        return user.id


def test_this_session_is_ended_by_signing_out_alone(alice: Person, tenant: TenantContext) -> None:
    page = alice.http.get("/account/sessions")
    name = f"ww-{tenant.id}"
    mine = next(c.value for c in alice.http.client._cookies.values() if c.key == name)  # type: ignore[attr-defined]
    form = {"csrf_token": token_of(page), "step": "end", "session": mine.partition(".")[0]}
    assert alice.http.post("/account/sessions", form=form).status_code == 400
    assert alice.http.get("/account/sessions").status_code == 200


def test_a_new_session_too_many_ends_the_oldest(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    decide(services, tenant, sessions={"max_active": 2})
    browsers = [Person(Http(alice.http.app, tenant)) for _ in range(2)]
    for number, browser in enumerate(browsers):
        with time_machine.travel(clock.now() + timedelta(seconds=5 * number), tick=True):
            browser.through()
    assert 'id="sign-in"' in alice.http.get("/account/sessions").text
    for browser in browsers:
        assert "This session" in browser.http.get("/account/sessions").text
    with services.tenancy.session(tenant.id) as session:
        (event,) = outbox_rows.events(session, "session.revoked")
    assert event["data"]["via"] == "max_active"


def test_applications_are_taken_back_whole(alice: Person) -> None:
    tokens = alice.tokens(scope="openid offline_access")
    page = alice.http.get("/account/applications")
    assert "Last used" in page.text
    form = {"csrf_token": token_of(page), "step": "withdraw", "client": "app"}
    assert alice.http.post("/account/applications", form=form).status_code == 303
    assert "Nothing yet" in alice.http.get("/account/applications").text
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "app"}
    assert alice.http.post("/token", form=refresh).json["error"] == "invalid_grant"
    assert alice.http.post("/account/applications", form={**form, "client": "nobody"}).status_code == 404
    assert alice.http.post("/account/applications", form={**form, "consent": "x"}).status_code == 400


def test_the_copy_of_ones_data_is_for_who_signed_in_recently(alice: Person) -> None:
    page = alice.http.get("/account/data")
    form = {"csrf_token": token_of(page), "step": "download"}
    answer = alice.http.post("/account/data", form=form)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    found = json.loads(answer.text)
    assert found["account"][0]["username"] == "alice"
    assert found["consents"][0]["client_id"] == "app"
    assert found["sessions"][0]["is_current"] is True
    assert PASSWORD not in answer.text
    assert "argon2" not in answer.text
    with time_machine.travel(clock.now() + timedelta(seconds=301), tick=True):
        late = alice.http.post("/account/data", form=form)
        assert late.status_code == 303
        page = alice.follow(late)
        assert 'id="sign-in"' in page.text
        assert 'id="download"' not in page.text
        alice.at = re.findall(r'<form[^>]* action="([^"]+)"', page.text)[0]
        assert 'id="download"' in alice.sign_in(page).text


def test_somebody_else_who_signs_in_sees_their_own_data(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    new_person(services, tenant, "bob")
    with time_machine.travel(clock.now() + timedelta(seconds=301), tick=True):
        page = alice.http.get("/account/data")
        alice.at = re.findall(r'<form[^>]* action="([^"]+)"', page.text)[0]
        page = alice.sign_in(page, username="bob")
        answer = alice.http.post("/account/data", form={"csrf_token": token_of(page), "step": "download"})
        assert json.loads(answer.text)["account"][0]["username"] == "bob"


def test_a_new_device_is_told_by_mail_but_not_the_first_one(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """Nor one that is known, however often it signs in."""
    alice.sign_in(alice.authorize(prompt="login"))
    assert mails(services, tenant) == []
    stranger = Person(Http(alice.http.app, tenant))
    stranger.http.client.environ_base = {"HTTP_USER_AGENT": FIREFOX["User-Agent"]}  # type: ignore[attr-defined]
    stranger.through()
    (text,) = mails(services, tenant)
    assert "Berlin, Germany" in text
    assert f"{tenant.issuer}/account/sessions" in text
    stranger.sign_in(stranger.authorize(prompt="login"))
    assert len(mails(services, tenant)) == 1


def test_an_address_nobody_confirmed_hears_nothing(
    alice: Person, services: Services, tenant: TenantContext
) -> None:
    """It may be somebody else's."""
    new_person(services, tenant, "bob")
    for _ in range(2):
        Person(Http(alice.http.app, tenant), "bob").through()
    assert mails(services, tenant) == []


PHONE = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
}


class Saying(Http):
    """A browser, with its cookies, that says it is this one."""

    def __init__(self, http: Http, agent: dict[str, str], address: str = "127.0.0.1") -> None:
        self.app, self.tenant, self.client = http.app, http.tenant, http.client
        self.agent, self.address = agent, address

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        options["headers"] = {**self.agent, **(options.get("headers") or {})}
        return super().request(method, path, environ_base={"REMOTE_ADDR": self.address}, **options)


def stay_signed_in(alice: Person, agent: dict[str, str] = PHONE) -> dict[str, str]:
    """The tenant's own application asks for nobody's consent, and stays signed in. Gives what it refreshes with."""
    tokens = Person(Saying(alice.http, agent)).tokens("own", scope="openid offline_access")
    return {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "own"}


@pytest.fixture
def own(services: Services, tenant: TenantContext) -> str:
    return new_public_client(services, tenant, "own", client_name="Northwind", first_party=True)


def test_the_tenants_own_application_that_stays_signed_in_is_shown_and_signed_out(
    alice: Person, own: str, services: Services, tenant: TenantContext
) -> None:
    """It has no consent to be taken back, and outlives every session."""
    phone, tablet = stay_signed_in(alice), stay_signed_in(alice, FIREFOX)
    page = alice.http.get("/account/applications")
    assert "Northwind" in page.text
    for words in ("iPhone", "Firefox 140 on Linux", "Berlin, Germany", "127.0.0.1"):
        assert words in page.text, words
    newest, oldest = re.findall(r'name="grant" value="([0-9a-f-]{36})"', page.text)
    form = {"csrf_token": token_of(page), "step": "withdraw", "grant": oldest}
    answer = alice.http.post("/account/applications", form=form)
    assert answer.status_code == 303
    assert "The application was signed out" in alice.follow(answer).text
    assert alice.http.post("/token", form=phone).json["error"] == "invalid_grant"
    assert alice.http.post("/token", form=tablet).status_code == 200
    assert oldest not in alice.http.get("/account/applications").text
    assert newest in alice.http.get("/account/applications").text
    with services.tenancy.session(tenant.id) as session:
        (event,) = outbox_rows.events(session, "grant.revoked")
    assert (event["data"]["target"], event["data"]["application"]) == (oldest, "own")
    assert alice.http.post("/account/applications", form=form).status_code == 404


def test_an_application_is_signed_out_everywhere_at_once(alice: Person, own: str) -> None:
    held = [stay_signed_in(alice) for _ in range(2)]
    page = alice.http.get("/account/applications")
    form = {"csrf_token": token_of(page), "step": "withdraw", "client": "own"}
    assert alice.http.post("/account/applications", form=form).status_code == 303
    assert [alice.http.post("/token", form=one).json["error"] for one in held] == ["invalid_grant"] * 2
    page = alice.http.get("/account/applications")
    assert "Northwind" not in page.text
    assert "Notes" in page.text
    both = {**form, "grant": "x"}
    assert alice.http.post("/account/applications", form=both).status_code == 400


def test_signing_out_everywhere_ends_this_browser_too(
    alice: Person, own: str, services: Services, tenant: TenantContext
) -> None:
    notes = alice.tokens(scope="openid offline_access")
    held = [
        stay_signed_in(alice),
        {"grant_type": "refresh_token", "refresh_token": notes["refresh_token"], "client_id": "app"},
    ]
    elsewhere = Person(Http(alice.http.app, tenant))
    elsewhere.through()
    page = alice.http.get("/account/sessions")
    assert alice.http.post("/account/sessions", form={"step": "end-all"}).status_code in (400, 403)
    answer = alice.http.post("/account/sessions", form={"csrf_token": token_of(page), "step": "end-all"})
    assert answer.status_code == 200
    assert "You are signed out" in answer.text
    for http in (alice.http, elsewhere.http):
        assert 'id="sign-in"' in alice.follow(http.get("/account/sessions")).text
    assert [alice.http.post("/token", form=one).json["error"] for one in held] == ["invalid_grant"] * 2
    with services.tenancy.session(tenant.id) as session:
        assert len(outbox_rows.events(session, "session.revoked")) == 2
        revoked = {event["data"]["application"] for event in outbox_rows.events(session, "grant.revoked")}
    assert revoked == {"own", "app"}
    alice.through()
    assert "Notes" in alice.http.get("/account/applications").text


def test_where_an_application_stays_signed_in_is_its_persons_alone(
    alice: Person, own: str, services: Services, tenant: TenantContext
) -> None:
    refresh = stay_signed_in(alice)
    (grant,) = re.findall(r'name="grant" value="([^"]+)"', alice.http.get("/account/applications").text)
    new_person(services, tenant, "bob")
    bob = Person(Http(alice.http.app, tenant), "bob")
    bob.through()
    page = bob.http.get("/account/applications")
    assert "Northwind" not in page.text
    form = {"csrf_token": token_of(page), "step": "withdraw"}
    assert bob.http.post("/account/applications", form={**form, "grant": grant}).status_code == 404
    assert bob.http.post("/account/applications", form={**form, "client": "own"}).status_code == 404
    assert alice.http.post("/token", form=refresh).status_code == 200


@pytest.mark.parametrize("days", [29, 31])
def test_what_can_be_refreshed_no_more_is_not_shown(alice: Person, own: str, days: int) -> None:
    stay_signed_in(alice)
    with time_machine.travel(clock.now() + timedelta(days=days), tick=True):
        alice.through()
        shown = "Northwind" in alice.http.get("/account/applications").text
    assert shown is (days < 30)
