"""Probes and the scrape."""

import dataclasses
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import wiring
from app.infra import heartbeat
from app.web import application
from app.web.health import is_near
from tests.conftest import Http, new_master_key, new_tenant

if TYPE_CHECKING:
    from app.domain.tenants import TenantContext
    from app.kernel.settings import Settings
    from app.web.services import Services

NEAR = {"REMOTE_ADDR": "127.0.0.1"}


def test_live_says_that_the_process_answers(http: Http) -> None:
    answer = http.get("/health/live", raw=True)
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_says_that_storage_answers(http: Http) -> None:
    answer = http.get("/health/ready", raw=True)
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "failing": []})


def test_probes_answer_under_any_name(http: Http) -> None:
    assert http.get("/health/ready", raw=True, headers={"Host": "10.1.2.3:9999"}).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_other_methods_are_refused(http: Http, path: str) -> None:
    answer = http.post(path, raw=True)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_has_the_length_and_no_body(http: Http) -> None:
    answer = http.request("HEAD", "/health/live", raw=True)
    assert answer.data == b""
    assert answer.headers["Content-Length"] == "15"


@pytest.fixture
def unmigrated(settings: "Settings", tmp_path: Path) -> Iterator["Services"]:
    """A server whose database is empty and whose Redis does not answer."""
    broken = dataclasses.replace(
        settings,
        data_dir=tmp_path,
        database_url="",
        master_key=new_master_key(),
        redis_url="redis://127.0.0.1:1/0",
    )
    services = wiring.build(broken)
    yield services
    services.close()


def test_ready_names_what_fails_and_live_does_not_care(
    unmigrated: "Services", tenant: "TenantContext"
) -> None:
    http = Http(application.build(unmigrated), tenant)
    answer = http.get("/health/ready", raw=True)
    assert answer.status_code == 503
    assert answer.json == {"status": "unavailable", "failing": ["migrations", "state"]}
    assert http.get("/health/live", raw=True).status_code == 200


def test_metrics_tell_requests_backlog_and_worker(http: Http, services: "Services") -> None:
    http.get("/jwks")
    heartbeat.beat(services.state, "a worker")
    answer = http.get("/metrics", raw=True)
    assert answer.status_code == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["watchword_requests_total", "200", "jwks"] >= 1
    assert samples["watchword_request_seconds_count", "jwks"] >= 1
    assert samples["watchword_worker_up",] == 1.0
    assert ("watchword_outbox_oldest_seconds",) in samples


def test_metrics_survive_storage_that_does_not_answer(
    unmigrated: "Services", tenant: "TenantContext"
) -> None:
    answer = Http(application.build(unmigrated), tenant).get("/metrics", raw=True)
    assert answer.status_code == 200
    assert "watchword_outbox_oldest_seconds" not in answer.text


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}]
)
def test_metrics_are_not_told_through_a_proxy(http: Http, headers: dict[str, str]) -> None:
    assert http.get("/metrics", raw=True, headers=headers).status_code == 403


def test_metrics_are_not_told_to_strangers(http: Http) -> None:
    answer = http.get("/metrics", raw=True, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 403
    assert "watchword_" not in answer.text


@pytest.mark.parametrize(
    ("peer", "near"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", True),
        ("10.0.1.7", False),
        ("192.0.2.1", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_near_is_this_machine_or_a_trusted_network(peer: str, near: bool) -> None:
    assert is_near(peer, (ipaddress.ip_network("10.0.0.0/24"),)) is near


def test_no_label_tells_of_a_tenant_client_or_path(http: Http, services: "Services") -> None:
    new_tenant(services, "metrics-canary")
    http.get("/t/metrics-canary/some-secret-path", raw=True)
    text = http.get("/metrics", raw=True).text
    assert "canary" not in text
    assert "some-secret-path" not in text
