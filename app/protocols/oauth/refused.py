"""Putting refusals on record: each with its reason, and not so many that a broken client fills the audit."""

import contextlib
from collections.abc import Iterator

from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import network_of
from app.infra.state import Increment, Key
from app.kernel.errors import Problem
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Executes

RECORDED, SECONDS = 60, 60
"""So many refusals of a client are put on record in so many seconds."""


def record(
    state: Executes,
    event: str,
    *,
    tenant_id: str,
    client_id: str | None,
    reason: str,
    ip: str,
    user_agent: str | None,
    data: dict[str, str],
    is_known: bool = True,
) -> None:
    """Record that a client was refused something. One that is not known may say what it likes: its network counts."""
    whose = client_id if is_known and client_id else f"net:{network_of(ip)}"
    state.execute(
        Increment(Key(tenant_id, "recorded-refusals", whose), SECONDS, limit=RECORDED),
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


def record_unread(
    state: Executes, error: OAuthError, *, tenant_id: str, address: str, user_agent: str | None
) -> None:
    """Record that a certificate could not be read, before anybody knows whose it is to be."""
    with contextlib.suppress(Problem):  # The refusal stands, whether or not the record can be written.
        record(
            state,
            "client.authentication.fail",
            tenant_id=tenant_id,
            client_id=None,
            reason=error.code,
            ip=address,
            user_agent=user_agent,
            data={"endpoint": "edge"},
            is_known=False,
        )


@contextlib.contextmanager
def authorization(state: Executes, request: ProtocolRequest, client_id: str) -> Iterator[None]:
    """Put on record what a client that authenticated is refused inside, where it asks for an authorization."""
    try:
        yield
    except OAuthError as error:
        if error.status == 400:
            record(
                state,
                "authorization.refused",
                tenant_id=request.tenant.id,
                client_id=client_id,
                reason=error.code,
                ip=request.remote_address,
                user_agent=request.user_agent,
                data={"endpoint": request.endpoint, "error": error.error},
            )
        raise
