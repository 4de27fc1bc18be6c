"""The long form of `tests/fuzz`: many requests, straight into the application, nothing over a network.

    .venv/bin/python scripts/fuzz.py --requests 100000 --report docs/fuzz.md

Every answer is held to what `tests/fuzz/gun.py` checks. A request whose answer does not hold is printed with its seed;
the exit status then is 1. `--storage production` starts a PostgreSQL and a Redis of its own.
"""

import argparse
import collections
import contextlib
import dataclasses
import logging
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from app import wiring  # noqa: E402
from app.infra import migrations  # noqa: E402
from app.kernel.settings import Settings  # noqa: E402
from tests.conftest import EMBEDDED, PRODUCTION, database_urls, new_master_key  # noqa: E402
from tests.fuzz import gun  # noqa: E402
from tests.fuzz.shots import shots  # noqa: E402
from tests.fuzz.targets import TARGETS, Target  # noqa: E402
from tests.fuzz.world import World  # noqa: E402
from tests.servers import PostgresServer, RedisServer  # noqa: E402

ROUNDS = 10
"""Each round has a tenant of its own, so that what one round used up does not stop the next."""

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where nothing waits for a disk."""


@dataclasses.dataclass
class Tally:
    """What was sent and what came back."""

    statuses: dict[str, collections.Counter[int]] = dataclasses.field(default_factory=dict)
    slowest: dict[str, float] = dataclasses.field(default_factory=dict)
    faults: list[str] = dataclasses.field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(counter.total() for counter in self.statuses.values())

    def add(self, target: Target, answer: gun.Answer) -> None:
        """Count one answer."""
        self.statuses.setdefault(target.name, collections.Counter())[answer.status] += 1
        self.slowest[target.name] = max(self.slowest.get(target.name, 0.0), answer.seconds)

    def add_all(self, other: "Tally") -> None:
        """Count what another process sent."""
        for name, counter in other.statuses.items():
            self.statuses.setdefault(name, collections.Counter()).update(counter)
            self.slowest[name] = max(self.slowest.get(name, 0.0), other.slowest[name])
        self.faults += other.faults


def main() -> int:
    """Run, report, and say by the exit status whether everything held."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--storage", choices=(EMBEDDED, PRODUCTION), default=EMBEDDED)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--report", type=Path)
    given_options = options.parse_args()
    print(f"seed {given_options.seed}", flush=True)
    begun, tally = time.monotonic(), Tally()
    each, storage = given_options.requests // given_options.processes, given_options.storage
    with ProcessPoolExecutor(given_options.processes, multiprocessing.get_context("spawn")) as pool:
        seeds = [given_options.seed + 1000 * n for n in range(given_options.processes)]
        for found in pool.map(run, [each] * len(seeds), [storage] * len(seeds), seeds):
            tally.add_all(found)
    text = report(tally, given_options, time.monotonic() - begun)
    print(text)
    if given_options.report:
        given_options.report.write_text(text)
    return 1 if tally.faults else 0


def run(requests: int, storage: str, start: int) -> Tally:
    """So many requests to a deployment of their own."""
    logging.disable(logging.CRITICAL)
    tally = Tally()
    with deployment(storage) as configured:
        services = wiring.build(configured)
        for round_number in range(ROUNDS):
            world = World(services)
            for target in TARGETS:
                most = round(requests * target.share / shares() / ROUNDS)
                shoot(world, target, max(1, most), start + round_number, tally)
            print(
                f"{start + round_number}: {tally.requests} requests, {len(tally.faults)} faults", flush=True
            )
        services.close()
    return tally


def shares() -> int:
    """All shares together."""
    return sum(target.share for target in TARGETS)


@contextlib.contextmanager
def deployment(storage: str) -> Iterator[Settings]:
    """Settings of a migrated deployment in a folder that vanishes with it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watchword-fuzz-", dir=MEMORY)))
        configured = Settings(data_dir=folder, master_key=new_master_key(), log_level="ERROR")
        if storage == PRODUCTION:
            redis = stack.enter_context(RedisServer())
            postgres = stack.enter_context(PostgresServer())
            urls = database_urls(postgres, postgres.create_database())
            configured = dataclasses.replace(configured, redis_url=redis.url, **urls)
        migrations.upgrade(configured)
        yield configured


def shoot(world: World, target: Target, most: int, start: int, tally: Tally) -> None:
    """`most` requests to one target. What does not hold is noted, and the rest goes on."""

    @seed(start)
    @settings(
        max_examples=most,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        shot = data.draw(shots(target))
        try:
            answer = gun.send(world, shot)
            tally.add(target, answer)
            gun.check(world, shot, answer)
        except Exception as fault:
            tally.faults.append(f"{fault!r:.500}\n    {shot!r:.1500}")
            print(f"FAULT (seed {start}): {tally.faults[-1]}", flush=True)

    one()


def report(tally: Tally, given_options: argparse.Namespace, seconds: float) -> str:
    """The page for `docs/`."""
    said = ("requests", "storage", "seed", "processes")
    command = " ".join(["scripts/fuzz.py", *(f"--{name} {getattr(given_options, name)}" for name in said)])
    seen = sorted({status for counter in tally.statuses.values() for status in counter})
    lines = [
        "# Fuzzing, the long form",
        "",
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}: **{tally.requests} requests** in {seconds / 60:.0f} minutes,",
        "straight into the WSGI application.",
        "",
        "Each answer has to be below 500, come within five seconds, carry nothing of the request in a header (but",
        "`state` on its way to a registered redirect URI), send nobody to an address that is not registered, and show",
        f"nothing of the request as markup. Answers for which this did not hold: **{len(tally.faults)}**.",
        "",
        "| route | requests | " + " | ".join(map(str, seen)) + " | slowest, ms |",
        "|---|--:|" + "--:|" * (len(seen) + 1),
    ]
    for name in dict.fromkeys(target.name for target in TARGETS):
        counter = tally.statuses.get(name, collections.Counter())
        row = [
            name,
            counter.total(),
            *(counter[s] or "" for s in seen),
            round(tally.slowest.get(name, 0) * 1000),
        ]
        lines.append("| " + " | ".join(map(str, row)) + " |")
    lines += ["", "`nowhere` is every address that leads nowhere; the fast form of this runs in `make test`."]
    lines += ["", *(f"- `{fault}`" for fault in tally.faults[:50])] if tally.faults else []
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
