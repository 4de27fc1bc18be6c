"""`watchword doctor`: what is wrong, and what to do, in sentences."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.first_start import ensure_default_tenant
from app.domain.models import MailboxMessage, OutboxMessage
from app.domain.tenants import TenantContext
from app.infra import heartbeat
from app.infra.key_tables import SigningKey
from app.web.services import Services
from tests.unit.commands.conftest import Done, Watchword


@pytest.fixture
def doctor(watchword: Watchword, services: Services) -> Any:
    """Examine a deployment that has its default tenant."""
    ensure_default_tenant(services.tenancy, services.keyring)

    def run(*options: str) -> Done:
        return watchword("doctor", "--json", *options)

    return run


def broken(done: Done) -> list[str]:
    return [finding["subject"] for finding in done.json["findings"] if finding["state"] == "broken"]


def told(done: Done, subject: str) -> str:
    return " ".join(f["sentence"] for f in done.json["findings"] if f["subject"] == subject)


def test_a_sound_deployment(doctor: Any, services: Services) -> None:
    heartbeat.beat(services.state, "a worker")
    done = doctor()
    assert (done.status, broken(done)) == (0, [])
    assert "opens what is sealed" in told(done, "master key")
    assert "is alive" in told(done, "worker")


def test_it_makes_nothing(doctor: Any, services: Services, tenant: TenantContext) -> None:
    """Keys of a tenant that has none yet, say."""
    assert doctor().status == 0
    assert services.keyring.list(tenant.id) == []


def test_a_key_that_cannot_be_opened(doctor: Any, services: Services, tenant: TenantContext) -> None:
    services.keyring.ensure(tenant.id, ("ES256",))
    try:
        with services.tenancy.session(tenant.id, write=True) as session:
            for key in session.scalars(select(SigningKey)):
                key.private_sealed = key.private_sealed[:-1] + bytes([key.private_sealed[-1] ^ 1])
        done = doctor()
        assert (done.status, broken(done)) == (1, ["master key"])
        assert "A signing key cannot be opened" in told(done, "master key")
    finally:
        with services.tenancy.session(tenant.id, write=True) as session:
            for key in session.scalars(select(SigningKey)):
                session.delete(key)


def test_bad_settings(watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_PORT", "none")
    done = watchword("doctor", "--json")
    assert (done.status, broken(done)) == (1, ["settings"])


def test_another_master_key(doctor: Any, watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.infra.master_key import new_master_line

    monkeypatch.setenv("WATCHWORD_MASTER_KEY", new_master_line())
    monkeypatch.setattr("tests.unit.commands.conftest.environment", lambda settings: {})
    done = watchword("doctor", "--json")
    assert done.status == 1
    assert "WATCHWORD_MASTER_KEY" in told(done, "master key") + told(done, "start")


def test_an_empty_folder(watchword: Watchword, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"WATCHWORD_{name}", raising=False)
    monkeypatch.setenv("WATCHWORD_DATA_DIR", str(tmp_path))
    done = watchword("doctor", "--json")
    assert (done.status, broken(done)) == (1, ["database"])
    assert "watchword migrate" in told(done, "database")


@pytest.mark.parametrize(
    ("variables", "subject", "sentence"),
    [
        ({"BASE_URL": "https://id.example.com"}, "base URL", "WATCHWORD_TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "trusted proxies", "Name the proxies alone"),
        ({"BASE_URL": "https://id.example.com"}, "mail", "WATCHWORD_SMTP_URL"),
        (
            {"BASE_URL": "https://id.example.com", "TLS_CERT": "/nowhere.pem", "TLS_KEY": "/nowhere.key"},
            "TLS",
            "cannot be used",
        ),
        ({"SMTP_URL": "smtp://127.0.0.1:1"}, "mail", "not taken"),
    ],
)
def test_what_is_broken_says_what_to_do(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], subject: str, sentence: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"WATCHWORD_{name}", value)
    done = doctor()
    assert done.status == 1
    assert subject in broken(done)
    assert sentence in told(done, subject)


def test_mail_really_leaves(doctor: Any, services: Services) -> None:
    from sqlalchemy import select

    done = doctor("--mail", "ops@example.com")
    assert done.status == 0
    assert "has left" in told(done, "mail")
    with services.tenancy.session(services.tenants.default().id) as session:
        kept = session.scalars(select(MailboxMessage.recipient)).all()
        topics = session.scalars(select(OutboxMessage.topic)).all()
    assert "ops@example.com" in kept
    assert "mail" not in topics
    assert "e-mail address" in told(doctor("--mail", "nowhere"), "mail")
