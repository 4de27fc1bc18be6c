"""Logout tokens when receivers are down, slow or hostile, and when the worker dies: each arrives, at least once, and
nobody waits for anybody else."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import wiring
from app.domain import session_notices, tenants
from app.domain.models import OutboxMessage
from app.domain.tenants import TenantContext
from app.infra import audit_chain, heartbeat, jose, outbox
from app.infra.tenancy import SystemReason
from app.protocols.oauth.backchannel_logout import ATTEMPTS_REFUSED, TIMEOUT_SECONDS
from app.web.services import Services
from tests.conftest import EMBEDDED, PRODUCTION
from tests.live import ROOT, WATCHWORD, environment, new_deployment
from tests.protocol import parties
from tests.protocol.parties import Party
from tests.receiver import Answer, Received, Receiver
from tests.servers import PostgresServer, RedisServer, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

WITH_SHORT_LEASE = [sys.executable, "-m", "tests.faults.worker_process"]
PROMPT_SECONDS = 3.0
"""A quarter of a second where nothing else is going on."""


class Site:
    """A deployment without a web server, its workers, and people who sign in and out."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services, self.folder = services, folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.tenant = self.new_tenant("one")

    def new_tenant(self, slug: str) -> TenantContext:
        with self.services.tenancy.system(SystemReason.FIRST_START, write=True) as session:
            tenant_id = tenants.create(session, slug=slug, name=slug).id
        self.services.versions.touch()
        found = self.services.tenants.by_id(tenant_id)
        assert found is not None
        return found

    def client(self, uri: str, tenant: TenantContext | None = None) -> Party:
        return parties.new_client(self.services, tenant or self.tenant, backchannel_logout_uri=uri)

    def sign_in_and_out(self, *clients: Party, tenant: TenantContext | None = None, user_id: str = "") -> str:
        """Somebody uses the clients in one session and signs out. Gives the session's id."""
        where, parts = tenant or self.tenant, self.services
        user_id = user_id or parties.new_user(parts, where)
        session, _ = parts.sessions.start(where, user_id, 0, amr=["pwd"])
        for client in clients:
            parties.new_code(parts, where, client, user_id, session_id=session.sid)
        with parts.tenancy.session(where.id, write=True) as db:
            parts.sessions.end(db, where, session)
        return session.sid

    def start_worker(self, command: list[str] | None = None) -> subprocess.Popen[bytes]:
        started = time.monotonic()
        with (self.folder / "stderr").open("ab") as err:
            worker = subprocess.Popen(
                command or [*WATCHWORD, "worker"],
                env=environment(self.services.settings),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=err,
            )
        self.workers.append(worker)

        def is_working() -> bool:
            age = heartbeat.age_seconds(self.services.state)
            return age is not None and age < time.monotonic() - started - 1

        wait_until(is_working, seconds=60, what="starting a worker")
        return worker

    def end_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)

    def sids(self, receiver: Receiver, path: str = "/logout") -> list[str]:
        """The sessions a receiver was told of, in order."""
        keys = self.services.keyring.verification_keys(self.tenant.id)
        found = [jose.verify(got.token, keys, algorithms=("RS256",)) for got in receiver.got(path)]
        return [verified.claims["sid"] for verified in found]

    def waiting(self) -> int:
        return self.services.outbox.backlog().waiting.get(session_notices.TOPIC, 0)

    def dead(self) -> list[OutboxMessage]:
        with self.services.tenancy.session(self.tenant.id) as session:
            return outbox.dead_letters(session)

    def events(self) -> list[str]:
        with self.services.tenancy.session(self.tenant.id) as session:
            return [line["event"] for line in audit_chain.tail(session, 100)]


