"""kill -9 of the background worker, and of what it stands on: nothing is lost, nobody overtakes, the chain holds."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app import wiring
from app.domain import tenants
from app.infra import audit, audit_chain, outbox
from app.infra.audit import Event
from app.infra.log_tables import OutboxMessage
from app.infra.tenancy import SystemReason
from app.web.services import Services
from tests.conftest import EMBEDDED, PRODUCTION
from tests.faults.worker_process import TOPIC
from tests.live import ROOT, WATCHWORD, environment, new_deployment
from tests.servers import PostgresServer, RedisServer, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SUBJECTS, EACH = 4, 30


class Site:
    """A deployment without a web server, and its workers."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.folder = folder
        self.written = folder / "written"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.redis: RedisServer | None = None
        self.postgres: PostgresServer | None = None
        with services.tenancy.system(SystemReason.FIRST_START, write=True) as session:
            self.tenant_id = tenants.create(session, slug="faults", name="Faults").id

    def start_worker(self, command: list[str] | None = None) -> subprocess.Popen[bytes]:
        command = command or [sys.executable, "-m", "tests.faults.worker_process", str(self.written)]
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            worker = subprocess.Popen(
                command, env=environment(self.services.settings), cwd=ROOT, stdout=out, stderr=err
            )
        self.workers.append(worker)
        return worker

    def end_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)

    def put(self, number: int) -> None:
        for subject in range(SUBJECTS):
            with self.services.tenancy.session(self.tenant_id, write=True) as session:
                outbox.put(session, TOPIC, f"s{subject}", {"subject": f"s{subject}", "number": number})
                audit.record(session, self.event("user.created"))
        self.services.state.execute(audit.operation(self.event("token.issued")))

    def event(self, name: str) -> Event:
        return Event(name, tenant_id=self.tenant_id, outcome="success")

    def waiting(self) -> int:
        with self.services.tenancy.session(self.tenant_id) as session:
            return session.scalar(select(func.count()).select_from(OutboxMessage)) or 0

    def order(self) -> dict[str, list[int]]:
        """The numbers of each subject, in the order they were first delivered."""
        found: dict[str, list[int]] = {f"s{subject}": [] for subject in range(SUBJECTS)}
        for line in self.written.read_text().splitlines():
            subject, number = line.split()
            if int(number) not in found[subject]:
                found[subject].append(int(number))
        return found

    def records(self) -> list[dict[str, Any]]:
        with self.services.tenancy.session(self.tenant_id) as session:
            assert audit_chain.verify(session) is None
            return list(audit_chain.export(session))

    def check_complete(self, rounds: int) -> None:
        """Everything was delivered, in order; everything is in the chain, once, and on standard output."""
        wait_until(lambda: self.waiting() == 0, seconds=60, what="delivering everything")
        expected = rounds * (SUBJECTS + 1)
        wait_until(lambda: len(self.records()) == expected, seconds=60, what="appending everything")
        assert self.order() == {f"s{n}": list(range(rounds)) for n in range(SUBJECTS)}
        chain = [record["hash"] for record in self.records()]
        wait_until(lambda: self.printed()[-1:] == chain[-1:], seconds=60, what="printing everything")
        assert list(dict.fromkeys(self.printed())) == chain

    def printed(self) -> list[str]:
        """The hashes on standard output; a line cut short by a kill is none."""
        found = []
        for line in (self.folder / "stdout").read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(str(json.loads(line)["hash"]))
        return found


@pytest.fixture(params=[EMBEDDED, PRODUCTION])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        redis = postgres = None
        if request.param == PRODUCTION:
            redis = stack.enter_context(RedisServer(appendonly=True))
            postgres = stack.enter_context(PostgresServer())
        settings = stack.enter_context(
            new_deployment(request.param, tmp_path / "data", redis=redis, postgres=postgres)
        )
        services = wiring.build(settings)
        stack.callback(services.close)
        found = Site(services, tmp_path)
        found.redis, found.postgres = redis, postgres
        stack.callback(found.end_workers)
        yield found


def test_workers_killed_again_and_again_lose_nothing(site: Site) -> None:
    dice = random.Random(7)
    site.start_worker()
    for number in range(EACH):
        site.put(number)
        if number % 5 == 2:
            victim = site.start_worker()
            time.sleep(dice.uniform(0.0, 1.5))  # anywhere between starting and being busy
            os.kill(victim.pid, signal.SIGKILL)
        if number % 10 == 5:
            site.workers[0].kill()
            site.workers[0].wait(10)
            site.workers[0] = site.start_worker()
    site.check_complete(EACH)


@pytest.mark.parametrize("site", [PRODUCTION], indirect=True)
def test_a_worker_outlives_restarts_of_its_storage(site: Site) -> None:
    assert site.redis is not None
    assert site.postgres is not None
    worker = site.start_worker()
    site.put(0)
    site.check_complete(1)
    for server in (site.redis, site.postgres):
        server.kill()
        time.sleep(1.5)  # long enough for the loops to meet the fault
        assert worker.poll() is None
        server.start()
    wait_until(lambda: _puts(site, 1), seconds=30, what="storage to answer again")
    site.check_complete(2)
    assert worker.poll() is None


def _puts(site: Site, number: int) -> bool:
    """The first statement after a restart may meet a dead connection."""
    try:
        site.services.tenancy.ping()
        site.services.state.check()
    except Exception:
        return False
    site.put(number)
    return True


def test_sigterm_ends_a_worker_in_good_order(site: Site) -> None:
    worker = site.start_worker([*WATCHWORD, "worker"])
    with site.services.tenancy.session(site.tenant_id, write=True) as session:
        audit.record(session, site.event("user.created"))
    wait_until(lambda: len(site.records()) == 1, seconds=30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    said = [json.loads(line) for line in (site.folder / "stderr").read_text().splitlines()]
    assert [line["event"] for line in said if line["logger"] == "watchword.worker"] == [
        "worker started",
        "worker stopped",
    ]
