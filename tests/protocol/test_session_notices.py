"""Whatever ends a session has the clients told that took part in it: no other way out, and nobody else.

OpenID Connect Back-Channel Logout 1.0 section 2.5. Delivery is `tests/profiles` and `tests/faults`.
"""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, update

from app import housekeeping
from app.domain import account_access, session_notices, users
from app.domain.models import OutboxMessage
from app.domain.tenants import TenantContext
from app.infra import outbox
from app.infra.audit_appender import AuditAppender
from app.kernel import clock
from app.protocols.oauth import frontchannel_logout
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.browserless import PASSWORD, REDIRECT_URI, Person, new_person, new_public_client, token_of
from tests.protocol.test_api import Api
from tests.protocol.test_lifecycle import forget, leave, link_sent, send
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import TokenSide
from tests.unit.commands.conftest import Watchword, watchword

__all__ = ["watchword"]

Notices = list[tuple[str, str]]
NEXT = "staple-battery-horse-42"
API_SCOPE = "openid profile watchword:account:write"


class Site:
    """Alice signed in in two browsers, at applications that want to be told and at one that does not."""

    def __init__(self, services: Services, tenant: TenantContext, app: Flask) -> None:
        self.services, self.tenant, self.app = services, tenant, app
        self.user_id = new_person(services, tenant)
        new_person(services, tenant, "bob")
        for client_id in ("app", "other"):
            uri = f"https://{client_id}.example/out"
            new_public_client(services, tenant, client_id, backchannel_logout_uri=uri, scope=API_SCOPE)
        new_public_client(services, tenant, "silent")
        self.first, self.second = self.browser(), self.browser()
        self.first.through()
        self.first.through("silent")
        self.first.through()
        self.first.through("other")
        self.second.through()
        self.bob = self.browser("bob")
        self.bob.through()

    def browser(self, username: str = "alice") -> Person:
        return Person(Http(self.app, self.tenant), username)

    def sid(self, browser: Person) -> str:
        """The session at work in a browser: its cookie's first part."""
        jar = browser.http.client._cookies.values()  # type: ignore[attr-defined]
        return next(c.value for c in jar if c.key == f"ww-{self.tenant.id}").partition(".")[0]

    @property
    def notices(self) -> Notices:
        """Whom the worker is to tell of which session, in order."""
        with self.services.tenancy.session(self.tenant.id) as session:
            rows = session.scalars(
                select(OutboxMessage)
                .where(OutboxMessage.topic == session_notices.TOPIC)
                .order_by(OutboxMessage.id)
            ).all()
        for row in rows:
            assert row.subject == f"{row.payload['client_id']} {row.payload['user_id']}"
        return [(row.payload["client_id"], row.payload["session_id"]) for row in rows]


@pytest.fixture
def site(services: Services, tenant: TenantContext, app: Flask) -> Site:
    return Site(services, tenant, app)


def sign_out(browser: Person) -> None:
    page = browser.http.get("/sign-out")
    answer = browser.http.post("/logout", form={"csrf_token": token_of(page), "confirmed": ""})
    assert "You are signed out" in answer.text


def end_session(site: Site, by: Person, **form: str) -> None:
    page = by.http.get("/account/sessions")
    answer = by.http.post("/account/sessions", form={"csrf_token": token_of(page), **form})
    assert answer.status_code == 303


def call(site: Site, by: Person, path: str) -> None:
    token = by.tokens("app", scope=API_SCOPE)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert by.http.request("DELETE", f"/api/v1/me/{path}", headers=headers).status_code == 200


def of_first(site: Site) -> Notices:
    return [("app", site.sid(site.first)), ("other", site.sid(site.first))]


def of_second(site: Site) -> Notices:
    return [("app", site.sid(site.second))]


def test_a_person_signs_out(site: Site) -> None:
    """Each client of the session once, however often it came; not those of the other browser, nor of other people."""
    expected = of_first(site)
    sign_out(site.first)
    assert site.notices == expected
    sign_out(site.first)
    assert site.notices == expected


def test_an_application_signs_a_person_out(site: Site) -> None:
    expected = of_first(site)
    hint = site.first.tokens()["id_token"]
    site.first.http.get("/logout", query={"id_token_hint": hint})
    assert site.notices == expected


