"""Refresh tokens: rotation, grace, replay (contracts 5, RFC 9700 section 4.14)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from app.domain import grants, refresh
from app.domain.models import Grant, RefreshFamily
from app.domain.refresh import Presented, Refreshed
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.secrets import b64url
from app.web.services import Services
from tests.unit.domain.conftest import Cast

GRACE = 10


class Line:
    """One family, presented again and again."""

    def __init__(self, services: Services, tenant: TenantContext, cast: Cast) -> None:
        self.services, self.tenant, self.cast = services, tenant, cast
        with services.tenancy.session(tenant.id, write=True) as session:
            self.grant_id = grants.create(
                session,
                user_id=cast.user_id,
                client_id=cast.client_id,
                session_id=None,
                scopes={"openid"},
                resources=(),
                auth_time=clock.now(),
                amr=("pwd",),
                acr="1",
                offline=True,
                consents=(),
            ).id
            self.first = services.refresh_tokens.start(
                session, tenant.id, self.grant_id, expires_at=clock.after(3600)
            )

    def present(self, token: str, *, client_id: str | None = None, rotate: bool = True) -> Refreshed:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            return self.services.refresh_tokens.present(
                session,
                self.tenant.id,
                token,
                client_id=client_id or self.cast.client_id,
                grace_seconds=GRACE,
                rotate=rotate,
                log=self.services.revocations,
            )

    def successor(self, token: str) -> str:
        found = self.present(token)
        assert found.presented is Presented.ROTATED
        assert found.token is not None
        return found.token

    @property
    def revoked_reason(self) -> str | None:
        with self.services.tenancy.session(self.tenant.id) as session:
            return session.scalars(select(Grant.revoked_reason).where(Grant.id == self.grant_id)).one()


@pytest.fixture
def line(services: Services, tenant: TenantContext, cast: Cast) -> Line:
    return Line(services, tenant, cast)


def test_each_use_gives_a_successor(line: Line) -> None:
    second = line.successor(line.first)
    third = line.successor(second)
    assert len({line.first, second, third}) == 3


def test_a_lost_answer_is_given_again_within_the_grace(line: Line) -> None:
    second = line.successor(line.first)
    again = line.present(line.first)
    assert (again.presented, again.token) == (Presented.REPEATED, second)
    assert line.revoked_reason is None


def test_after_the_grace_the_old_one_is_a_stolen_copy(line: Line) -> None:
    second = line.successor(line.first)
    with time_machine.travel(clock.now() + timedelta(seconds=GRACE + 1)):
        assert line.present(line.first).presented is Presented.REPLAYED
    assert line.revoked_reason == "refresh_token_replayed"
    assert line.present(second).presented is Presented.REVOKED


def test_once_the_successor_was_used_the_old_one_is_a_stolen_copy(line: Line) -> None:
    line.successor(line.successor(line.first))
    assert line.present(line.first).presented is Presented.REPLAYED
    assert line.revoked_reason == "refresh_token_replayed"


def test_sixteen_tabs_get_one_and_the_same_successor(line: Line) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(line.present, [line.first] * 16))
    assert [f.presented for f in found].count(Presented.ROTATED) == 1
    assert all(f.good for f in found)
    assert len({f.token for f in found}) == 1
    assert line.revoked_reason is None


def test_another_client_gets_nothing_and_burns_nothing(line: Line) -> None:
    refused = line.present(line.first, client_id=line.cast.other_client_id)
    assert refused.presented is Presented.WRONG_CLIENT
    assert refused.token is None
    assert line.present(line.first).presented is Presented.ROTATED


def test_a_client_that_does_not_rotate_keeps_its_token(line: Line) -> None:
    found = line.present(line.first, rotate=False)
    assert (found.presented, found.token) == (Presented.KEPT, line.first)


def test_a_family_expires(line: Line) -> None:
    with time_machine.travel(clock.now() + timedelta(seconds=3601)):
        assert line.present(line.first).presented is Presented.EXPIRED


@pytest.mark.parametrize("forge", ["mac", "generation", "family", "shape", "text"])
def test_what_we_did_not_make_is_unknown(line: Line, forge: str) -> None:
    family, generation, mac = line.first.split(".")
    forged = {
        "mac": f"{family}.{generation}.{b64url(bytes(32))}",
        "generation": f"{family}.1.{mac}",
        "family": f"{'0' * 36}.{generation}.{mac}",
        "shape": f"{line.first}.x",
        "text": "\ud800é" + line.first,
    }[forge]
    assert line.present(forged).presented is Presented.UNKNOWN
    assert line.revoked_reason is None


def test_nothing_a_token_can_be_made_from_is_stored(line: Line) -> None:
    _, _, mac = line.first.split(".")
    with line.services.tenancy.session(line.tenant.id) as session:
        family = session.scalars(select(RefreshFamily).where(RefreshFamily.grant_id == line.grant_id)).one()
        stored = repr({c.name: getattr(family, c.name) for c in RefreshFamily.__table__.columns})
    assert mac not in stored


def test_a_revoked_grant_refreshes_nothing(line: Line) -> None:
    with line.services.tenancy.session(line.tenant.id, write=True) as session:
        grants.revoke(session, line.tenant.id, line.grant_id, "test", log=line.services.revocations)
    assert line.present(line.first).presented is Presented.REVOKED


def test_other_tenants_do_not_know_the_token(line: Line, services: Services) -> None:
    from tests.conftest import new_tenant

    elsewhere = new_tenant(services)
    with services.tenancy.session(elsewhere.id, write=True) as session:
        found = services.refresh_tokens.present(
            session,
            elsewhere.id,
            line.first,
            client_id=line.cast.client_id,
            grace_seconds=GRACE,
            rotate=True,
            log=services.revocations,
        )
    assert found.presented is Presented.UNKNOWN


def test_the_family_of_any_genuine_token_is_found(
    line: Line, services: Services, tenant: TenantContext
) -> None:
    line.successor(line.first)
    with services.tenancy.session(tenant.id) as session:
        found = services.refresh_tokens.owner(session, tenant.id, line.first)
        assert found is not None
        assert found[1].id == line.grant_id
        forged = line.first.rpartition(".")[0] + "." + b64url(bytes(32))
        assert services.refresh_tokens.owner(session, tenant.id, forged) is None
    assert refresh.parse("a.b.c") is None
