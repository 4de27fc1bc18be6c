"""Every endpoint of the API, one row each: route, check, answer and description come from it."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from app.domain.resources import API_ADMIN, API_READ
from app.web.api import audit, dead_letters, me, tenant
from app.web.api.bodies import (
    AuditPage,
    DeadLetterPage,
    Me,
    NoQuery,
    Page,
    Retry,
    TenantView,
)

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """One endpoint. `path` is in Flask's notation, below `PREFIX`."""

    name: str
    method: str
    path: str
    scope: str | None
    """What the token has to carry besides being meant for the issuer."""
    permission: str | None
    """What the person has to hold through a role."""
    handler: Callable[..., BaseModel]
    query: type[BaseModel]
    answer: type[BaseModel]
    summary: str
    status: int = 200


ENDPOINTS: tuple[ApiEndpoint, ...] = (
    ApiEndpoint(
        "me",
        "GET",
        "/me",
        None,
        None,
        me.show,
        NoQuery,
        Me,
        "Who the access token speaks of, and what they may do.",
    ),
    ApiEndpoint(
        "tenant",
        "GET",
        "/tenant",
        API_READ,
        "tenant:read",
        tenant.show,
        NoQuery,
        TenantView,
        "The tenant and its settings.",
    ),
    ApiEndpoint(
        "audit",
        "GET",
        "/audit",
        API_READ,
        "audit:read",
        audit.listed,
        Page,
        AuditPage,
        "The audit, newest record first.",
    ),
    ApiEndpoint(
        "dead_letters",
        "GET",
        "/outbox/dead-letters",
        API_READ,
        "outbox:manage",
        dead_letters.listed,
        Page,
        DeadLetterPage,
        "What the worker gave up delivering, oldest first.",
    ),
    ApiEndpoint(
        "retry_dead_letter",
        "POST",
        "/outbox/dead-letters/<int:dead_letter_id>/retry",
        API_ADMIN,
        "outbox:manage",
        dead_letters.retry,
        NoQuery,
        Retry,
        "Have a dead letter delivered after all.",
        status=202,
    ),
)