def test_all_accounts_of_a_browser(site: Site) -> None:
    site.first.username = "bob"
    site.first.sign_in(site.first.authorize("app", prompt="select_account", login_hint="bob"))
    page = site.first.http.get("/sign-out")
    if "sign-out-all" not in page.text:
        pytest.fail(page.text)
    mine = of_first(site)
    site.first.http.post("/logout", form={"csrf_token": token_of(page), "confirmed": "", "step": "all"})
    assert len([n for n in site.notices if n[0] == "other"]) == 1
    assert len(site.notices) == len(set(site.notices)) >= len(mine)


@pytest.mark.parametrize("which", ["one", "others"])
@pytest.mark.parametrize("by", ["page", "api"])
def test_a_person_ends_another_session(site: Site, which: str, by: str) -> None:
    expected = of_first(site)
    if by == "page":
        more = {"step": "end", "session": site.sid(site.first)} if which == "one" else {"step": "end-others"}
        end_session(site, site.second, **more)
    else:
        call(site, site.second, f"sessions/{site.sid(site.first)}" if which == "one" else "sessions")
    assert site.notices == expected


def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    expected = of_first(site)
    page = site.second.follow(site.second.http.get("/account/password"))
    form = {"csrf_token": token_of(page), "current": PASSWORD, "password": NEXT}
    site.second.http.post("/account/password", form=form)
    assert site.notices == expected


def test_one_session_too_many(site: Site) -> None:
    decide(site.services, site.tenant, sessions={"max_active": 2})
    expected = of_first(site)
    with time_machine.travel(clock.now() + timedelta(seconds=5), tick=True):
        site.browser().through()
    assert site.notices == expected


def everything(site: Site) -> Notices:
    return sorted(of_first(site) + of_second(site))


def test_an_account_is_closed_by_api_or_command(site: Site, watchword: Watchword) -> None:
    """And once more: those sessions are over, so nobody is told again."""
    expected = everything(site)
    with time_machine.travel(clock.now() + session_notices.MARGIN + timedelta(seconds=60), tick=True):
        assert watchword("user", "disable", "alice", "--tenant", site.tenant.slug).status == 0
        assert sorted(site.notices) == expected
        with site.services.tenancy.session(site.tenant.id, write=True) as session:
            user = users.find_by_login(session, "alice")
            assert user is not None
            account_access.disable(session, user, revocations=site.services.revocations)
    assert sorted(site.notices) == expected


def test_an_administrator_signs_somebody_out(
    site: Site, watchword: Watchword, services: Services, tenant: TenantContext
) -> None:
    """By command and by API. The person may come back; what they allowed offline stays."""
    expected = everything(site)
    done = watchword("user", "sign-out", "alice", "--tenant", tenant.slug, "--json")
    assert (done.status, done.json) == (0, {"username": "alice", "sessions": 2})
    assert sorted(site.notices) == expected
    assert "Ended 0 sessions" in watchword("user", "sign-out", "alice", "--tenant", tenant.slug).out
    assert watchword("user", "sign-out", "nobody", "--tenant", tenant.slug).status == 1
    assert 'id="sign-in"' in site.first.follow(site.first.http.get("/account")).text

    site.first.through()
    again = of_first(site)[:1]
    api = Api(TokenSide(services, tenant, Http(site.app, tenant)))
    answer = api.call(f"/users/{site.user_id}/sign-out", method="POST")
    assert answer.json == {"sub": site.user_id, "username": "alice", "disabled": False}
    assert sorted(site.notices) == sorted(expected + again)
    with services.tenancy.session(tenant.id) as session:
        told = [row["data"] for row in outbox_rows.events(session, "user.signed_out")]
    assert [(data["via"], data["sessions"]) for data in told] == [("cli", 2), ("cli", 0), ("api", 1)]


def test_a_person_is_deleted_by_an_apply_file(site: Site, watchword: Watchword) -> None:
    """Grants and person are gone; the notices are not."""
    expected = everything(site)
    assert watchword("user", "delete", "alice", "--tenant", site.tenant.slug).status == 0
    assert sorted(site.notices) == expected


def test_a_person_leaves(site: Site) -> None:
    expected = everything(site)
    assert leave(site.first).status_code == 200
    assert sorted(site.notices) == expected


def test_a_forgotten_password(site: Site) -> None:
    expected = everything(site)
    forget(site.first.http, "alice")
    send(Http(site.app, site.tenant), link_sent(site.services, site.tenant), password=NEXT)
    assert sorted(site.notices) == expected


