import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine

from app.domain.models import User
from app.domain.sessions import BrowserSession, Sessions
from app.domain.tenant_settings import SessionSettings
from app.domain.tenants import TenantContext
from app.infra.state import Get, Key, Op, Outcome, Put
from app.kernel import clock
from app.kernel.secrets import b64url, lookup_hash
from app.web.services import Services

DAY = SessionSettings(absolute_seconds=86400, idle_seconds=3600)


@pytest.fixture
def sessions(services: Services, tenant: TenantContext) -> Sessions:
    with services.tenancy.session(tenant.id, write=True) as database:
        for name in ("alice", "bob"):
            database.add(User(id=name, username=name, username_key=name))
    return services.sessions


def sign_in(sessions: Sessions, tenant: TenantContext, user_id: str = "alice") -> tuple[BrowserSession, str]:
    return sessions.start(tenant, user_id, 0, amr=["pwd"], acr="1", user_agent="Browser", ip="192.0.2.1")


def within(tenant: TenantContext, settings: SessionSettings) -> TenantContext:
    return dataclasses.replace(tenant, settings=tenant.settings.model_copy(update={"sessions": settings}))


def test_a_cookie_finds_its_session(sessions: Sessions, tenant: TenantContext) -> None:
    session, cookie = sign_in(sessions, tenant)
    assert sessions.get(tenant, cookie) == session
    assert sessions.find(tenant, session.sid, "alice") == session
    assert (session.user_id, session.amr, session.acr, session.ip) == ("alice", ("pwd",), "1", "192.0.2.1")
    assert session.expires_at - session.created_at == timedelta(
        seconds=tenant.settings.sessions.absolute_seconds
    )


def test_no_other_cookie_does(sessions: Sessions, tenant: TenantContext, services: Services) -> None:
    session, cookie = sign_in(sessions, tenant)
    _, other = sign_in(sessions, tenant)
    sid, secret, person = cookie.split(".")
    wrong = [
        None,
        "",
        "x",
        "..",
        f"{sid}.{secret}",
        f"{sid}..{person}",
        f"{sid}.{other.split('.')[1]}.{person}",
        f"{other.split('.')[0]}.{secret}.{person}",
        f"{sid}.{session.secret_hash}.{person}",
        f"{sid}.{secret}.{b64url(b'bob')}",
        f"{sid}.{secret}.=",
        f"{sid}.{secret}.{b64url(bytes([255]))}",
        cookie + ".",
        cookie + "ü",
        cookie + "x" * 1000,
    ]
    assert [value for value in wrong if sessions.get(tenant, value) is not None] == []
    assert sessions.get(dataclasses.replace(tenant, id="elsewhere"), cookie) is None
    assert sessions.find(tenant, sid, "bob") is None


