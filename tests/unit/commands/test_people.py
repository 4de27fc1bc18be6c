"""`watchword user invite|unlock|recover|keep-address|disable|enable|demand-password`."""

import json

import pytest

from app.domain import one_time_links, users
from app.domain.models import OneTimeLink, User
from app.domain.tenants import TenantContext
from app.infra.state import Append
from app.protocols.login.factors import failures
from app.protocols.login.factors.failures import Counters
from app.web.services import Services
from tests import outbox_rows
from tests.protocol import mailbag
from tests.protocol.browserless import new_person
from tests.unit.commands.conftest import Watchword


@pytest.fixture
def alice(services: Services, tenant: TenantContext) -> str:
    return new_person(services, tenant)


def row(services: Services, tenant: TenantContext) -> User:
    with services.tenancy.session(tenant.id) as session:
        user = users.find_by_login(session, "alice")
        assert user is not None
        session.expunge(user)
        return user


def test_invite_mails_a_link_that_is_not_printed(
    watchword: Watchword, services: Services, tenant: TenantContext
) -> None:
    here = ("--tenant", tenant.slug)
    done = watchword("user", "invite", "new@example.com", "--role", "admin", "--days", "2", *here, "--json")
    assert done.status == 0, done.err
    assert done.json["roles"] == ["admin"]
    assert "url" not in done.json
    letter = mailbag.newest(services, tenant, "new@example.com")
    assert letter.link.startswith(f"{tenant.issuer}/invitation/")
    assert letter.link.rpartition("/")[2] not in done.out + done.err


def test_invite_prints_a_link_that_is_not_mailed(
    watchword: Watchword, services: Services, tenant: TenantContext
) -> None:
    done = watchword("user", "invite", "new@example.com", "--print", "--tenant", tenant.slug)
    assert done.out.startswith(f"{tenant.issuer}/invitation/")
    assert mailbag.letters(services, tenant) == []


def test_invite_refuses_what_does_not_fit(watchword: Watchword, tenant: TenantContext, alice: str) -> None:
    here = ("--tenant", tenant.slug)
    for email, more in (("alice@example.com", ()), ("x", ()), ("n@example.com", ("--role", "nobody"))):
        assert watchword("user", "invite", email, *more, *here).status == 1
    assert watchword("user", "invite", "n@example.com", "--days", "31", *here).status == 2


def test_disable_and_enable(
    watchword: Watchword, services: Services, tenant: TenantContext, alice: str
) -> None:
    here = ("--tenant", tenant.slug)
    assert watchword("user", "disable", "alice", *here).status == 0
    closed = row(services, tenant)
    assert closed.disabled_at is not None
    assert closed.epoch == 1
    assert watchword("user", "recover", "alice", *here).status == 1
    assert watchword("user", "enable", "alice", *here).status == 0
    assert row(services, tenant).disabled_at is None
    assert watchword("user", "disable", "nobody", *here).status == 1


def test_recover_prints_or_mails_a_link(
    watchword: Watchword, services: Services, tenant: TenantContext, alice: str
) -> None:
    here = ("--tenant", tenant.slug)
    assert watchword("user", "recover", "alice", *here).out.startswith(f"{tenant.issuer}/recover/")
    assert watchword("user", "recover", "alice", "--mail", *here, "--json").json["by_mail"] is True
    assert "/recover/" in mailbag.newest(services, tenant, "alice@example.com").link
    with services.tenancy.session(tenant.id) as session:
        assert session.query(OneTimeLink).filter_by(user_id=alice).count() == 1


def test_unlock(watchword: Watchword, services: Services, tenant: TenantContext, alice: str) -> None:
    """Passwords and second factors, on unknown devices and known ones."""
    tried = [
        Counters(tenant, kind, alice, device_id, "203.0.113.7")
        for kind in failures.KINDS
        for device_id in (None, "known")
    ]
    for counters in tried:
        for _ in range(tenant.settings.authentication.lockout.failures):
            counted = counters.count(services.state)
            counters.failed(services.state, counted, Append(tenant.id, "test", b""))
        assert not counters.count(services.state).ok
    assert watchword("user", "unlock", "alice", "--tenant", tenant.slug).status == 0
    assert all(counters.count(services.state).ok for counters in tried)
    assert watchword("user", "unlock", "nobody", "--tenant", tenant.slug).status == 1


def test_demand_password(watchword: Watchword, services: Services, tenant: TenantContext, alice: str) -> None:
    here = ("--tenant", tenant.slug)
    done = watchword("user", "demand-password", "alice", *here, "--json")
    assert done.json == {"username": "alice", "must_change_password": True}
    assert row(services, tenant).must_change_password
    assert watchword("user", "show", "alice", *here, "--json").json["must_change_password"] is True
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, alice)
        assert user is not None
        user.password_hash = None
        (event,) = outbox_rows.events(session, "user.password_demanded")
        assert event["data"]["target"] == alice
    assert watchword("user", "demand-password", "alice", *here).status == 1
    assert watchword("user", "demand-password", "nobody", *here).status == 1


def test_apply_holds_claims_to_the_profile(watchword: Watchword, tenant: TenantContext) -> None:
    settings = {"people": {"attributes": {"team": {"choices": ["red"]}, "age": {"type": "integer"}}}}
    entry = {"slug": tenant.slug, "settings": settings}

    def run(claims: dict[str, object]) -> tuple[int, str]:
        people = [{"username": "bob", "claims": claims}]
        done = watchword("apply", "-", stdin=json.dumps({"tenants": [{**entry, "users": people}]}))
        return done.status, done.err

    for claims, said in (({"team": "blue"}, "one of"), ({"age": "4"}, "integer")):
        status, told = run(claims)
        assert status == 1
        assert said in told
    assert run({"team": "red", "age": 4, "other": [1]})[0] == 0


def test_keep_address_ends_the_ways_back_to_former_ones(
    watchword: Watchword, services: Services, tenant: TenantContext, alice: str
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        data = {"email": "former@example.com", "verified": True}
        token = one_time_links.create(
            session, one_time_links.UNDO_EMAIL, user_id=row(services, tenant).id, data=data
        )
    here = ("--tenant", tenant.slug, "--json")
    assert watchword("user", "keep-address", "alice", *here).json == {"username": "alice", "count": 1}
    assert watchword("user", "keep-address", "alice", *here).json["count"] == 0
    with services.tenancy.session(tenant.id) as session:
        assert one_time_links.find(session, one_time_links.UNDO_EMAIL, token) is None
