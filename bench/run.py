"""The table of costs: CPU per request beside H (an empty Flask route) and one signature, interleaved, on both servers.

`python -m bench.run [--rounds 15] [--requests 1000] [--offered 50] [--json FILE] [--markdown FILE]`
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import deployments, load, processes, scenarios, storm
from bench.deployments import Running
from bench.scenarios import Scenario

CONNECTIONS = 16
"""So many that two workers always find the next request waiting. With fewer, a quiet machine sends its cores to sleep
between two requests, and waking them up is what would be measured: of a request over in microseconds, most."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; times in microseconds."""

    server: str
    configuration: str
    scenario: str
    cpu_min: float
    cpu_median: float
    store_cpu_median: float
    p50: float
    p99: float
    per_second: float
    in_h_min: float
    in_h: float
    """Multiples of the same server's H: the least of the one by the least of the other, and the medians."""


@dataclass(slots=True)
class Measured:
    """What one scenario showed, a value a round."""

    cpu: list[float]
    store_cpu: list[float]
    p50: list[float]
    p99: list[float]
    per_second: list[float]


def measure(running: Running, scenario: Scenario, requests: int) -> tuple[float, float, load.Sample]:
    """CPU seconds per request of the web processes and of the stores, and the sample."""
    prepared = scenario.prepare(running, requests)
    share = max(1, len(prepared) // CONNECTIONS)

    def part(worker: int) -> Iterator[bytes]:
        return iter(prepared[worker * share : (worker + 1) * share])

    web, stores = processes.tree(running.web_pid), running.store_pids()
    before, before_stores = processes.cpu_seconds(web), processes.cpu_seconds(stores)
    sample = load.run(running.url, part, connections=CONNECTIONS)
    after, after_stores = processes.cpu_seconds(web), processes.cpu_seconds(stores)
    unexpected = {s: n for s, n in sample.statuses.items() if s != scenario.expected}
    if unexpected:
        raise SystemExit(f"{running.name}, {scenario.name}: answered {unexpected}, not {scenario.expected}")
    count = len(sample.latencies)
    return (after - before) / count, (after_stores - before_stores) / count, sample


def rounds(runnings: list[Running], count: int, requests: int) -> dict[tuple[str, str, str], Measured]:
    """Every scenario on every deployment, interleaved, `count` times over, after one to warm up."""
    table: dict[tuple[str, str, str], Measured] = {}
    for number in range(count + 1):
        for running in runnings:
            for scenario in scenarios.of(running):
                size = max(50, int(requests * scenario.weight)) if number else 50
                cpu, store_cpu, sample = measure(running, scenario, size)
                if not number:
                    continue
                key = (running.server, running.configuration, scenario.name)
                row = table.setdefault(key, Measured([], [], [], [], []))
                row.cpu.append(cpu * 1e6)
                row.store_cpu.append(store_cpu * 1e6)
                row.p50.append(sample.percentile(0.50) * 1e6)
                row.p99.append(sample.percentile(0.99) * 1e6)
                row.per_second.append(sample.per_second)
        print(f"round {number} of {count} done", file=sys.stderr, flush=True)
    return table


def rows(table: dict[tuple[str, str, str], Measured]) -> list[Row]:
    """The table, each cost also as a multiple of its own server's H."""
    yardstick = {server: m.cpu for (server, _, name), m in table.items() if name == scenarios.H.name}
    return [
        Row(
            server,
            configuration,
            scenario,
            round(min(m.cpu)),
            round(statistics.median(m.cpu)),
            round(statistics.median(m.store_cpu)),
            round(statistics.median(m.p50)),
            round(statistics.median(m.p99)),
            round(statistics.median(m.per_second)),
            round(min(m.cpu) / min(yardstick[server]), 2),
            round(statistics.median(m.cpu) / statistics.median(yardstick[server]), 2),
        )
        for (server, configuration, scenario), m in sorted(table.items())
    ]


def markdown(found: list[Row], signatures: dict[str, float]) -> str:
    """The table as it stands in the documentation."""
    head = (
        "| server | configuration | request | CPU us, min / median | stores, us | p50 us | p99 us | per s "
        "| in H, min / median |"
    )
    lines = [head, "|---" * 9 + "|"]
    lines += [
        f"| {r.server} | {r.configuration} | {r.scenario} | {r.cpu_min:.0f} / {r.cpu_median:.0f} | "
        f"{r.store_cpu_median:.0f} | {r.p50:.0f} | {r.p99:.0f} | {r.per_second:.0f} "
        f"| {r.in_h_min:.2f} / {r.in_h:.2f} |"
        for r in found
    ]
    signed = ", ".join(f"{alg} {seconds * 1e6:.0f}" for alg, seconds in signatures.items())
    return "\n".join([*lines, "", f"One signature, us: {signed}.", "", *comparisons(found), ""])


def comparisons(found: list[Row]) -> list[str]:
    """What one request costs beside another, by the least and by the medians."""
    rows = {(r.server, r.configuration, r.scenario): r for r in found}
    lines = ["| server | configuration | request | beside | CPU, min / median |", "|---" * 5 + "|"]
    for (server, configuration, name), row in rows.items():
        for beside in scenarios.BESIDE.get(name, ()):
            other = rows[server, configuration, beside]
            least, middle = row.cpu_min / other.cpu_min, row.cpu_median / other.cpu_median
            lines.append(f"| {server} | {configuration} | {name} | {beside} | {least:.2f} / {middle:.2f} |")
    return lines if len(lines) > 2 else []


def main() -> int:
    """Run the bench; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--offered", type=float, default=50.0, help="sign-ins a second in the storm; 0: none")
    parser.add_argument("--storm-seconds", type=float, default=10.0)
    parser.add_argument("--servers", default="granian,gunicorn")
    parser.add_argument("--configurations", default="bare,embedded,production")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    chosen = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        runnings = [
            stack.enter_context(deployments.start(server, configuration))
            for server in chosen.servers.split(",")
            for configuration in ("yardstick", *chosen.configurations.split(","))
        ]
        found = rows(rounds(runnings, chosen.rounds, chosen.requests))
    signatures = scenarios.signature_costs()
    storms = list(_storms(chosen)) if chosen.offered else []
    text = markdown(found, signatures) + ("\n" + storm.markdown(storms) if storms else "")
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text, "utf-8")
    if chosen.json:
        chosen.json.write_text(
            json.dumps(
                {
                    "rows": [asdict(r) for r in found],
                    "signatures": signatures,
                    "storms": [asdict(s) for s in storms],
                },
                indent=1,
            )
        )
    print(f"took {time.monotonic() - started:.0f} s", file=sys.stderr)
    return _gates(found, storms, chosen.offered)


def _storms(chosen: argparse.Namespace) -> Iterator[storm.Storm]:
    """As many as the gate says, and again as many as no two cores can serve; each on a server of its own."""
    for configuration in chosen.configurations.split(","):
        for offered in (chosen.offered, chosen.offered * 4) if configuration != "bare" else ():
            with deployments.start("granian", configuration) as running:
                yield storm.run(running, offered, chosen.storm_seconds)
            print(f"storm of {offered:.0f} a second on {configuration} done", file=sys.stderr, flush=True)


def _gates(found: list[Row], storms: list[storm.Storm], offered: float) -> int:
    """Say which gate is missed on granian, and make the exit status tell.

    Costs are judged by the least of all rounds: what a request costs while nobody disturbs it. What else runs on the
    machine only ever adds, and adds most to what is cheapest.
    """
    limits = {
        ("bare", "client credentials"): 1.5,
        ("bare", "discovery"): 0.3,
        ("bare", "jwks"): 0.3,
        ("bare", "introspection"): 1.4,
    }
    missed = [
        f"{r.configuration} {r.scenario}: {r.in_h_min:.2f} H, the gate is {limits[r.configuration, r.scenario]} H"
        for r in found
        if r.server == "granian" and r.in_h_min > limits.get((r.configuration, r.scenario), float("inf"))
    ] + storm.missed(storms, offered)
    print("\n".join(missed) or "every gate is met", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
