"""State comes back from the past. No revoked token is accepted, no signed-out session comes back (contracts 3)."""

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.domain import tenants
from app.domain.models import Client, User
from app.domain.revocation import Revocations, TokenFacts
from app.domain.sessions import BrowserSession, Sessions
from app.domain.tenants import TenantContext, compile_tenant
from app.infra import migrations
from app.infra.database import make_engine
from app.infra.state import Get, Key, Put, StateStore
from app.infra.state.redis import RedisState
from app.infra.state.sql import embedded, on_database
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel import clock
from app.kernel.errors import Unavailable
from app.kernel.settings import Settings
from tests.conftest import database_urls, new_master_key
from tests.servers import PostgresServer, RedisServer, wait_until

pytestmark = pytest.mark.faults

KINDS = ("token", "grant", "session", "user", "client")


@dataclass(slots=True)
class Process:
    """What a server process has of revocations and sessions."""

    tenancy: Tenancy
    tenant: TenantContext
    state: StateStore

    def __post_init__(self) -> None:
        self.revocations = Revocations(self.tenancy, self.state)
        self.state.guard(self.revocations.replay)
        self.sessions = Sessions(self.state, self.revocations)

    revocations: Revocations = dataclasses.field(init=False)
    sessions: Sessions = dataclasses.field(init=False)

    def sign_in(self, user_id: str) -> tuple[BrowserSession, str]:
        return self.sessions.start(self.tenant, user_id, 0, amr=["pwd"])

    def revoke(self, kind: str, ref: str) -> None:
        moment = clock.after(3600)
        with self.tenancy.session(self.tenant.id, write=True) as session:
            if kind == "token":
                self.revocations.revoke_token(session, self.tenant.id, ref, moment)
            elif kind == "session":
                self.revocations.revoke_session(session, self.tenant.id, ref, moment)
            else:
                getattr(self.revocations, f"revoke_{kind}")(session, self.tenant.id, ref)

    def sign_out(self, session: BrowserSession) -> None:
        with self.tenancy.session(self.tenant.id, write=True) as database:
            self.sessions.end(database, self.tenant, session)

    def revoked_by(self, facts: TokenFacts) -> str | None:
        outcome = self.state.execute(*self.revocations.check_ops(facts))
        return self.revocations.revoked_by(outcome.results, facts)


def facts_of(tenant: TenantContext, kind: str) -> TokenFacts:
    """A token that would be revoked by nothing but one thing, named `{kind}-ref`."""
    refs = {other: f"{other}-ref" if other == kind else f"{kind}-other" for other in KINDS}
    return TokenFacts(
        tenant.id,
        refs["token"],
        client_id=refs["client"],
        client_epoch=0,
        user_id=refs["user"],
        grant_id=refs["grant"],
        session_id=refs["session"],
    )


def make_tenant(tenancy: Tenancy) -> TenantContext:
    with tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.create(session, slug="acme", name="Acme")
        session.add(Client(tenant_id=row.id, client_id="client-ref"))
        for name in ("user-ref", "leaver", "stayer", "dismissed"):
            session.add(User(tenant_id=row.id, id=name, username=name, username_key=name))
        return compile_tenant(row, "http://localhost:8000")


@pytest.fixture(scope="module")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Settings]:
    """Settings of a migrated database of each kind, made once, to be copied."""

    @functools.cache
    def make(kind: str) -> Settings:
        settings = Settings(data_dir=tmp_path_factory.mktemp("migrated"), master_key=new_master_key())
        if kind == "postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            settings = dataclasses.replace(settings, **database_urls(postgres, postgres.create_database()))
        migrations.upgrade(settings)
        return settings

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def tenancy(
    request: pytest.FixtureRequest, migrated: Callable[[str], Settings], tmp_path: Path
) -> Iterator[Tenancy]:
    """A main database of this test's own."""
    settings = migrated(request.param)
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            template = make_url(settings.database_url).database
            name = stack.enter_context(postgres.database(template=template))
            settings = dataclasses.replace(settings, **database_urls(postgres, name))
        else:
            shutil.copytree(settings.data_dir, tmp_path / "main")
            settings = dataclasses.replace(settings, data_dir=tmp_path / "main")
        found = Tenancy(make_engine(settings.effective_database_url))
        stack.callback(found.close)
        yield found


@pytest.fixture
def tenant(tenancy: Tenancy) -> TenantContext:
    return make_tenant(tenancy)


@pytest.fixture
def who_asks(request: pytest.FixtureRequest, tenancy: Tenancy) -> str:
    """Which process is the first to look at the store that went back: whoever it is sets it right for all."""
    by_default = "running" if tenancy.engine.dialect.name == "postgresql" else "started-later"
    who: str = getattr(request, "param", by_default)
    return who