@pytest.fixture(params=[EMBEDDED, PRODUCTION])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        redis = postgres = None
        if request.param == PRODUCTION:
            redis = stack.enter_context(RedisServer())
            postgres = stack.enter_context(PostgresServer())
        settings = stack.enter_context(
            new_deployment(
                request.param, tmp_path / "data", redis=redis, postgres=postgres, fetch_allow=("127.0.0.1",)
            )
        )
        services = wiring.build(settings)
        stack.callback(services.close)
        found = Site(services, tmp_path)
        stack.callback(found.end_workers)
        yield found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def after(seconds: float) -> Callable[[Received], Answer]:
    def answer(_: Received) -> Answer:
        time.sleep(seconds)
        return 200, {}

    return answer


def test_a_receiver_that_was_down_is_told_when_it_is_up(site: Site) -> None:
    """Every session, in the order they ended for one person; nothing is given up on."""
    receiver = Receiver()
    client = site.client(receiver.url())
    user_id = parties.new_user(site.services, site.tenant)
    site.start_worker()
    ended = [site.sign_in_and_out(client, user_id=user_id) for _ in range(3)]
    time.sleep(2)
    assert site.waiting() == 3
    with receiver:
        wait_until(lambda: site.waiting() == 0, seconds=60, what="telling who was down")
    assert site.sids(receiver) == ended
    assert site.dead() == []


def test_what_ended_without_a_worker_is_told_by_the_next_one(site: Site, receiver: Receiver) -> None:
    """The notice is as durable as the end of the session."""
    ended = site.sign_in_and_out(site.client(receiver.url()))
    site.start_worker()
    wait_until(lambda: site.waiting() == 0, seconds=30)
    assert site.sids(receiver) == [ended]


def test_a_worker_killed_in_the_middle_loses_nothing(site: Site, receiver: Receiver) -> None:
    """It dies after the receiver got the token and before that was noted: told once more, never less than once."""
    receiver.answer = after(30)
    clients = [site.client(receiver.url(f"/{number}")) for number in range(3)]
    worker = site.start_worker(WITH_SHORT_LEASE)
    ended = site.sign_in_and_out(*clients)
    wait_until(lambda: len(receiver.received) >= 3, seconds=30)
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    assert site.waiting() == 3
    receiver.received.clear()
    receiver.answer = lambda _: (200, {})
    site.start_worker(WITH_SHORT_LEASE)
    wait_until(lambda: site.waiting() == 0, seconds=60)
    for number in range(3):
        assert set(site.sids(receiver, f"/{number}")) == {ended}


def test_slow_receivers_hold_up_nobody(site: Site, receiver: Receiver) -> None:
    """Four that never answer, with a dozen notices each: others, of the tenant and elsewhere, do not wait for them."""
    elsewhere = site.new_tenant("two")
    with Receiver() as tar:
        tar.answer = after(TIMEOUT_SECONDS + 30)
        slow = [site.client(tar.url(f"/{number}")) for number in range(4)]
        site.start_worker()
        for _ in range(12):
            site.sign_in_and_out(*slow)
        wait_until(lambda: len(tar.received) >= 4, seconds=30)
        quick = site.client(receiver.url())
        abroad = site.client(receiver.url("/abroad"), elsewhere)
        site.sign_in_and_out(abroad, tenant=elsewhere)
        started = time.monotonic()
        wait_until(lambda: bool(receiver.got("/abroad")), seconds=30, what="another tenant's logout token")
        assert receiver.got("/abroad")[0].at - started < PROMPT_SECONDS
        ended = site.sign_in_and_out(quick)
        started = time.monotonic()
        wait_until(lambda: bool(receiver.got("/logout")), seconds=30, what="the same tenant's logout token")
        # The slow ones have all there is for a tenant; each of them gives its place up in time, to one more of them at
        # most. Twelve times as long is what all of them would take.
        assert receiver.got("/logout")[0].at - started < 2 * TIMEOUT_SECONDS + PROMPT_SECONDS
    assert site.sids(receiver) == [ended]