def test_the_store_does_not_hold_the_secret(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    session, cookie = sign_in(sessions, tenant)
    secret = cookie.split(".")[1]
    (stored,) = services.state.execute(Get(Key(tenant.id, "session", session.sid))).results
    assert secret.encode() not in stored
    assert lookup_hash(secret).encode() in stored
    assert secret not in repr(session)
    assert session.secret_hash not in repr(session)


def test_a_session_ends_after_its_absolute_time(sessions: Sessions, tenant: TenantContext) -> None:
    where = within(tenant, SessionSettings(absolute_seconds=120, idle_seconds=3600))
    session, cookie = sign_in(sessions, where)
    for seconds, stands in ((60, True), (119, True), (120, False), (121, False)):
        with time_machine.travel(session.created_at + timedelta(seconds=seconds), tick=False):
            assert (sessions.get(where, cookie) is not None) is stands


def test_a_session_ends_when_idle_and_activity_prolongs_it(sessions: Sessions, tenant: TenantContext) -> None:
    where = within(tenant, SessionSettings(absolute_seconds=86400, idle_seconds=600))
    session, cookie = sign_in(sessions, where)
    for minutes in (9, 18, 27):
        with time_machine.travel(session.created_at + timedelta(minutes=minutes), tick=False):
            found = sessions.get(where, cookie)
            assert found is not None
            assert found.last_active_at == clock.now()
    with time_machine.travel(session.created_at + timedelta(minutes=37), tick=False):
        assert sessions.get(where, cookie) is None


def test_activity_may_not_count(sessions: Sessions, tenant: TenantContext) -> None:
    where = within(tenant, SessionSettings(absolute_seconds=86400, idle_seconds=600, renew_on_activity=False))
    session, cookie = sign_in(sessions, where)
    with time_machine.travel(session.created_at + timedelta(seconds=599), tick=False):
        assert sessions.get(where, cookie) == session
    with time_machine.travel(session.created_at + timedelta(seconds=601), tick=False):
        assert sessions.get(where, cookie) is None


def test_activity_is_written_once_a_minute(sessions: Sessions, tenant: TenantContext) -> None:
    where = within(tenant, DAY)
    session, cookie = sign_in(sessions, where)
    seen = []
    for seconds in (10, 59, 60, 100, 119, 120):
        with time_machine.travel(session.created_at + timedelta(seconds=seconds), tick=False):
            sessions.get(where, cookie)
            found = sessions.find(where, session.sid, "alice")
            assert found is not None
            seen.append(int((found.last_active_at - session.created_at).total_seconds()))
    assert seen == [0, 0, 60, 60, 60, 120]


def test_activity_says_from_where_in_the_same_trip(
    sessions: Sessions, tenant: TenantContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with which browser, once that has grown newer; another one's name is not taken over."""
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
    session, cookie = sessions.start(
        tenant, "alice", 0, amr=["pwd"], user_agent=firefox.format(140), ip="192.0.2.1"
    )
    trips, execute = [0], sessions._state.execute

    def counting(*operations: Op) -> Outcome:
        trips[0] += 1
        return execute(*operations)

    monkeypatch.setattr(sessions._state, "execute", counting)
    asked = [
        (30, "198.51.100.7", firefox.format(141)),
        (60, "198.51.100.7", firefox.format(141)),
        (120, "203.0.113.9", "curl/8.5.0"),
        (180, "", ""),
    ]
    seen = []
    for seconds, ip, agent in asked:
        with time_machine.travel(session.created_at + timedelta(seconds=seconds), tick=False):
            trips[0] = 0
            assert sessions.get(tenant, cookie, ip=ip, user_agent=agent) is not None
            spent = trips[0]
            found = sessions.find(tenant, session.sid, "alice")
            assert found is not None
            assert found.ip == "192.0.2.1"
            seen.append((spent, found.last_ip, found.user_agent))
    assert seen == [
        (1, "", firefox.format(140)),
        (2, "198.51.100.7", firefox.format(141)),
        (2, "203.0.113.9", firefox.format(141)),
        (2, "203.0.113.9", firefox.format(141)),
    ]


def test_a_bound_session_stays_bound_to_where_it_began(sessions: Sessions, tenant: TenantContext) -> None:
    """Whatever its last address is: activity elsewhere in its network, or before it was bound, moves it nowhere."""
    bound = within(tenant, SessionSettings(bind_ip=True))
    session, cookie = sign_in(sessions, tenant)
    with time_machine.travel(session.created_at + timedelta(minutes=2), tick=False):
        assert sessions.get(tenant, cookie, ip="203.0.113.9") is not None
        assert sessions.get(bound, cookie, ip="203.0.113.9") is None
        assert sessions.get(bound, cookie, ip="192.0.2.1") is not None


def test_looking_is_no_activity(sessions: Sessions, tenant: TenantContext) -> None:
    where = within(tenant, DAY)
    session, _ = sign_in(sessions, where)
    with time_machine.travel(session.created_at + timedelta(minutes=30), tick=False):
        assert sessions.find(where, session.sid, "alice") == session
        assert sessions.of_user(where, "alice") == [session]


def test_a_stricter_tenant_ends_sessions_that_run(sessions: Sessions, tenant: TenantContext) -> None:
    session, cookie = sign_in(sessions, within(tenant, DAY))
    strict = within(tenant, SessionSettings(absolute_seconds=60, idle_seconds=60))
    with time_machine.travel(session.created_at + timedelta(seconds=61), tick=False):
        assert sessions.get(strict, cookie) is None
        assert sessions.get(within(tenant, DAY), cookie) is not None


def test_rotation_makes_the_old_cookie_worthless(sessions: Sessions, tenant: TenantContext) -> None:
    session, old = sign_in(sessions, tenant)
    moment = clock.now() + timedelta(seconds=5)
    rotated = sessions.rotate(tenant, session, amr=["pwd", "otp"], acr="2", auth_time=moment)
    assert rotated is not None
    changed, cookie = rotated
    assert (changed.sid, changed.amr, changed.acr, changed.auth_time) == (
        session.sid,
        ("pwd", "otp"),
        "2",
        moment,
    )
    assert sessions.get(tenant, old) is None
    assert sessions.get(tenant, cookie) == changed
    again = sessions.rotate(tenant, changed)
    assert again is not None
    assert (again[0].amr, again[0].acr, again[0].auth_time) == (changed.amr, changed.acr, changed.auth_time)


def test_what_ended_meanwhile_cannot_be_changed(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    session, _ = sign_in(sessions, tenant)
    with services.tenancy.session(tenant.id, write=True) as database:
        sessions.end(database, tenant, session)
    assert sessions.rotate(tenant, session) is None
    sessions.add_client(tenant, session, "web")
    assert services.state.execute(Get(Key(tenant.id, "session", session.sid))).results == (None,)


def test_clients_that_took_part_are_remembered_together(sessions: Sessions, tenant: TenantContext) -> None:
    session, cookie = sign_in(sessions, tenant)
    names = [f"client-{number}" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: sessions.add_client(tenant, session, name), names * 2))
    found = sessions.get(tenant, cookie)
    assert found is not None
    assert sorted(found.clients) == names
    assert sessions.add_client(tenant, found, "client-0") is found


def test_a_client_is_remembered_in_a_trip_with_others(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    """Whoever comes second with what they saw hears of it, and loses nothing by looking again."""
    session, cookie = sign_in(sessions, tenant)
    first, second = (sessions.adding_client(tenant, session, name) for name in ("one", "two"))
    assert first is not None
    assert second is not None
    assert services.state.execute(first, second).results == (True, False)
    sessions.add_client(tenant, session, "two")
    found = sessions.get(tenant, cookie)
    assert found is not None
    assert found.clients == ("one", "two")
    assert sessions.adding_client(tenant, found, "one") is None


def test_a_lower_limit_holds_at_the_next_sign_in(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    """Also where that goes on in a session there was."""
    session, _ = sign_in(sessions, tenant)
    _, other = sign_in(sessions, tenant)
    again = sessions.rotate(tenant, session)
    assert again is not None
    one = within(tenant, SessionSettings(max_active=1))
    with services.tenancy.session(tenant.id, write=True) as database:
        assert len(sessions.make_room(database, one, again[0])) == 1
    assert sessions.get(one, other) is None
    assert sessions.get(one, again[1]) is not None


def test_signing_out_is_for_good(sessions: Sessions, tenant: TenantContext, services: Services) -> None:
    session, cookie = sign_in(sessions, tenant)
    with services.tenancy.session(tenant.id, write=True) as database:
        sessions.end(database, tenant, session)
    assert sessions.get(tenant, cookie) is None
    services.state.execute(Put(Key(tenant.id, "session", session.sid), session.stored, 600))
    assert sessions.get(tenant, cookie) is None, "not even when an old copy of it comes back"
    assert sessions.find(tenant, session.sid, "alice") is None
    assert sessions.of_user(tenant, "alice") == []


def test_revoking_a_person_ends_their_sessions_but_not_the_next_one(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    _, cookie = sign_in(sessions, tenant)
    _, of_bob = sign_in(sessions, tenant, "bob")
    with services.tenancy.session(tenant.id, write=True) as database:
        services.revocations.revoke_user(database, tenant.id, "alice")
    assert sessions.get(tenant, cookie) is None
    assert sessions.get(tenant, of_bob) is not None
    _, later = sessions.start(tenant, "alice", 1, amr=["pwd"])
    assert sessions.get(tenant, later) is not None


def test_a_persons_sessions_are_listed_and_ended_together(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    assert sessions.of_user(tenant, "alice") == []
    mine = [sign_in(sessions, tenant) for _ in range(3)]
    _, of_bob = sign_in(sessions, tenant, "bob")
    assert {session.sid for session in sessions.of_user(tenant, "alice")} == {
        session.sid for session, _ in mine
    }
    with services.tenancy.session(tenant.id, write=True) as database:
        ended = sessions.end_all(database, tenant, "alice", but=mine[0][0].sid)
    assert {session.sid for session in ended} == {session.sid for session, _ in mine[1:]}
    assert [sessions.get(tenant, cookie) is not None for _, cookie in mine] == [True, False, False]
    assert sessions.get(tenant, of_bob) is not None
    assert [session.sid for session in sessions.of_user(tenant, "alice")] == [mine[0][0].sid]


def test_a_session_may_be_bound_to_the_network_it_began_in(sessions: Sessions, tenant: TenantContext) -> None:
    """An IPv4 address, or the /64 an IPv6 address is of; a thief elsewhere ends nothing."""
    bound = within(tenant, SessionSettings(bind_ip=True))
    _, cookie = sign_in(sessions, bound)
    assert sessions.get(bound, cookie, ip="192.0.2.1") is not None
    for elsewhere in ("192.0.2.2", "2001:db8::1", "", "-"):
        assert sessions.get(bound, cookie, ip=elsewhere) is None
    assert sessions.get(bound, cookie, ip="192.0.2.1") is not None
    assert sessions.get(tenant, cookie, ip="192.0.2.2") is not None
    _, cookie = sessions.start(bound, "alice", 0, amr=["pwd"], ip="2001:db8::1")
    assert sessions.get(bound, cookie, ip="2001:db8::ffff:1") is not None
    assert sessions.get(bound, cookie, ip="2001:db8:0:1::1") is None


def test_so_many_sessions_stay_and_the_oldest_goes(
    sessions: Sessions, tenant: TenantContext, services: Services
) -> None:
    three = within(tenant, SessionSettings(max_active=3))
    started = clock.now()
    made = []
    for number in range(4):
        with time_machine.travel(started + timedelta(seconds=number), tick=False):
            made.append(sign_in(sessions, three))
    _, of_bob = sign_in(sessions, three, "bob")
    with services.tenancy.session(tenant.id, write=True) as database:
        ended = sessions.make_room(database, three, made[-1][0])
    assert [session.sid for session in ended] == [made[0][0].sid]
    assert [sessions.get(three, cookie) is not None for _, cookie in made] == [False, True, True, True]
    assert sessions.get(three, of_bob) is not None
    one = within(tenant, SessionSettings(max_active=1))
    with services.tenancy.session(tenant.id, write=True) as database:
        assert len(sessions.make_room(database, one, made[1][0])) == 2
    assert [sessions.get(one, cookie) is not None for _, cookie in made] == [False, True, False, False]


def test_several_cookies_are_looked_at_together(sessions: Sessions, tenant: TenantContext) -> None:
    (alice, first), (bob, second) = sign_in(sessions, tenant), sign_in(sessions, tenant, "bob")
    swapped = ".".join([*first.split(".")[:2], second.split(".")[2]])
    found = sessions.peek(tenant, [first, None, "nonsense", second, swapped])
    assert [session and session.user_id for session in found] == ["alice", None, None, "bob", None]
    assert found[0] == alice
    assert found[3] == bob
    assert sessions.peek(tenant, []) == []
