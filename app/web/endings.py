"""How an interaction ends: with a code, with an error for the client, or at a page of ours."""

from flask import Response

from app.domain.clients import ClientRecord
from app.domain.sessions import BrowserSession
from app.protocols.login.interactions import Interactions
from app.protocols.oauth.errors import Case
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import answers, errors, granting, pages, turns
from app.web.turns import Turn


def return_home(turn: Turn) -> Response:
    """The page of ours the person wanted."""
    Interactions(pages.services().state).drop(turn.where.id, turn.found)
    return pages.see_other(pages.url(turn.found.return_to or "account"))


def finish(
    turn: Turn, asked: AuthorizationRequest, client: ClientRecord, session: BrowserSession | None
) -> Response:
    """Every requirement holds: of any number of clicks one makes the code."""
    interactions = Interactions(pages.services().state)
    if session is None or not interactions.take(turn.where.id, turn.found):
        return turns.expired(turn.where, turn.found.id, turn.stub)
    redirection = None
    try:
        redirection = granting.complete(
            turn.where, asked, client, session, allowed_here=turn.is_allowed(session)
        )
    finally:
        if redirection is None:
            # Nothing came of it, so nothing was used up.
            interactions.save(turn.where.id, turn.found)
    if redirection is None:
        return pages.see_other(turn.action)
    response = answers.carry(redirection, after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response


def refuse(turn: Turn, asked: AuthorizationRequest, case: Case) -> Response:
    """No code: the client hears why."""
    if turn.client is None:
        return errors.refused_request(refusals.CLIENT_UNKNOWN, f"client {asked.client_id} is gone")
    errors.note(case.reason, f"client {asked.client_id} is told {case.error}")
    Interactions(pages.services().state).drop(turn.where.id, turn.found)
    response = answers.carry(answers.refuse(turn.where, asked, case), after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response