def test_sessions_that_were_ended_before_are_left_alone(site: Site, watchword: Watchword) -> None:
    first, second = of_first(site), of_second(site)
    sign_out(site.first)
    watchword("user", "disable", "alice", "--tenant", site.tenant.slug)
    assert site.notices == first + second


def test_sessions_too_old_to_be_alive_are_left_alone(site: Site, watchword: Watchword) -> None:
    seconds = site.tenant.settings.sessions.absolute_seconds + session_notices.MARGIN.total_seconds() + 60
    with time_machine.travel(clock.after(seconds), tick=True):
        watchword("user", "disable", "alice", "--tenant", site.tenant.slug)
    assert site.notices == []


def test_what_is_rolled_back_tells_nobody(site: Site) -> None:
    session = site.services.sessions.find(site.tenant, site.sid(site.first), site.user_id)
    assert session is not None

    class Interrupted(Exception):
        pass

    def end_and_fail() -> None:
        with site.services.tenancy.session(site.tenant.id, write=True) as db:
            site.services.sessions.end(db, site.tenant, session)
            raise Interrupted

    with pytest.raises(Interrupted):
        end_and_fail()
    assert site.notices == []


def test_another_tenant_hears_nothing(site: Site) -> None:
    """The same client id and person elsewhere."""
    elsewhere = new_tenant(site.services)
    other = Site(site.services, elsewhere, site.app)
    sign_out(site.first)
    assert other.notices == []
    assert site.notices


def test_clients_of_the_device_and_implicit_flows_took_part_as_well(site: Site) -> None:
    """Every grant under the session counts, whatever brought it."""
    party = parties.new_client(
        site.services,
        site.tenant,
        redirect_uris=[REDIRECT_URI],
        backchannel_logout_uri="https://tv.example/out",
    )
    sid = site.sid(site.second)
    parties.new_code(site.services, site.tenant, party, site.user_id, session_id=sid)
    sign_out(site.second)
    assert site.notices == [("app", sid), (party.client_id, sid)]


def test_an_applications_page_is_loaded_where_somebody_leaves(site: Site) -> None:
    """The session of this browser ends with the account."""
    uri = "https://app.example/leave"
    new_public_client(site.services, site.tenant, "framed", frontchannel_logout_uri=uri)
    site.first.through("framed")
    page = leave(site.first)
    assert f'<iframe src="{uri}"' in page.text
    assert page.headers["Content-Security-Policy"].endswith(f"; frame-src {uri}")


def test_however_long_the_addresses_are_the_page_arrives(site: Site) -> None:
    """A proxy keeps some kilobytes for the headers of an answer. Without their paths the frames are allowed still."""
    for n in range(3):
        uri = f"https://app.example/{n}{'x' * 1900}"
        new_public_client(site.services, site.tenant, f"long-{n}", frontchannel_logout_uri=uri)
        site.first.through(f"long-{n}")
    page = leave(site.first)
    assert page.text.count("<iframe") == 3
    assert page.headers["Content-Security-Policy"].endswith("; frame-src https://app.example")
    hosts = [f"https://{n:02}.{'x' * 60}.{'y' * 60}.example" for n in range(frontchannel_logout.MOST_FRAMES)]
    allowed = frontchannel_logout.sources(f"{host}/out" for host in hosts)
    assert list(allowed) == hosts[: len(allowed)]
    assert 10 < len(allowed) < len(hosts)
    assert len(" ".join(allowed)) <= frontchannel_logout.MOST_CHARACTERS


def test_notices_nobody_took_are_forgotten_after_a_while(site: Site) -> None:
    """Dead letters of an application that never answers do not gather for ever; those of mail stay."""
    sign_out(site.first)
    with site.services.tenancy.session(site.tenant.id, write=True) as session:
        outbox.put(session, "mail", "somebody", {})
        session.execute(update(OutboxMessage).values(dead_at=clock.now()))
    jobs = housekeeping.jobs(
        site.services, AuditAppender(site.services.tenancy, site.services.state, (), consumer="t")
    )
    (remove_spent,) = [job for name, _, job in jobs if name == "spent rows"]
    remove_spent()
    assert len(site.notices) == 2
    with time_machine.travel(clock.now() + housekeeping.KEPT_AFTER_EXPIRY + timedelta(minutes=1), tick=True):
        remove_spent()
    assert site.notices == []
    with site.services.tenancy.session(site.tenant.id) as session:
        assert session.scalar(select(OutboxMessage.topic).where(OutboxMessage.topic == "mail")) == "mail"
