"""Sessions: transactions, roles, versions, outages. What keeps tenants apart is in `tests/isolation`."""
# ruff: noqa: PT012 (what is refused here is refused at the end of a transaction)

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.orm import Session

from app.domain.models import Client, DeploymentSecret, Group, OutboxMessage, Role, Tenant, User
from app.infra import migrations
from app.infra.database import make_engine
from app.infra.tenancy import SYSTEM_ROLE, SystemReason, Tenancy, TenancyError, tenant_of
from app.kernel.errors import Unavailable
from app.kernel.settings import Settings
from tests.conftest import database_urls
from tests.servers import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture
def tenancy(any_database: Settings) -> Iterator[Tenancy]:
    tenancy = Tenancy(make_engine(any_database.effective_database_url, pool_size=2))
    yield tenancy
    tenancy.close()


@pytest.fixture
def acme(tenancy: Tenancy) -> str:
    return make_tenant(tenancy)


def make_tenant(tenancy: Tenancy) -> str:
    slug = f"unit-{next(_numbers)}"
    with tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        found = session.scalar(select(Tenant).where(Tenant.slug == slug))
        if found is not None:
            session.delete(found)
            session.flush()
        tenant = Tenant(slug=slug, name=slug)
        session.add(tenant)
    return tenant.id


def make_user(session: Session, name: str = "alice") -> User:
    user = User(username=name, username_key=name)
    session.add(user)
    session.flush()
    return user


def names(tenancy: Tenancy, tenant_id: str) -> list[str]:
    with tenancy.session(tenant_id) as session:
        return list(session.scalars(select(User.username).order_by(User.username)))


def test_a_block_is_one_transaction(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme, write=True) as session:
        make_user(session)
    with pytest.raises(ZeroDivisionError), tenancy.session(acme, write=True) as session:
        make_user(session, "bob")
        _ = 1 / 0
    assert names(tenancy, acme) == ["alice"]


def test_objects_stay_readable_after_the_block(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme, write=True) as session:
        made = make_user(session)
    with tenancy.session(acme) as session:
        found = session.scalars(select(User)).one()
    assert (made.username, found.username, found.tenant_id) == ("alice", "alice", acme)


def test_a_session_is_over_when_its_block_is(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme) as session:
        pass
    with pytest.raises(Exception, match="Autobegin is disabled"):
        session.scalar(select(User))


def test_a_session_cannot_go_on_after_an_early_commit(tenancy: Tenancy, acme: str) -> None:
    with pytest.raises(Exception, match="begin"), tenancy.session(acme, write=True) as session:
        session.commit()
        session.scalar(select(User))


@pytest.mark.parametrize("change", ["add", "change", "delete", "insert", "update", "bulk delete"])
def test_a_reading_session_changes_nothing(tenancy: Tenancy, acme: str, change: str) -> None:
    with tenancy.session(acme, write=True) as session:
        make_user(session)
    with pytest.raises(TenancyError, match="for reading"), tenancy.session(acme) as session:
        found = session.scalars(select(User)).one()
        if change == "add":
            session.add(User(username="x", username_key="x"))
        elif change == "change":
            found.username = "mallory"
        elif change == "delete":
            session.delete(found)
        elif change == "insert":
            session.execute(insert(User).values(username="x", username_key="x"))
        elif change == "update":
            session.execute(update(User).values(username="mallory"))
        else:
            session.execute(delete(User))
        session.flush()
    assert names(tenancy, acme) == ["alice"]


def test_an_odd_tenant_id_never_reaches_the_database(tenancy: Tenancy) -> None:
    for odd in ("", "a'; DROP TABLE users; --", "a b", "x" * 65, "a\n"):
        with pytest.raises(TenancyError), tenancy.session(odd):
            pass


def test_the_session_knows_its_tenant(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme) as session:
        assert tenant_of(session) == acme
    with tenancy.system(SystemReason.MAINTENANCE) as session, pytest.raises(TenancyError):
        tenant_of(session)


def test_a_system_session_sees_every_tenant(tenancy: Tenancy, acme: str) -> None:
    other = make_tenant(tenancy)
    for tenant_id in (acme, other):
        with tenancy.session(tenant_id, write=True) as session:
            make_user(session)
    with tenancy.system(SystemReason.MAINTENANCE) as session:
        found = set(session.scalars(select(User.tenant_id).where(User.username == "alice")))
        assert {acme, other} <= found


def test_new_rows_of_a_system_session_name_their_tenant(tenancy: Tenancy, acme: str) -> None:
    with tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        session.add(User(tenant_id=acme, username="alice", username_key="alice"))
    with (
        pytest.raises(TenancyError, match="name its tenant"),
        tenancy.system(SystemReason.MAINTENANCE, write=True) as session,
    ):
        make_user(session)
    assert names(tenancy, acme) == ["alice"]


