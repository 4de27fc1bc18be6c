"""Putting refusals on record: each with its reason, and not so many that a broken client fills the audit."""

from app.infra import audit
from app.infra.audit import Event
from app.infra.state import Increment, Key
from app.protocols.oauth.trip import Executes

RECORDED, SECONDS = 60, 60
"""So many refusals of a client are put on record in so many seconds."""


def record(
    state: Executes,
    event: str,
    *,
    tenant_id: str,
    client_id: str,
    reason: str,
    ip: str,
    user_agent: str | None,
    data: dict[str, str],
) -> None:
    """Record that a client was refused something."""
    state.execute(
        Increment(Key(tenant_id, "recorded-refusals", client_id), SECONDS, limit=RECORDED),
        audit.operation(
            Event(
                event,
                tenant_id=tenant_id,
                outcome="failure",
                reason=reason,
                ip=ip,
                user_agent=user_agent,
                client_id=client_id,
                data=data,
            )
        ),
    )
