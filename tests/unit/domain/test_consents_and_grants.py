"""Two records: what a person allowed, and each authorization event under it (contracts 2 and 3)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import consents, grants
from app.domain.grants import Redemption
from app.domain.models import Consent, Grant
from app.domain.revocation import TokenFacts
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.errors import Problem
from app.web.services import Services
from tests.unit.domain.conftest import Cast

API = "https://api.example.com"
OPENID = {consents.ISSUER: frozenset({"openid"})}
BOTH = {**OPENID, API: frozenset({"read"})}


@pytest.fixture
def session(services: Services, tenant: TenantContext, cast: Cast) -> Iterator[Session]:
    """A writing session of the tenant, opened when its people are there."""
    with services.tenancy.session(tenant.id, write=True) as opened:
        yield opened


def make_grant(
    session: Session, cast: Cast, allowed: list[Consent], *, offline: bool = True, sid: str = "s1"
) -> Grant:
    return grants.create(
        session,
        user_id=cast.user_id,
        client_id=cast.client_id,
        session_id=sid,
        scopes={"openid"},
        resources=(),
        auth_time=clock.now(),
        amr=("pwd",),
        acr="1",
        offline=offline,
        consents=allowed,
    )


def test_a_consent_covers_what_was_allowed_and_no_more(session: Session, cast: Cast) -> None:
    consents.allow(session, cast.user_id, cast.client_id, BOTH)
    assert consents.covering(session, cast.user_id, cast.client_id, BOTH) is not None
    assert consents.covering(session, cast.user_id, cast.client_id, OPENID) is not None
    wider = {API: frozenset({"read", "write"})}
    assert consents.covering(session, cast.user_id, cast.client_id, wider) is None
    assert consents.covering(session, cast.user_id, cast.other_client_id, OPENID) is None
    assert consents.covering(session, cast.other_user_id, cast.client_id, OPENID) is None


def test_allowing_more_widens_the_same_consent(session: Session, cast: Cast) -> None:
    (first,) = consents.allow(session, cast.user_id, cast.client_id, {API: frozenset({"read"})})
    (second,) = consents.allow(session, cast.user_id, cast.client_id, {API: frozenset({"write"})})
    assert first.id == second.id
    assert second.scopes == ["read", "write"]


def test_withdrawing_revokes_every_grant_under_it_and_forgets_its_scopes(
    services: Services, tenant: TenantContext, cast: Cast
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        allowed = consents.allow(session, cast.user_id, cast.client_id, BOTH)
        under = make_grant(session, cast, allowed).id
        beside = make_grant(session, cast, consents.allow(session, cast.user_id, cast.client_id, OPENID)).id
        api = next(c for c in allowed if c.resource == API)
    with services.tenancy.session(tenant.id, write=True) as session:
        consents.withdraw(session, api.id, user_id=cast.user_id, log=services.revocations)
    with services.tenancy.session(tenant.id, write=True) as session:
        assert (
            session.scalars(select(Grant.revoked_reason).where(Grant.id == under)).one()
            == "consent_withdrawn"
        )
        assert session.scalars(select(Grant.revoked_at).where(Grant.id == beside)).one() is None
        assert consents.covering(session, cast.user_id, cast.client_id, BOTH) is None
        (again,) = consents.allow(session, cast.user_id, cast.client_id, {API: frozenset({"write"})})
        assert again.scopes == ["write"]
    facts = TokenFacts(tenant.id, "jti", cast.client_id, 0, cast.user_id, 0, under)
    assert services.revocations.is_revoked(
        services.state.execute(*services.revocations.check_ops(facts)).results, facts
    )


def test_nobody_withdraws_for_somebody_else(session: Session, services: Services, cast: Cast) -> None:
    (consent,) = consents.allow(session, cast.user_id, cast.client_id, OPENID)
    with pytest.raises(Problem, match="no such authorization"):
        consents.withdraw(session, consent.id, user_id=cast.other_user_id, log=services.revocations)


def test_a_code_is_redeemed_once(session: Session, cast: Cast) -> None:
    grant = make_grant(session, cast, [])
    assert grants.redeem(session, grant.id) is Redemption.WON
    assert grants.redeem(session, grant.id) is Redemption.REPLAYED
    assert grants.redeem(session, "no-such-grant") is Redemption.UNKNOWN


def test_a_revoked_grant_redeems_nothing(
    session: Session, services: Services, tenant: TenantContext, cast: Cast
) -> None:
    grant = make_grant(session, cast, [])
    assert grants.revoke(session, tenant.id, grant.id, "test", log=services.revocations)
    assert not grants.revoke(session, tenant.id, grant.id, "test", log=services.revocations)
    assert grants.redeem(session, grant.id) is Redemption.REVOKED


def test_of_sixteen_parallel_redemptions_one_wins(
    services: Services, tenant: TenantContext, cast: Cast
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        grant_id = make_grant(session, cast, []).id

    def redeem(_: int) -> Redemption:
        with services.tenancy.session(tenant.id, write=True) as session:
            return grants.redeem(session, grant_id)

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(redeem, range(16)))
    assert outcomes.count(Redemption.WON) == 1
    assert outcomes.count(Redemption.REPLAYED) == 15


def test_parallel_consent_makes_one_record(services: Services, tenant: TenantContext, cast: Cast) -> None:
    def allow(number: int) -> str:
        with services.tenancy.session(tenant.id, write=True) as session:
            wanted = {API: frozenset({f"scope-{number % 4}"})}
            return consents.allow(session, cast.user_id, cast.client_id, wanted)[0].id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(allow, range(8)))
    assert len(made) == 1
    with services.tenancy.session(tenant.id) as session:
        (kept,) = consents.of_user(session, cast.user_id)
        assert kept.scopes == [f"scope-{n}" for n in range(4)]


def test_ending_a_session_revokes_what_lives_only_as_long(
    services: Services, tenant: TenantContext, cast: Cast
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        bound = make_grant(session, cast, [], offline=False, sid="mine").id
        make_grant(session, cast, [], offline=True, sid="mine")
        make_grant(session, cast, [], offline=False, sid="other")
    with services.tenancy.session(tenant.id, write=True) as session:
        assert grants.revoke_of_session(session, tenant.id, "mine", log=services.revocations) == [bound]