def test_audited_reasons_are_reported_before_the_session_opens(tenancy: Tenancy) -> None:
    seen: list[SystemReason] = []
    tenancy.on_system_use = seen.append
    for reason in SystemReason:
        with tenancy.system(reason):
            assert seen[-1:] == [reason] if reason.is_audited else reason not in seen
    assert seen == [r for r in SystemReason if r.is_audited]
    assert SystemReason.COMMAND_LINE in seen
    assert SystemReason.CONFIG_VERSIONS not in seen


def test_secrets_of_the_deployment_are_for_system_sessions(tenancy: Tenancy, acme: str) -> None:
    with pytest.raises(TenancyError), tenancy.session(acme) as session:
        session.scalars(select(DeploymentSecret)).all()
    with pytest.raises(TenancyError), tenancy.session(acme, write=True) as session:
        session.add(DeploymentSecret(name="x", value_sealed=b"x"))
    with tenancy.system(SystemReason.DEPLOYMENT_SECRETS) as session:
        session.scalars(select(DeploymentSecret)).all()


class TestConfigVersion:
    """Caches depend on it: no change of cached configuration without a rise, in the same transaction."""

    def version(self, tenancy: Tenancy, tenant_id: str) -> int:
        return tenancy.config_versions()[tenant_id]

    @pytest.mark.parametrize("how", ["add", "insert", "change", "update", "delete", "bulk delete"])
    def test_rises_with_every_kind_of_change(self, tenancy: Tenancy, acme: str, how: str) -> None:
        other = make_tenant(tenancy)
        with tenancy.session(acme, write=True) as session:
            session.add(Role(id="r", name="r"))
        before, untouched = self.version(tenancy, acme), self.version(tenancy, other)
        with tenancy.session(acme, write=True) as session:
            role = session.scalars(select(Role)).one()
            if how == "add":
                session.add(Group(name="g"))
            elif how == "insert":
                session.execute(insert(Client), [{"client_id": "c", "metadata_": {}}])
            elif how == "change":
                role.description = "changed"
            elif how == "update":
                session.execute(update(Role).values(description="changed"))
            elif how == "delete":
                session.delete(role)
            else:
                session.execute(delete(Role))
        assert self.version(tenancy, acme) == before + 1
        assert self.version(tenancy, other) == untouched

    def test_rises_with_the_tenants_own_settings(self, tenancy: Tenancy, acme: str) -> None:
        before = self.version(tenancy, acme)
        with tenancy.session(acme, write=True) as session:
            session.scalars(select(Tenant)).one().settings = {"tokens": {"access_seconds": 60}}
        assert self.version(tenancy, acme) == before + 1

    def test_rises_in_system_sessions_too(self, tenancy: Tenancy, acme: str) -> None:
        other = make_tenant(tenancy)
        before = tenancy.config_versions()
        with tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            session.add_all([Role(tenant_id=t, name="r") for t in (acme, other)])
        after = tenancy.config_versions()
        assert (after[acme], after[other]) == (before[acme] + 1, before[other] + 1)

    def test_bulk_changes_of_every_tenant_at_once_are_refused(self, tenancy: Tenancy) -> None:
        with (
            pytest.raises(TenancyError, match="cached"),
            tenancy.system(SystemReason.MAINTENANCE, write=True) as session,
        ):
            session.execute(update(Client).values(epoch=1))

    def test_stays_with_what_is_not_cached_or_not_committed(self, tenancy: Tenancy, acme: str) -> None:
        before = self.version(tenancy, acme)
        with tenancy.session(acme, write=True) as session:
            make_user(session)
        with pytest.raises(ZeroDivisionError), tenancy.session(acme, write=True) as session:
            session.add(Role(name="r"))
            session.flush()
            _ = 1 / 0
        with tenancy.session(acme, write=True) as session:
            session.scalars(select(Tenant)).one().name += ""
        assert self.version(tenancy, acme) == before

    def test_a_savepoint_does_not_raise_it_twice(self, tenancy: Tenancy, acme: str) -> None:
        before = self.version(tenancy, acme)
        with tenancy.session(acme, write=True) as session:
            with session.begin_nested():
                session.add(Role(name="r"))
            session.add(Role(name="s"))
        assert self.version(tenancy, acme) == before + 1

    def test_concurrent_changes_each_count(self, tenancy: Tenancy, acme: str) -> None:
        before = self.version(tenancy, acme)

        def work(number: int) -> None:
            with tenancy.session(acme, write=True) as session:
                session.add(Role(name=f"r{number}"))

        run_in_threads(work, 8)
        assert self.version(tenancy, acme) == before + 8


def run_in_threads(work: object, count: int) -> None:
    faults: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)  # type: ignore[operator]
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_what_reaches_the_database(tenancy: Tenancy, acme: str) -> None:
    """One message to begin (with tenant or role), the statement itself, and nothing else."""
    names(tenancy, acme)
    sent: list[str] = []

    @event.listens_for(tenancy.engine, "before_cursor_execute")
    def listen(_c: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    names(tenancy, acme)
    tenancy.config_versions()
    with tenancy.session(acme, write=True) as session:
        session.execute(update(User).values(username="x").execution_options(synchronize_session=False))
    begins = [s for s in sent if s.startswith("BEGIN")]
    assert len(sent) == 6
    if tenancy.engine.dialect.name == "sqlite":
        assert begins == ["BEGIN", "BEGIN", "BEGIN IMMEDIATE"]
    else:
        scope = f"SELECT set_config('watchword.tenant', '{acme}', true)"
        role = f"SET LOCAL ROLE {SYSTEM_ROLE}"
        assert begins == [
            f"BEGIN READ ONLY; {scope}",
            f"BEGIN READ ONLY; {role}",
            f"BEGIN READ WRITE; {scope}",
        ]


@pytest.fixture
def on_sqlite(data_dir: Path) -> Iterator[Tenancy]:
    settings = Settings(data_dir=data_dir)
    migrations.upgrade(settings)
    tenancy = Tenancy(make_engine(settings.effective_database_url, pool_size=2))
    yield tenancy
    tenancy.close()


def test_sqlite_is_durable_and_checks_references(on_sqlite: Tenancy) -> None:
    asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    with on_sqlite.engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_writers_take_turns_rather_than_fail(tenancy: Tenancy, acme: str) -> None:
    """Read, then write: with a deferred BEGIN SQLite refuses all but one of these at once."""

    def work(number: int) -> None:
        for turn in range(5):
            with tenancy.session(acme, write=True) as session:
                count = len(session.scalars(select(User)).all())
                make_user(session, f"u-{number}-{turn}-{count}")

    run_in_threads(work, 4)
    assert len(names(tenancy, acme)) == 20


def test_numbered_logs_are_stamped(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme, write=True) as session:
        session.add(OutboxMessage(topic="t", subject="s", payload={}))
        session.execute(insert(OutboxMessage), [{"topic": "t", "subject": "s", "payload": {}}])
    with tenancy.session(acme) as session:
        found = session.scalars(select(OutboxMessage)).all()
    assert [m.tenant_id for m in found] == [acme, acme]


def test_values_stay_out_of_errors(tenancy: Tenancy, acme: str) -> None:
    with tenancy.session(acme, write=True) as session:
        make_user(session, "top-secret-name")
    with (
        pytest.raises(Exception, match=r"(?i)unique") as caught,
        tenancy.session(acme, write=True) as session,
    ):
        session.add(User(username="hidden-value", username_key="top-secret-name"))
    assert "hidden-value" not in str(caught.value)


class TestOutages:
    """A database that is away is `Unavailable`, and one that came back is used without a restart of ours."""

    def test_postgresql_away_and_back(self) -> None:
        with PostgresServer() as server:
            settings = Settings(master_key="x", **database_urls(server, server.create_database()))
            migrations.upgrade(settings)
            tenancy = Tenancy(make_engine(settings.database_url, pool_size=4))
            acme = make_tenant(tenancy)
            self.warm(tenancy, acme, 4)
            server.restart()
            run_in_threads(lambda _: names(tenancy, acme), 4)
            server.kill()
            for ask in (tenancy.ping, tenancy.config_versions, lambda: names(tenancy, acme)):
                with pytest.raises(Unavailable):
                    ask()
            server.start()
            tenancy.ping()
            assert names(tenancy, acme) == []
            with pytest.raises(Unavailable), tenancy.session(acme, write=True) as session:
                make_user(session)
                server.restart()
                session.scalars(select(User)).all()
            assert names(tenancy, acme) == []
            tenancy.close()

    def warm(self, tenancy: Tenancy, tenant_id: str, connections: int) -> None:
        meet = threading.Barrier(connections)

        def hold(_: int) -> None:
            with tenancy.session(tenant_id) as session:
                session.scalar(select(User))
                meet.wait(10)

        run_in_threads(hold, connections)

    def test_all_connections_in_use(self, any_database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.infra.database.POOL_TIMEOUT_SECONDS", 0.05)
        tenancy = Tenancy(make_engine(any_database.effective_database_url, pool_size=1))
        with tenancy.session("a"), tenancy.session("b"), pytest.raises(Unavailable), tenancy.session("c"):
            pass
        tenancy.close()

    def test_sqlite_held_by_another_writer(self, on_sqlite: Tenancy) -> None:
        acme = make_tenant(on_sqlite)
        with on_sqlite.session(acme, write=True) as first:
            make_user(first)
            with on_sqlite.engine.connect() as connection:
                connection.connection.dbapi_connection.execute("PRAGMA busy_timeout=20")  # type: ignore[union-attr]
            with pytest.raises(Unavailable), on_sqlite.session(acme, write=True):
                pass
        assert names(on_sqlite, acme) == ["alice"]

    def test_a_programming_error_is_not_an_outage(self, tenancy: Tenancy, acme: str) -> None:
        with pytest.raises(Exception, match="no_such_table") as caught, tenancy.session(acme) as session:
            session.connection().exec_driver_sql("SELECT * FROM no_such_table")
        assert not isinstance(caught.value, Unavailable)
