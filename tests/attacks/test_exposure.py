"""What is meant for this machine alone, asked for from elsewhere."""

import pytest

from tests.conftest import Http


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "10.0.0.5", ""])
def test_the_mailbox_is_shown_to_nobody_elsewhere(http: Http, address: str) -> None:
    """A development server in a container listens on every address; the Host header is the attacker's to choose."""
    assert http.get("/dev/mailbox").status_code == 200
    answer = http.get("/dev/mailbox/" + "0" * 36, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 404
    answer = http.get("/dev/mailbox", environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 404
    forwarded = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    answer = http.get("/dev/mailbox", environ_base={"REMOTE_ADDR": address}, headers=forwarded)
    assert answer.status_code == 404


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "10.0.0.5", "", "127.0.0.1.evil.example"])
def test_metrics_are_told_to_nobody_elsewhere(http: Http, address: str) -> None:
    answer = http.get("/metrics", raw=True, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 403
    assert "watchword" not in answer.text.lower().replace("watchword_trusted_proxies", "")


def test_health_tells_names_and_nothing_else(http: Http) -> None:
    answer = http.get("/health/ready", raw=True, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.json == {"status": "ok", "failing": []}
