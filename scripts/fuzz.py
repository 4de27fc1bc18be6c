"""The long form of `tests/fuzz`: many requests with random seeds, in this process, nothing over a network.

    .venv/bin/python scripts/fuzz.py --requests 100000 --report docs/fuzz.md

Every answer is held to what `tests/fuzz/gun.py` checks. A request whose answer does not hold is printed with its seed;
the exit status then is 1. `--storage production` starts a PostgreSQL and a Redis of its own.
"""

import argparse
import collections
import contextlib
import dataclasses
import logging
import random
import sys
import tempfile
import time
from collections.abc import Iterator
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


def main() -> int:
    """Run, report, and say by the exit status whether everything held."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--storage", choices=(EMBEDDED, PRODUCTION), default=EMBEDDED)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options.add_argument("--report", type=Path)
    given_options = options.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {given_options.seed}", flush=True)
    tally, begun = Tally(), time.monotonic()
    with deployment(given_options.storage) as configured:
        services = wiring.build(configured)
        for round_number in range(ROUNDS):
            world = World(services)
            for target in TARGETS:
                most = round(given_options.requests * target.share / shares() / ROUNDS)
                shoot(world, target, max(1, most), given_options.seed + round_number, tally)
            print(
                f"round {round_number + 1}: {tally.requests} requests, {len(tally.faults)} faults", flush=True
            )
        services.close()
    text = report(tally, given_options, time.monotonic() - begun)
    print(text)
    if given_options.report:
        given_options.report.write_text(text)
    return 1 if tally.faults else 0


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
    def run(data: st.DataObject) -> None:
        shot = data.draw(shots(target))
        try:
            answer = gun.send(world, shot)
            tally.add(target, answer)
            gun.check(world, shot, answer)
        except Exception as fault:
            tally.faults.append(f"{fault!r:.500}\n    {shot!r:.1500}")
            print(f"FAULT (seed {start}): {tally.faults[-1]}", flush=True)

    run()


def report(tally: Tally, given_options: argparse.Namespace, seconds: float) -> str:
    """The page for `docs/`."""
    seen = sorted({status for counter in tally.statuses.values() for status in counter})
    lines = [
        "# Fuzzing, the long form",
        "",
        (
            f"`scripts/fuzz.py --requests {given_options.requests} --storage {given_options.storage} "
            f"--seed {given_options.seed}`, {datetime.now(UTC):%Y-%m-%d}: **{tally.requests} requests** in "
            f"{seconds / 60:.0f} minutes, in one process, straight into the WSGI application."
        ),
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
