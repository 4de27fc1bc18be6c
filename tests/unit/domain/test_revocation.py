import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.models import Client, Revocation, User
from app.domain.revocation import SETTLE_SECONDS, Revocations, TokenFacts, mark_key
from app.domain.tenants import TenantContext
from app.infra.state import Delete, Get, Key, Outcome, Put, StateStore
from app.infra.state.sql import embedded
from app.infra.tenancy import SystemReason
from app.kernel import clock, ids
from app.kernel.errors import Unavailable
from app.web.services import Services

HIGH_WATER = Key("_", "revocations", "high-water")


@pytest.fixture
def services(services: Services, tmp_path: Path) -> Iterator[Services]:
    """The wired parts with a state store of their own, which nobody else sweeps."""
    state = embedded(tmp_path)
    revocations = Revocations(services.tenancy, state)
    state.guard(revocations.replay)
    state.check()
    yield dataclasses.replace(services, state=state, revocations=revocations)
    state.close()


@pytest.fixture
def facts(services: Services, tenant: TenantContext) -> TokenFacts:
    """An access token of a person at a client."""
    with services.tenancy.session(tenant.id, write=True) as session:
        session.add(User(id="alice", username="alice", username_key="alice"))
        session.add(Client(client_id="web"))
    return TokenFacts(
        tenant.id,
        ids.new_id(),
        client_id="web",
        client_epoch=0,
        user_id="alice",
        user_epoch=0,
        grant_id=ids.new_id(),
        session_id=ids.new_id(),
    )


def revoked_by(services: Services, facts: TokenFacts) -> str | None:
    outcome = services.state.execute(*services.revocations.check_ops(facts))
    found = services.revocations.revoked_by(outcome.results, facts)
    assert services.revocations.is_revoked(outcome.results, facts) is (found is not None)
    return found


def revoke(services: Services, facts: TokenFacts, kind: str, session: Session) -> None:
    log, tenant_id, moment = services.revocations, facts.tenant_id, clock.after(300)
    actions: dict[str, Callable[[], None]] = {
        "token": lambda: log.revoke_token(session, tenant_id, facts.token_id, moment),
        "grant": lambda: log.revoke_grant(session, tenant_id, facts.grant_id or ""),
        "session": lambda: log.revoke_session(session, tenant_id, facts.session_id or "", moment),
        "user": lambda: log.revoke_user(session, tenant_id, facts.user_id or ""),
        "client": lambda: log.revoke_client(session, tenant_id, facts.client_id),
    }
    actions[kind]()


@pytest.mark.parametrize("kind", ["token", "grant", "session", "user", "client"])
def test_what_is_revoked_is_refused_as_soon_as_that_is_committed(
    services: Services, facts: TokenFacts, kind: str
) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        revoke(services, facts, kind, session)
        assert revoked_by(services, facts) is None
    assert revoked_by(services, facts) == kind
    other = TokenFacts(facts.tenant_id, "other", client_id="other", client_epoch=0)
    assert revoked_by(services, other) is None
    assert revoked_by(services, dataclasses.replace(facts, tenant_id="elsewhere")) is None


@pytest.mark.parametrize("kind", ["user", "client"])
def test_what_is_issued_after_an_epoch_stands(services: Services, facts: TokenFacts, kind: str) -> None:
    for epoch in (1, 2):
        with services.tenancy.session(facts.tenant_id, write=True) as session:
            revoke(services, facts, kind, session)
        with services.tenancy.session(facts.tenant_id) as session:
            row = session.scalars(select(User if kind == "user" else Client)).one()
            assert row.epoch == epoch
        later = dataclasses.replace(facts, **{f"{kind}_epoch": epoch})
        assert revoked_by(services, later) is None
        earlier = dataclasses.replace(facts, **{f"{kind}_epoch": epoch - 1})
        assert revoked_by(services, earlier) == kind


def test_revoking_a_client_renews_what_is_cached_of_it(services: Services, facts: TokenFacts) -> None:
    services.versions.touch()
    before = services.versions.of(facts.tenant_id)
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        services.revocations.revoke_client(session, facts.tenant_id, "web")
    services.versions.touch()
    assert services.versions.of(facts.tenant_id) > before


def test_a_person_or_client_who_is_deleted_is_revoked_before(services: Services, facts: TokenFacts) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        user = session.scalars(select(User)).one()
        services.revocations.revoke_user(session, facts.tenant_id, user.id)
        session.delete(user)
    assert revoked_by(services, facts) == "user"


def test_nobody_has_nothing_to_revoke(services: Services, facts: TokenFacts) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        services.revocations.revoke_user(session, facts.tenant_id, "nobody")
        services.revocations.revoke_client(session, facts.tenant_id, "nothing")
        assert session.scalars(select(Revocation)).all() == []


