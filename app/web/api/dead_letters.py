"""`/api/v1/outbox/dead-letters`: what the worker gave up on."""

from app.infra import audit, outbox
from app.infra.log_tables import OutboxMessage
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import DeadLetterPage, DeadLetterView, NoQuery, Page, Retry


def listed(caller: Caller, query: Page) -> DeadLetterPage:
    """A page of dead letters, oldest first."""
    after = int(query.cursor) if query.cursor else 0
    with pages.services().tenancy.session(caller.tenant.id) as session:
        found = outbox.dead_letters(session, after=after, limit=query.limit + 1)
    shown = [_view(message) for message in found[: query.limit]]
    return DeadLetterPage(
        dead_letters=shown, next_cursor=str(shown[-1].id) if len(found) > query.limit else None
    )


def retry(caller: Caller, _query: NoQuery, dead_letter_id: int) -> Retry:
    """Have one delivered after all. Raises `Problem` (`dead_letter.unknown`)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        message = outbox.retry(session, dead_letter_id)
        event = audit.Event(
            "worker.dead_letter.retried",
            tenant_id=caller.tenant.id,
            outcome="success",
            user_id=caller.user.id,
            email=caller.user.email,
            ip=pages.origin().ip,
            user_agent=pages.origin().user_agent,
            session_id=caller.token.claims.get("sid"),
            client_id=caller.token.client_id,
            grant_id=caller.token.grant_id,
            data={"topic": message.topic, "message_id": message.id, "via": "api"},
        )
        audit.record(session, event)
        return Retry(id=message.id, topic=message.topic)


def _view(message: OutboxMessage) -> DeadLetterView:
    assert message.dead_at is not None
    return DeadLetterView(
        id=message.id,
        topic=message.topic,
        subject=message.subject,
        created_at=message.created_at,
        dead_at=message.dead_at,
        attempts=message.attempts,
        last_error=message.last_error,
    )
