"""What a person's answer means for the device that waits for it (RFC 8628 section 3.3)."""

from dataclasses import replace

from sqlalchemy.orm import Session

from app.domain import grants
from app.domain.codes import CodeRecord
from app.domain.devices_pending import PENDING
from app.domain.models import Grant
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.protocols.oauth.responses import Redirection
from app.protocols.oauth.steps import refusals
from app.web import pages


def let_in(
    where: TenantContext, device_id: str, db: Session, grant: Grant, record: CodeRecord
) -> Redirection:
    """Give a waiting device what its tokens are made of, under the grant just written. Raises `OAuthError` when it
    waits no longer.

    Within the transaction: of several windows the first lets it in, and the others make no grant. Were the transaction
    to fail after all, there is no grant to redeem.
    """
    devices, came_from = pages.services().devices, pages.origin()
    found = devices.find(where.id, device_id)
    if found is None or found.expired:
        raise refusals.DEVICE_GONE()
    # The person knows the device by what it is, not by the browser they let it in with.
    grants.place(grant, found.ip, found.user_agent)
    event = Event(
        "device.allowed",
        tenant_id=where.id,
        outcome="success",
        user_id=record.user_id,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
        session_id=record.session_id,
        client_id=record.client_id,
        grant_id=record.grant_id,
        data={
            "scopes": list(record.scopes),
            "resources": list(record.resources),
            "device_ip": found.ip,
            "device_user_agent": found.user_agent,
        },
    )
    audit.record(db, event)
    db.flush()
    if not devices.decide(where.id, found, replace(record, expires_at=found.expires_at)):
        raise refusals.DEVICE_GONE()
    return Redirection(pages.url("device_done"))


def keep_out(where: TenantContext, device_id: str) -> Redirection:
    """Tell a device that nobody lets it in, if nothing was decided yet."""
    devices = pages.services().devices
    found = devices.find(where.id, device_id)
    if found is not None and found.status == PENDING:
        devices.decide(where.id, found, None)
    return Redirection(pages.url("device_refused"))