def test_a_transaction_that_fails_revokes_nothing(services: Services, facts: TokenFacts) -> None:
    def fail() -> None:
        with services.tenancy.session(facts.tenant_id, write=True) as session:
            services.revocations.revoke_grant(session, facts.tenant_id, facts.grant_id or "")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert revoked_by(services, facts) is None


def test_a_savepoint_that_fails_revokes_nothing_and_one_that_succeeds_waits(
    services: Services, facts: TokenFacts
) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        point = session.begin_nested()
        services.revocations.revoke_grant(session, facts.tenant_id, facts.grant_id or "")
        point.rollback()
        with session.begin_nested():
            services.revocations.revoke_token(session, facts.tenant_id, "kept", clock.after(60))
        assert services.state.execute(Get(mark_key(facts.tenant_id, "token", "kept"))).results == (None,)
    assert revoked_by(services, facts) is None
    assert revoked_by(services, dataclasses.replace(facts, token_id="kept")) == "token"


class Broken:
    """A state store that is down."""

    def execute(self, *_: Any) -> Outcome:
        raise Unavailable("state.unavailable")


def test_where_the_mark_cannot_be_written_the_caller_is_told_and_the_row_stays(
    services: Services, facts: TokenFacts
) -> None:
    broken: StateStore = Broken()  # type: ignore[assignment]
    log = Revocations(services.tenancy, broken)
    with pytest.raises(Unavailable), services.tenancy.session(facts.tenant_id, write=True) as session:
        log.revoke_grant(session, facts.tenant_id, facts.grant_id or "")
    assert revoked_by(services, facts) is None
    services.revocations.replay(services.state.execute)
    assert revoked_by(services, facts) == "grant"


def test_marks_expire_with_what_they_concern(services: Services, facts: TokenFacts) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        services.revocations.revoke_token(session, facts.tenant_id, "old", clock.now() - timedelta(hours=1))
        services.revocations.revoke_token(session, facts.tenant_id, "new", clock.now())
    marks = services.state.execute(*(Get(mark_key(facts.tenant_id, "token", ref)) for ref in ("old", "new")))
    assert marks.results == (None, b"1")


def test_an_older_epoch_does_not_lower_a_mark(services: Services, facts: TokenFacts) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        for epoch in (5, 4):
            session.add(Revocation(kind="user", ref="alice", epoch=epoch, expires_at=clock.after(300)))
            session.flush()
    services.revocations.replay(services.state.execute)
    assert services.state.execute(Get(mark_key(facts.tenant_id, "user", "alice"))).results == (b"5",)


def test_the_high_water_mark_waits_for_late_transactions(services: Services, facts: TokenFacts) -> None:
    """A row may become visible after one with a higher number; rows are passed only when they have settled."""
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        young = Revocation(kind="token", ref="young", expires_at=clock.after(300))
        session.add(young)
        session.flush()

    def reached() -> int:
        services.revocations.replay(services.state.execute)
        return int(services.state.execute(Get(HIGH_WATER)).results[0])

    if services.tenancy.engine.dialect.name != "sqlite":
        assert reached() < young.seq
    with services.tenancy.system(SystemReason.RECONCILE) as session:
        # Other tests of the run write rows from the future.
        latest = session.scalars(select(func.max(Revocation.created_at))).one()
    with time_machine.travel(latest + timedelta(seconds=SETTLE_SECONDS + 1)):
        assert reached() >= young.seq


def test_purging_keeps_what_counts_and_the_newest(services: Services, facts: TokenFacts) -> None:
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        for ref, hours in (("gone", -1), ("counts", 1), ("newest", -1)):
            session.add(Revocation(kind="token", ref=ref, expires_at=clock.after(hours * 3600)))
            session.flush()
    with services.tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        assert services.revocations.purge_expired(session) >= 1
    with services.tenancy.session(facts.tenant_id) as session:
        assert set(session.scalars(select(Revocation.ref))) == {"counts", "newest"}


def test_many_revocations_are_replayed(services: Services, facts: TokenFacts) -> None:
    refs = [f"many-{number}" for number in range(1203)]
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        session.add_all(Revocation(kind="grant", ref=ref, expires_at=clock.after(300)) for ref in refs)
    services.state.execute(Delete(HIGH_WATER))
    services.revocations.replay(services.state.execute)
    marks = services.state.execute(*(Get(mark_key(facts.tenant_id, "grant", ref)) for ref in refs))
    assert set(marks.results) == {b"1"}


def test_a_sweep_takes_turns(services: Services, facts: TokenFacts) -> None:
    """One process a second is enough, however many there are."""
    turn = Key("_", "revocations", "turn")
    with services.tenancy.session(facts.tenant_id, write=True) as session:
        session.add(Revocation(kind="grant", ref=facts.grant_id or "", expires_at=clock.after(300)))
    services.state.execute(Put(turn, b"1", 60))
    services.revocations.sweep()
    assert revoked_by(services, facts) is None
    services.state.execute(Delete(turn))
    services.revocations.sweep()
    services.revocations.sweep()
    assert revoked_by(services, facts) == "grant"
