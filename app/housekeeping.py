"""The jobs nobody plans for: what the worker does now and then, so that nothing grows or ages for ever."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import delete

from app.domain import account_deletion, client_secrets, registered_clients, session_notices
from app.domain.models import (
    AdminLink,
    InitialAccessToken,
    MailboxMessage,
    OneTimeLink,
    OutboxMessage,
    RefreshFamily,
)
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit_appender import AuditAppender
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web import mails
from app.web.services import Services

Jobs = list[tuple[str, float, Callable[[], object]]]
"""Name, seconds between two rounds, work."""

KEPT_AFTER_EXPIRY = timedelta(days=7)
"""Spent rows are kept this long, for whoever wonders what became of them."""


def jobs(services: Services, appender: AuditAppender) -> Jobs:
    """The periodic jobs. Several workers may run each at the same time."""
    return [
        ("state expiry", 60.0, services.state.purge_expired),
        ("key maintenance", 300.0, lambda: keep_keys(services)),
        ("audit retention", 900.0, lambda: _keep_audit(services, appender)),
        ("leavers", 600.0, lambda: delete_leavers(services)),
        ("registered clients", 600.0, lambda: keep_registered_clients(services)),
        ("spent rows", 3600.0, lambda: _remove_spent(services)),
    ]


def delete_leavers(services: Services) -> None:
    """Delete the people whose days to change their mind are over."""
    for tenant in services.tenants.all():
        while _delete_one_leaver(services, tenant):
            pass


def _delete_one_leaver(services: Services, tenant: TenantContext) -> bool:
    with services.tenancy.session(tenant.id) as session:
        if not account_deletion.is_due(session):
            return False
    with mails.outside_requests(services), services.tenancy.session(tenant.id, write=True) as session:
        user = account_deletion.next_due(session)
        if user is not None:
            address, language = user.email, mails.language_of(user)
            event = audit.Event(
                "user.deleted",
                tenant_id=tenant.id,
                outcome="success",
                user_id=user.id,
                data={"target": user.id, "via": "worker"},
            )
            account_deletion.delete_for_good(session, user, revocations=services.revocations)
            audit.record(session, event)
            if address is not None and services.mailer.can_send:
                mails.send(session, tenant, "account_deleted", address, language)
        return user is not None


def keep_registered_clients(services: Services) -> None:
    """Note which clients that registered themselves were used, and remove those whose time is over."""
    for tenant in services.tenants.all():
        unused_days = tenant.settings.registration.client_rules.unused_days
        with services.tenancy.session(tenant.id) as session:
            unnoted = registered_clients.unnoted(session)
            is_any_due = registered_clients.is_any_due(session, unused_days)
        used = registered_clients.used_of(services.state, tenant.id, unnoted)
        if not used and not is_any_due:
            continue
        with services.tenancy.session(tenant.id, write=True) as session:
            registered_clients.carry_uses(session, used)
            for row in registered_clients.due(session, unused_days):
                data = {"target": row.client_id, "name": row.client_id, "via": "worker"}
                event = audit.Event(
                    "client.deleted",
                    tenant_id=tenant.id,
                    outcome="success",
                    client_id=row.client_id,
                    data=data,
                )
                audit.record(session, event)
                services.registered_clients.remove(session, row)


def keep_keys(services: Services) -> None:
    """Rotate the signing keys that are due; forget those no token is left of, and secrets whose grace is over."""
    for tenant in services.tenants.all():
        days = tenant.settings.keys.rotate_days
        rotated = services.keyring.rotate_due(tenant.id, days) if days else {}
        for algorithm, kid in rotated.items():
            with services.tenancy.session(tenant.id, write=True) as session:
                data = {"kid": kid, "algorithm": algorithm, "via": "schedule"}
                audit.record(
                    session, audit.Event("key.rotated", tenant_id=tenant.id, outcome="success", data=data)
                )
        services.keyring.expire_retired(tenant.id)
        with services.tenancy.session(tenant.id, write=True) as session:
            client_secrets.forget_former(session)


def _keep_audit(services: Services, appender: AuditAppender) -> None:
    for tenant in services.tenants.all():
        while appender.keep(tenant.id, tenant.settings.audit.retention_days):
            pass


def _remove_spent(services: Services) -> None:
    before = clock.now() - KEPT_AFTER_EXPIRY
    with services.tenancy.system(SystemReason.MAINTENANCE, write=True) as session:
        session.execute(delete(RefreshFamily).where(RefreshFamily.expires_at < before))
        session.execute(delete(AdminLink).where(AdminLink.expires_at < before))
        session.execute(delete(OneTimeLink).where(OneTimeLink.expires_at < before))
        session.execute(delete(InitialAccessToken).where(InitialAccessToken.expires_at < before))
        session.execute(delete(MailboxMessage).where(MailboxMessage.created_at < before))
        # An application that never answers would gather one for each sign-out.
        stale = (OutboxMessage.topic == session_notices.TOPIC, OutboxMessage.dead_at < before)
        session.execute(delete(OutboxMessage).where(*stale))
