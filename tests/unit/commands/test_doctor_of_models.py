"""`watchword doctor` about the models of passkeys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.domain import tenants, users
from app.domain.models import Authenticator, Tenant
from app.domain.tenants import TenantContext
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web.services import Services
from tests.manufacturer import Certified, Manufacturer, authority, blob, entry, signer, written
from tests.unit.commands.conftest import Done
from tests.unit.commands.test_doctor import broken, doctor, told

__all__ = ["doctor"]

MODEL, OTHER = UUID(int=0xE1), UUID(int=0xE2)


@pytest.fixture
def policy(services: Services, tenant: TenantContext) -> Iterator[Any]:
    """Decide about passkeys; nothing of it is left afterwards."""

    def decide(**passkeys: Any) -> None:
        with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            row = session.scalars(select(Tenant).where(Tenant.id == tenant.id)).one()
            tenants.update_settings(row, {"authentication": {"passkeys": passkeys}})
        services.versions.touch()

    yield decide
    decide(attestation="none", allowed_aaguids=[])


def about(done: Done, tenant: TenantContext) -> str:
    """What is said of the tenant."""
    sentences = [f["sentence"] for f in done.json["findings"] if f["subject"] == "passkeys"]
    return " ".join(each for each in sentences if tenant.slug in each)


def metadata(monkeypatch: pytest.MonkeyPatch, folder: Path, root: Certified, content: bytes) -> None:
    files = written(folder, blob=content, root=root.pem)
    monkeypatch.setenv("WATCHWORD_FIDO_METADATA", str(files["blob"]))
    monkeypatch.setenv("WATCHWORD_FIDO_METADATA_ROOT", str(files["root"]))


def test_a_list_that_is_what_authenticators_claim(doctor: Any, policy: Any, tenant: TenantContext) -> None:
    assert about(doctor(), tenant) == ""
    policy(attestation="direct", allowed_aaguids=[str(MODEL)])
    done = doctor()
    assert "what authenticators claim to be" in about(done, tenant)
    assert "passkeys" not in broken(done)


def test_proof_that_nothing_is_there_for(
    doctor: Any, policy: Any, tenant: TenantContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy(attestation="verified")
    assert "nothing to prove them with" in about(doctor(), tenant)
    roots = written(tmp_path, roots=Manufacturer().root.pem)["roots"]
    monkeypatch.setenv("WATCHWORD_ATTESTATION_ROOTS", str(roots))
    done = doctor()
    assert about(done, tenant) == ""
    assert "that prove their models: 1" in told(done, "passkeys")


def test_passkeys_the_settings_refuse_are_counted(
    doctor: Any, policy: Any, services: Services, tenant: TenantContext
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        for name, models in (("alice", [MODEL, OTHER, OTHER]), ("bob", [OTHER])):
            user = users.create(session, username=name)
            for number, model in enumerate(models):
                data = {"aaguid": str(model)}
                row = Authenticator(user_id=user.id, kind="passkey", name=name, lookup=f"{name}{number}")
                row.data, row.confirmed_at = data, clock.now()
                session.add(row)
    policy(attestation="direct", allowed_aaguids=[str(MODEL)])
    assert "3 passkeys of 2 people" in about(doctor(), tenant)


def test_the_metadata_and_when_they_are_overdue(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = authority("Example Root")
    entries = entry(MODEL, root), entry(OTHER, root, reports=["REVOKED"])
    metadata(monkeypatch, tmp_path, root, blob(signer(root), *entries))
    assert "know 2 models, 1 of them reported as broken" in told(doctor(), "passkeys")
    metadata(monkeypatch, tmp_path, root, blob(signer(root), *entries, next_update="2026-01-01"))
    assert "the next were due on 2026-01-01" in told(doctor(), "passkeys")


def test_metadata_that_are_not_to_be_believed(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metadata(monkeypatch, tmp_path, authority("Example Root"), blob(signer(authority("Example Root"))))
    done = doctor()
    assert (done.status, broken(done)) == (1, ["start"])
    assert "do not lead to WATCHWORD_FIDO_METADATA_ROOT" in told(done, "start")


def test_metadata_without_their_root(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_FIDO_METADATA", "/nowhere")
    done = doctor()
    assert (done.status, broken(done)) == (1, ["settings"])
    assert "go together" in told(done, "settings")