def test_one_slow_receiver_is_not_felt(site: Site, receiver: Receiver) -> None:
    with Receiver() as tar:
        tar.answer = after(TIMEOUT_SECONDS + 30)
        slow, quick = site.client(tar.url()), site.client(receiver.url())
        site.start_worker()
        for _ in range(30):
            site.sign_in_and_out(slow)
        wait_until(lambda: bool(tar.received), seconds=30)
        for _ in range(5):
            known = len(receiver.received)
            site.sign_in_and_out(slow, quick)
            started = time.monotonic()
            wait_until(lambda n=known: len(receiver.received) > n, seconds=30)  # type: ignore[misc]
            assert receiver.received[-1].at - started < PROMPT_SECONDS
        assert len(tar.received) < 20, "few at a time"


def test_a_fan_out_is_parallel(site: Site, receiver: Receiver) -> None:
    """Eight clients that take half a second each hear of it within two."""
    receiver.answer = after(0.5)
    clients = [site.client(receiver.url(f"/{number}")) for number in range(8)]
    site.start_worker()
    started = time.monotonic()
    site.sign_in_and_out(*clients)
    wait_until(lambda: len(receiver.received) == 8, seconds=30)
    assert max(got.at for got in receiver.received) - started < PROMPT_SECONDS


def test_who_refuses_is_not_asked_for_ever(site: Site, receiver: Receiver) -> None:
    """A few attempts, then a dead letter that operators see, on record; retried by hand it is delivered after all."""
    receiver.answer = lambda _: (400, {})
    client = site.client(receiver.url())
    site.start_worker()
    ended = site.sign_in_and_out(client)
    wait_until(lambda: len(site.dead()) == 1, seconds=60, what="giving up")
    assert len(receiver.received) == ATTEMPTS_REFUSED
    (letter,) = site.dead()
    assert letter.topic == session_notices.TOPIC
    assert letter.last_error == f"{client.client_id}: answered 400"
    wait_until(lambda: {"logout.failed", "worker.dead_letter"} <= set(site.events()), seconds=30)
    receiver.answer = lambda _: (200, {})
    with site.services.tenancy.session(site.tenant.id, write=True) as session:
        outbox.retry(session, letter.id)
    wait_until(lambda: site.dead() == [] and site.waiting() == 0, seconds=30)
    assert site.sids(receiver) == [ended] * (ATTEMPTS_REFUSED + 1)
    wait_until(lambda: "logout.sent" in site.events(), seconds=30)


def test_redirects_and_the_inside_are_not_followed(site: Site, receiver: Receiver) -> None:
    """Contracts 19: where a client's server points is not where we go, and special-use addresses are refused."""
    receiver.answer = lambda got: (
        307 if got.path == "/logout" else 200,
        {"Location": receiver.url("/inside")},
    )
    site.start_worker()
    site.sign_in_and_out(site.client(receiver.url()), site.client("https://169.254.169.254/latest/meta-data"))
    wait_until(lambda: len(site.dead()) == 2, seconds=60, what="giving up on both")
    assert receiver.got("/inside") == []
    assert sorted(letter.attempts for letter in site.dead()) == [1, ATTEMPTS_REFUSED]


def test_a_worker_that_is_stopped_finishes_and_gives_back(site: Site, receiver: Receiver) -> None:
    """SIGTERM: what is under way ends as it ends, the rest waits for the next worker without a lost attempt."""
    receiver.answer = after(2)
    client = site.client(receiver.url())
    worker = site.start_worker()
    for _ in range(6):
        site.sign_in_and_out(client)
    wait_until(lambda: len(receiver.received) >= 2, seconds=30)
    worker.terminate()
    assert worker.wait(20) == 0
    told = len(receiver.received)
    assert site.waiting() == 6 - told
    with site.services.tenancy.session(site.tenant.id) as session:
        left = session.query(OutboxMessage).filter_by(topic=session_notices.TOPIC).all()
    assert {message.attempts for message in left} == {0}
