"""Answers to authorization requests: an error or a code, and how a browser carries it to where it belongs."""

from flask import Response

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.protocols.oauth import profiles, pushed, refused, responses
from app.protocols.oauth.errors import Case
from app.protocols.oauth.responses import Address, Redirection
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import device_ending, pages


def carry(redirection: Redirection, *, after_post: bool = False) -> Response:
    """Let the browser carry an answer to where it belongs.

    After a POST of ours by a page that goes on by itself: Chromium applies `form-action` to every redirect that
    follows a form, and our policy names nobody but us (contracts 14).
    """
    if redirection.is_form:
        return pages.page(
            "login/form_post.html",
            form_action=redirection.source,
            opener=True,
            target=redirection.uri,
            host=redirection.host,
            fields=redirection.fields,
        )
    if after_post and not redirection.uri.startswith("/"):
        return pages.page("login/continue.html", opener=True, target=redirection.uri, host=redirection.host)
    return pages.see_other(redirection.uri)


def refuse(where: TenantContext, asked: AuthorizationRequest, case: Case) -> Redirection:
    """An error for the client. It is an answer, too: a pushed request is used up by it."""
    parts = pages.services()
    if asked.pushed is not None:
        parts.state.execute(*pushed.spend(where.id, asked.pushed))
    if asked.device is not None:
        return device_ending.keep_out(where, asked.device)
    return responses.refusal(responses.address_of(asked, where, parts.keyring), case)


def address(
    where: TenantContext, client: ClientRecord, redirect_uri: str, response_mode: str, state: str | None
) -> Address:
    """Where an answer goes whose request is not at hand any more."""
    alg = profiles.signing_algorithm(client.authorization_signed_response_alg, client, where)
    return responses.address(
        where,
        pages.services().keyring,
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        response_mode=response_mode,
        state=state,
        alg=alg,
    )


def record_refusal(where: TenantContext, client: ClientRecord, case: Case) -> None:
    """Put a refused authorization request on record."""
    came_from = pages.origin()
    refused.record(
        pages.services().state,
        "authorization.refused",
        tenant_id=where.id,
        client_id=client.client_id,
        reason=case.reason,
        ip=came_from.ip,
        user_agent=came_from.user_agent,
        data={"endpoint": "authorize", "error": case.error},
    )
