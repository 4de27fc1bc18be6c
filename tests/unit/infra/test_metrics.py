"""Metrics add up over processes, forget the gauges of the dead, and cost microseconds."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.infra import metrics
from app.infra.outbox import Backlog

NOTHING = Backlog({}, {}, 0.0)


def samples(text: bytes | str) -> dict[tuple[str, ...], float]:
    told = text.decode() if isinstance(text, bytes) else text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }


def run(folder: Path, code: str) -> str:
    """A process of its own, for the library chooses how to count when it is imported."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from app.infra import metrics; from app.infra.outbox import Backlog\n" + code,
        ],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


SCRAPE = "print(metrics.exposition(Backlog({}, {}, 0.0), None).decode())"


def test_requests_are_counted_by_endpoint_and_status() -> None:
    before = samples(metrics.exposition(NOTHING, None))
    metrics.observe("unit_test", "GET", 200, 0.003)
    metrics.observe("unit_test", "GET", 200, 0.3)
    metrics.observe("unit_test", "GET", 400, 0.003)
    after = samples(metrics.exposition(NOTHING, None))
    assert after["watchword_requests_total", "200", "unit_test"] == 2 + before.get(
        ("watchword_requests_total", "200", "unit_test"), 0
    )
    assert after["watchword_requests_total", "400", "unit_test"] >= 1
    assert after["watchword_request_seconds_bucket", "0.005", "unit_test"] >= 2


def test_the_other_counters() -> None:
    metrics.issued("client_credentials")
    metrics.refused("client.secret_wrong")
    metrics.delivered("mail", "failed")
    metrics.appended(3)
    metrics.hashing_started()
    metrics.hashing_started()
    metrics.hashing_ended()
    metrics.hashing_refused()
    found = samples(metrics.exposition(NOTHING, None))
    assert found["watchword_tokens_issued_total", "client_credentials"] >= 1
    assert found["watchword_refusals_total", "client.secret_wrong"] >= 1
    assert found["watchword_deliveries_total", "failed", "mail"] >= 1
    assert found["watchword_audit_records_total",] >= 3
    assert found["watchword_password_hashes_running",] >= 1
    assert found["watchword_password_hashes_refused_total",] >= 1
    metrics.hashing_ended()


def test_what_is_asked_at_scraping() -> None:
    found = samples(metrics.exposition(Backlog({"mail": 4}, {"audit": 2}, 9.5), 3))
    assert found["watchword_outbox_waiting", "mail"] == 4
    assert found["watchword_outbox_dead_letters", "audit"] == 2
    assert found["watchword_outbox_oldest_seconds",] == 9.5
    assert found["watchword_worker_up",] == 1
    assert samples(metrics.exposition(NOTHING, None))["watchword_worker_up",] == 0
    assert ("watchword_worker_up",) not in samples(metrics.exposition(None, None))


def test_processes_add_up_and_the_dead_leave_no_gauge(tmp_path: Path) -> None:
    for _ in range(2):
        run(tmp_path, "metrics.observe('token', 'GET', 200, 0.01); metrics.hashing_started()")
    assert list(tmp_path.glob("gauge_livesum_*.db"))
    found = samples(run(tmp_path, "metrics.observe('token', 'GET', 200, 0.01)\n" + SCRAPE))
    assert found["watchword_requests_total", "200", "token"] == 3
    assert found.get(("watchword_password_hashes_running",), 0) == 0
    assert len(list(tmp_path.glob("gauge_livesum_*.db"))) <= 1


def test_a_living_process_keeps_its_gauge(tmp_path: Path) -> None:
    found = samples(run(tmp_path, "metrics.hashing_started()\n" + SCRAPE))
    assert found["watchword_password_hashes_running",] == 1


def test_counting_a_request_is_cheap(tmp_path: Path) -> None:
    """Under 10 us with files shared between processes; the bound here leaves room for a busy machine."""
    took = float(
        run(
            tmp_path,
            "import timeit\nwork = lambda: metrics.observe('token', 'GET', 200, 0.003)\n"
            "print(min(timeit.repeat(work, number=500, repeat=7)) / 500 * 1e6)",
        )
    )
    assert took < 30
