"""The consent page: what an application asks for, and what the person answers."""

from dataclasses import replace

from flask import Response

from app.domain.client_metadata import redirect_host
from app.infra import audit
from app.infra.audit import Event
from app.kernel import uris
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import branding, consent_page, endings, errors, i18n, pages, sign_in
from app.web.page_forms import ConsentForm, make_token
from app.web.standings import Standing
from app.web.turns import Turn


def show(turn: Turn, standing: Standing) -> Response:
    """The question."""
    asked, client = turn.asked, turn.client
    if asked is None or client is None:
        return errors.error_page(400)
    resources = pages.services().resources.all(turn.where.id)
    return pages.page(
        "login/consent.html",
        opener=True,
        person=consent_page.person_view(standing.user),
        action=turn.action,
        csrf=make_token(turn.bound_to),
        session_id=standing.session.sid if standing.session else "",
        client_name=i18n.client_name(client),
        client_logo=branding.client_logo(client),
        groups=consent_page.groups(asked.by_resource, resources, turn.where),
        details=consent_page.details(
            asked.authorization_details, pages.services().details_types.all(turn.where.id)
        ),
        loopback_only=not asked.device and all(uris.is_loopback_uri(uri) for uri in client.redirect_uris),
        # It said itself what it is called, and no administrator looked at that, whatever the tenant asks for today.
        unknown_here=not client.is_vetted,
        redirect_host="" if asked.device else redirect_host(asked.redirect_uri),
        account_url=pages.url("account"),
        links=sign_in.links(client),
    )


def take(turn: Turn, standing: Standing, form: ConsentForm) -> Response | Turn:
    """Allowed or not. Allowing counts for this very request alone, and for the person the page named alone: somebody
    else who signed in meanwhile in another tab, or is on their way to it, is asked themselves."""
    asked, session = turn.asked, standing.session
    if asked is None:
        return errors.error_page(400)
    if form.answer.data == "allow":
        # Whoever showed who they are in this interaction has no session yet: the one there is may be another's.
        answers = session is not None and standing.shown is None and form.session.data == session.sid
        return replace(turn, allowed_in=session.sid if session and answers else None)
    if form.answer.data != "deny":
        return errors.error_page(400)
    _record_denial(turn, asked, standing)
    return endings.refuse(turn, asked, refusals.ACCESS_DENIED)


def _record_denial(turn: Turn, asked: AuthorizationRequest, standing: Standing) -> None:
    origin, session = pages.origin(), standing.session
    event = Event(
        "consent.denied",
        tenant_id=turn.where.id,
        outcome="failure",
        reason=refusals.ACCESS_DENIED.reason,
        user_id=session.user_id if session else None,
        ip=origin.ip,
        user_agent=origin.user_agent,
        session_id=session.sid if session else None,
        client_id=asked.client_id,
        data={"scopes": list(asked.scopes)},
    )
    pages.services().state.execute(audit.operation(event))