def check_time_travel(
    who_asks: str,
    first: Process,
    open_state: Callable[[], StateStore],
    remember: Callable[[], object],
    go_back: Callable[[], object],
) -> None:
    """Revoke everything after a snapshot, return to the snapshot, and look from an old and from a new process."""
    first.revoke("token", "before-ref")
    early = dataclasses.replace(facts_of(first.tenant, "none"), token_id="before-ref")
    stayer, stayer_cookie = first.sign_in("stayer")
    leaver, leaver_cookie = first.sign_in("leaver")
    _, dismissed_cookie = first.sign_in("dismissed")
    first.revocations.sweep()
    remember()
    for kind in KINDS:
        assert first.revoked_by(facts_of(first.tenant, kind)) is None
        first.revoke(kind, f"{kind}-ref")
    first.sign_out(leaver)
    first.revoke("user", "dismissed")
    go_back()
    with contextlib.closing(open_state()) as other:
        processes = [first, Process(first.tenancy, first.tenant, other)]
        for process in processes if who_asks == "running" else reversed(processes):
            assert process.sessions.get(process.tenant, leaver_cookie) is None
            assert process.sessions.get(process.tenant, dismissed_cookie) is None
            for kind in KINDS:
                assert process.revoked_by(facts_of(process.tenant, kind)) == kind
            assert process.revoked_by(early) == "token"
            assert process.revoked_by(facts_of(process.tenant, "none")) is None
            assert process.sessions.get(process.tenant, stayer_cookie) == stayer
            assert process.sessions.find(process.tenant, leaver.sid, "leaver") is None


@contextlib.contextmanager
def replica_of(master: RedisServer) -> Iterator[RedisServer]:
    """A replica in step, without the five seconds a master waits for more of them."""
    with contextlib.closing(master.client()) as client:
        client.config_set("repl-diskless-sync-delay", 0)
    with RedisServer(replica_of=master) as replica:
        yield replica


def test_redis_restored_from_an_old_snapshot(tenancy: Tenancy, tenant: TenantContext, who_asks: str) -> None:
    with RedisServer() as server, contextlib.closing(RedisState(server.url)) as state:
        process = Process(tenancy, tenant, state)
        snapshot = server.folder / "old.rdb"
        check_time_travel(
            who_asks,
            process,
            lambda: RedisState(server.url),
            lambda: server.save(snapshot),
            lambda: server.restore(snapshot),
        )


def test_redis_that_lost_everything(tenancy: Tenancy, tenant: TenantContext) -> None:
    with RedisServer() as server, contextlib.closing(RedisState(server.url)) as state:
        process = Process(tenancy, tenant, state)
        process.revoke("grant", "grant-ref")
        _, cookie = process.sign_in("leaver")
        server.kill()
        server.start()
        assert process.revoked_by(facts_of(tenant, "grant")) == "grant"
        assert process.sessions.get(tenant, cookie) is None


def test_a_stale_replica_that_was_promoted(tenancy: Tenancy, tenant: TenantContext, who_asks: str) -> None:
    """The replica stopped hearing from its master before the revocations; then it takes the master's place."""
    with (
        RedisServer() as master,
        replica_of(master) as replica,
        contextlib.closing(RedisState(master.url)) as state,
    ):
        process = Process(tenancy, tenant, state)

        def cut_off() -> None:
            with contextlib.closing(master.client()) as client:
                assert client.wait(1, 5000) == 1
            with contextlib.closing(replica.client()) as client:
                client.replicaof("127.0.0.1", 1)

        def fail_over() -> None:
            master.kill()
            replica.promote()
            with contextlib.closing(replica.client()) as client:
                client.shutdown(save=True)
            snapshot = replica.rdb.read_bytes()
            (master.folder / "dump.rdb").write_bytes(snapshot)
            master.start()

        check_time_travel(who_asks, process, lambda: RedisState(master.url), cut_off, fail_over)


def test_an_address_that_moves_to_a_promoted_replica(tenancy: Tenancy, tenant: TenantContext) -> None:
    """The master lives on, cut off; new connections reach the replica, as after a change of name or address."""
    with (
        RedisServer() as master,
        replica_of(master) as replica,
        contextlib.closing(RedisState(master.url)) as old,
        contextlib.closing(RedisState(replica.url)) as new,
    ):
        before, after = Process(tenancy, tenant, old), Process(tenancy, tenant, new)
        with contextlib.closing(replica.client()) as client:
            client.replicaof("127.0.0.1", 1)
        for kind in KINDS:
            before.revoke(kind, f"{kind}-ref")
        with pytest.raises(Unavailable):
            after.revoked_by(facts_of(tenant, "token"))
        replica.promote()
        for kind in KINDS:
            assert after.revoked_by(facts_of(tenant, kind)) == kind


