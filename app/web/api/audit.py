"""`/api/v1/audit`: the tenant's audit chain."""

from app.infra import audit_chain
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import AuditPage, AuditRecordView, Page


def listed(caller: Caller, query: Page) -> AuditPage:
    """A page of records, newest first."""
    before = int(query.cursor) if query.cursor else None
    with pages.services().tenancy.session(caller.tenant.id) as session:
        lines = audit_chain.tail(session, query.limit + 1, before=before)
    shown = [AuditRecordView.model_validate(line) for line in lines[: query.limit]]
    return AuditPage(records=shown, next_cursor=str(shown[-1].sequence) if len(lines) > query.limit else None)
