import json

from app.domain import personal_data, users
from app.domain.models import Authenticator, OneTimeLink, RecoveryCode, User
from app.domain.personal_data import PARTS
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit_appender import AuditAppender
from app.infra.db import Base, TenantScoped
from app.infra.log_tables import AuditRecord
from app.kernel import clock
from app.web.services import Services
from tests.protocol.browserless import new_person

ELSEWHERE = {AuditRecord}
"""Read by a function of their own."""


def test_every_table_about_people_has_a_part() -> None:
    about = {
        mapper.class_
        for mapper in Base.registry.mappers
        if issubclass(mapper.class_, TenantScoped) and "user_id" in mapper.columns
    }
    assert about - ELSEWHERE <= {part.model for part in PARTS}
    assert User in {part.model for part in PARTS}


def test_what_was_done_to_a_person_is_told_once_and_not_by_whom(
    services: Services, tenant: TenantContext
) -> None:
    """On the chain, and on its way there."""
    alice, bob = new_person(services, tenant, "alice"), new_person(services, tenant, "bob")

    def note(name: str, user_id: str, target: str) -> None:
        event = audit.Event(
            name,
            tenant_id=tenant.id,
            outcome="success",
            user_id=user_id,
            email="bob@example.com",
            ip="203.0.113.77",
            data={"target": target, "via": "api"},
        )
        with services.tenancy.session(tenant.id, write=True) as session:
            audit.record(session, event)

    def told() -> list[str]:
        text = "".join(personal_data.export(services.tenancy, tenant.id, alice, []))
        assert bob not in text
        assert "203.0.113.77" not in text
        return [record["event"] for record in json.loads(text)["audit"]]

    note("user.unlocked", bob, alice)
    note("user.disabled", bob, bob)
    assert told() == ["user.unlocked"]
    AuditAppender(services.tenancy, services.state, (), consumer="test").append(tenant.id, [])
    note("user.enabled", bob, alice)
    assert told() == ["user.unlocked", "user.enabled"]


def test_all_of_a_person_and_nothing_of_others_or_secret(services: Services, tenant: TenantContext) -> None:
    alice, bob = new_person(services, tenant, "alice"), new_person(services, tenant, "bob")
    with services.tenancy.session(tenant.id, write=True) as session:
        for user_id, name in ((alice, "Phone of A"), (bob, "Phone of B")):
            row = {"user_id": user_id, "name": name, "kind": "totp", "confirmed_at": clock.now()}
            session.add(Authenticator(**row, secret_sealed=b"sealed-canary"))
        session.add_all(RecoveryCode(user_id=alice, code_hash=f"hash-canary-{n}") for n in range(450))
        session.add(
            OneTimeLink(
                purpose="verify_email", token_hash="hash-canary", user_id=alice, expires_at=clock.after(60)
            )
        )
        user = users.get(session, alice)
        assert user is not None
        password_hash = user.password_hash or "none"
    text = "".join(personal_data.export(services.tenancy, tenant.id, alice, []))
    found = json.loads(text)
    assert [row["username"] for row in found["account"]] == ["alice"]
    assert [row["name"] for row in found["authenticators"]] == ["Phone of A"]
    assert len({row["id"] for row in found["recovery_codes"]}) == 450
    assert [row["purpose"] for row in found["links"]] == ["verify_email"]
    assert set(found) == {"exported_at", "access", "sessions", "audit", *(part.name for part in PARTS)}
    for secret in ("canary", password_hash, "Phone of B", bob, tenant.id):
        assert secret not in text
