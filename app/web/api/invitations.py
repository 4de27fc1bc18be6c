"""`/api/v1/invitations`: who is asked to join, and with what rights."""

from uuid import UUID

from app.domain import invitations
from app.domain.invitations import Invitation
from app.infra import audit
from app.web import mails, pages
from app.web.api.bearer import Caller
from app.web.api.bodies import InvitationBody, InvitationPage, InvitationView, NamePage, NoQuery

DAY_SECONDS = 86400


def listed(caller: Caller, query: NamePage) -> InvitationPage:
    """A page of invitations, oldest first."""
    with pages.services().tenancy.session(caller.tenant.id) as session:
        found = invitations.listed(session, after=query.cursor or "", limit=query.limit + 1)
    shown = [_view(invitation) for invitation in found[: query.limit]]
    return InvitationPage(invitations=shown, next_cursor=shown[-1].id if len(found) > query.limit else None)


def create(caller: Caller, _query: NoQuery, body: InvitationBody) -> InvitationView:
    """Write an invitation and mail it. Raises the `Problem`s of `invitations.create`."""
    tenant = caller.tenant
    with pages.services().tenancy.session(tenant.id, write=True) as session:
        found, token = invitations.create(
            session,
            body.email,
            roles=body.roles,
            groups=body.groups,
            seconds=body.days * DAY_SECONDS,
            by=(caller.user.id, caller.access),
            by_mail=True,
        )
        mails.send(
            session,
            tenant,
            "invitation",
            found.email,
            tenant.settings.languages.default,
            link=mails.link(tenant, "invitation", token=token),
            expires_at=found.expires_at,
        )
        rights = {"roles": list(found.roles), "groups": list(found.groups), "by_mail": True}
        event = caller.event("invitation.created", target=found.id, name=found.email, **rights)
        audit.record(session, event)
    return _view(found)


def revoke(caller: Caller, _query: NoQuery, invitation_id: UUID) -> InvitationView:
    """Take one back. Raises `Problem` (`invitation.unknown`)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        found = invitations.revoke(session, str(invitation_id))
        audit.record(session, caller.event("invitation.revoked", target=found.id, name=found.email))
    return _view(found)


def _view(found: Invitation) -> InvitationView:
    return InvitationView(
        id=found.id,
        email=found.email,
        roles=list(found.roles),
        groups=list(found.groups),
        created_by=found.created_by,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )
