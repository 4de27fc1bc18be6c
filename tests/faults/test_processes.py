"""kill -9 of every process of a deployment under load, on granian and gunicorn, on SQLite and on PostgreSQL with Redis.

The service comes back by itself, and everything it had acknowledged holds: grants, refresh tokens, people, keys, audit
records; no used code and no revoked token is accepted.
"""

import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.serving import SERVERS, ServerName
from tests.conftest import EMBEDDED, PRODUCTION
from tests.faults.load import Load, published_keys
from tests.interop import deployment
from tests.live import LiveServer, children, new_deployment
from tests.servers import PostgresServer, RedisServer, wait_until
from tests.unit.serving.test_processes import alive

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

BEFORE, AFTER = 9, 9
HEALED_SECONDS = 60.0
SAMPLE = 12


@dataclass
class Victim:
    """A deployment to be hurt."""

    server: LiveServer
    redis: RedisServer | None = None
    postgres: PostgresServer | None = None


@contextlib.contextmanager
def _deployed(storage: str, server: ServerName, folder_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    with contextlib.ExitStack() as stack:
        redis = postgres = None
        if storage == PRODUCTION:
            redis = stack.enter_context(RedisServer(appendonly=True))
            postgres = stack.enter_context(PostgresServer(durable=True))
        settings = stack.enter_context(
            new_deployment(storage, folder_factory.mktemp("live"), redis=redis, postgres=postgres)
        )
        live = stack.enter_context(LiveServer(settings, server=server))
        live.apply(deployment.document())
        yield Victim(live, redis, postgres)


@pytest.fixture(scope="module")
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """One deployment for all faults of a combination: what is healed goes on serving."""
    with _deployed(*request.param, tmp_path_factory) as made:
        yield made


def _on(*storages: str) -> pytest.MarkDecorator:
    combinations = [(storage, server) for storage in storages for server in SERVERS]
    return pytest.mark.parametrize("victim", combinations, indirect=True, scope="module", ids="-".join)


everywhere = _on(EMBEDDED, PRODUCTION)
in_production = _on(PRODUCTION)


@everywhere
def test_web_workers(victim: Victim) -> None:
    """One is killed and replaced; then all, twice in a row, which granian takes for a crash loop."""
    server = victim.server
    with Load(server) as load:
        load.wait_for(BEFORE)
        first = server.web_workers()[0]
        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda: first not in server.web_workers() and len(server.web_workers()) == 2,
            seconds=HEALED_SECONDS,
        )
        load.wait_for(4)
        for _ in range(2):
            killed = server.web_workers()
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda old=killed: _replaced(server, old), seconds=HEALED_SECONDS)  # type: ignore[misc]
        load.wait_for(AFTER)
    hold_to_the_book(load)


@everywhere
def test_the_web_servers_own_parent(victim: Victim) -> None:
    server = victim.server
    with Load(server) as load:
        load.wait_for(BEFORE)
        parent, workers = server.web_parent(), server.web_workers()
        os.kill(parent, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, [parent, *workers])), seconds=HEALED_SECONDS)
        load.wait_for(AFTER)
    hold_to_the_book(load)


@everywhere
def test_the_background_worker(victim: Victim) -> None:
    server = victim.server
    with Load(server) as load:
        load.wait_for(BEFORE)
        for _ in range(2):
            killed = server.background_worker()
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda old=killed: _new_worker(server, old), seconds=HEALED_SECONDS)  # type: ignore[misc]
        load.wait_for(AFTER)
    hold_to_the_book(load)


@everywhere
def test_everything_at_once_and_started_again(victim: Victim) -> None:
    """The parent killed takes all along; a new start on the same data knows everything."""
    server = victim.server
    with Load(server) as load:
        load.wait_for(BEFORE)
        family = [server.pid, *children(server.pid), *server.web_workers()]
        assert server.process
        server.process.kill()
        server.process.wait(10)
        wait_until(lambda: not any(map(alive, family)), seconds=HEALED_SECONDS)
        server.start()
        load.wait_for(AFTER)
    hold_to_the_book(load)


@in_production
def test_redis(victim: Victim) -> None:
    assert victim.redis
    with Load(victim.server) as load:
        load.wait_for(BEFORE)
        victim.redis.kill()
        assert not victim.server.is_ready()
        victim.redis.start()
        load.wait_for(AFTER)
    hold_to_the_book(load)


@in_production
def test_postgresql(victim: Victim) -> None:
    assert victim.postgres
    with Load(victim.server) as load:
        load.wait_for(BEFORE)
        victim.postgres.kill()
        assert not victim.server.is_ready()
        victim.postgres.start()
        load.wait_for(AFTER)
    hold_to_the_book(load)


def hold_to_the_book(load: Load) -> None:
    """Everything acknowledged is still so."""
    server, book = load.server, load.book
    wait_until(server.is_ready, seconds=HEALED_SECONDS)
    assert not book.faults, book.faults
    assert set(book.statuses) <= {200, 503}, book.statuses
    assert book.live
    assert book.revoked
    _revoked_stays_revoked(load)
    for token in book.live:
        load.refresh(token)
    for code in book.codes[-SAMPLE:]:
        answer = load.post(
            "/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=deployment.CALLBACK,
            code_verifier="v" * 43,
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    known = set(json.loads(server.watchword("user", "list", "--json")))
    assert set(book.users) <= known
    assert book.keys <= published_keys(server)
    _audit_is_complete(load)


def _revoked_stays_revoked(load: Load) -> None:
    for refresh_token, access_token in load.book.revoked:
        for token in (refresh_token, access_token):
            assert load.post("/introspect", token=token).json() == {"active": False}
    for refresh_token, _ in load.book.revoked[-SAMPLE:]:
        answer = load.post("/token", grant_type="refresh_token", refresh_token=refresh_token)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def _audit_is_complete(load: Load) -> None:
    wanted = set(load.book.token_ids)
    found: Counter[str] = Counter()

    def all_there() -> bool:
        records = [json.loads(line) for line in load.server.watchword("audit", "export").splitlines()]
        issued = [
            one["data"]["token_id"] for one in records if one["event"] in ("token.issued", "token.refreshed")
        ]
        found.clear()
        found.update(issued)
        return wanted <= set(found)

    wait_until(all_there, seconds=HEALED_SECONDS, what="the audit")
    assert max(found.values()) == 1
    load.server.watchword("audit", "verify")


def _replaced(server: LiveServer, killed: list[int]) -> bool:
    with contextlib.suppress(StopIteration):
        workers = server.web_workers()
        return len(workers) == 2 and not set(workers) & set(killed)
    return False


def _new_worker(server: LiveServer, killed: int) -> bool:
    with contextlib.suppress(StopIteration):
        return server.background_worker() != killed
    return False