@pytest.mark.parametrize("tenancy", ["sqlite"], indirect=True)
@pytest.mark.parametrize("who_asks", ["running", "started-later"], indirect=True)
def test_the_state_file_restored_from_a_copy(
    tenancy: Tenancy, tenant: TenantContext, who_asks: str, data_dir: Path
) -> None:
    state = embedded(data_dir)
    process = Process(tenancy, tenant, state)
    copy = data_dir / "copy.db"

    def remember() -> None:
        state.close()
        shutil.copyfile(data_dir / "state.db", copy)

    def go_back() -> None:
        state.close()
        for leftover in data_dir.glob("state.db*"):
            leftover.unlink()
        shutil.copyfile(copy, data_dir / "state.db")

    with contextlib.closing(state):
        check_time_travel(who_asks, process, lambda: embedded(data_dir), remember, go_back)


@pytest.mark.parametrize("tenancy", ["sqlite"], indirect=True)
def test_the_state_file_deleted_under_a_running_process(
    tenancy: Tenancy, tenant: TenantContext, data_dir: Path
) -> None:
    """The process would go on with a file nobody else sees; it notices within a second or so."""
    marker = Key("t", "value", "old-file")
    with contextlib.closing(embedded(data_dir)) as state:
        process = Process(tenancy, tenant, state)
        process.revoke("grant", "grant-ref")
        state.execute(Put(marker, b"", 600))
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (data_dir / name).unlink(missing_ok=True)
        wait_until(lambda: state.execute(Get(marker)).results == (None,), seconds=5)
        assert process.revoked_by(facts_of(tenant, "grant")) == "grant"
        with contextlib.closing(embedded(data_dir)) as other:
            assert Process(tenancy, tenant, other).revoked_by(facts_of(tenant, "grant")) == "grant"


@pytest.mark.parametrize("tenancy", ["postgresql"], indirect=True)
def test_the_state_tables_emptied(tenancy: Tenancy, tenant: TenantContext) -> None:
    url = tenancy.engine.url.render_as_string(hide_password=False)
    with contextlib.closing(on_database(url)) as state:
        process = Process(tenancy, tenant, state)
        process.revoke("user", "user-ref")
        assert process.revoked_by(facts_of(tenant, "user")) == "user"
        with tenancy.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM state_values")
        with contextlib.closing(on_database(url)) as other:
            assert Process(tenancy, tenant, other).revoked_by(facts_of(tenant, "user")) == "user"


def test_a_mark_that_was_never_written_is_found_by_the_sweep(tenancy: Tenancy, tenant: TenantContext) -> None:
    """The transaction commits, the state store is gone: whoever asked is told no, and the mark comes by itself."""
    with (
        RedisServer() as server,
        contextlib.closing(RedisState(server.url)) as lost,
        contextlib.closing(RedisState(server.url)) as state,
    ):
        process = Process(tenancy, tenant, state)
        assert process.revoked_by(facts_of(tenant, "grant")) is None
        dying = Process(tenancy, tenant, lost)
        server.kill()
        with pytest.raises(Unavailable):
            dying.revoke("grant", "grant-ref")
        server.start()
        # The other process reconnects, and is guarded; so make it forget, as if it had never lost its connection.
        assert process.revoked_by(facts_of(tenant, "grant")) == "grant"
        with contextlib.closing(server.client()) as client:
            client.flushall()
        assert process.revoked_by(facts_of(tenant, "grant")) is None
        process.revocations.sweep()
        assert process.revoked_by(facts_of(tenant, "grant")) == "grant"


def test_a_database_from_the_past_makes_every_mark_new(tenancy: Tenancy, tenant: TenantContext) -> None:
    """The log lost its end, numbers are given a second time: what the high-water mark says counts for nothing."""
    with RedisServer() as server, contextlib.closing(RedisState(server.url)) as state:
        process = Process(tenancy, tenant, state)
        process.revoke("grant", "grant-ref")
        state.execute(Put(Key("_", "revocations", "high-water"), b"1000", 600))
        with contextlib.closing(server.client()) as client:
            client.delete(str(Key(tenant.id, "revoked-grant", "grant-ref")))
        assert process.revoked_by(facts_of(tenant, "grant")) is None
        process.revocations.sweep()
        assert process.revoked_by(facts_of(tenant, "grant")) == "grant"
        assert int(state.execute(Get(Key("_", "revocations", "high-water"))).results[0]) <= 1
