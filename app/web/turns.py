"""Whose turn it is: an interaction in the browser it belongs to, and what to say when it is too late."""

from dataclasses import dataclass, replace
from typing import Any

from flask import Response, request

from app.domain import assurance
from app.domain.clients import ClientRecord
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.protocols.login.engine import Visit
from app.protocols.login.factors.outcome import Verified
from app.protocols.login.interactions import Interaction, Interactions, Shown
from app.protocols.oauth import responses
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import answers, errors, i18n, oauth, pages, terminal
from app.web.cookies import Stub
from app.web.page_forms import PageForm, checked, make_token
from app.web.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Turn:
    """An interaction, in the browser it belongs to."""

    where: TenantContext
    found: Interaction
    stub: Stub
    is_new: bool
    """The browser came for it just now and has no cookie yet."""
    allowed_in: str | None = None
    """The session whose person allowed this very request with this very step, by its id. A yes counts in no other."""
    elsewhere: Terminal | None = None
    """Where the person sits, if not at the browser that asks."""

    @property
    def terminal(self) -> Terminal:
        """Where the person sits."""
        asked = self.asked
        return self.elsewhere or terminal.of_browser(self.where, asked.client_id if asked else None)

    def is_allowed(self, session: BrowserSession | None) -> bool:
        """Whether the person of a session allowed this very request."""
        return session is not None and self.allowed_in == session.sid

    @property
    def bound_to(self) -> str:
        """What the forms of its pages are bound to."""
        return f"interaction:{self.found.id}:{self.stub.secret}"

    @property
    def action(self) -> str:
        """Where its forms go."""
        return pages.url("interaction", interaction_id=self.found.id)

    @property
    def asked(self) -> AuthorizationRequest | None:
        """The authorization request behind it."""
        return AuthorizationRequest.from_json(self.found.request) if self.found.request else None

    @property
    def client(self) -> ClientRecord | None:
        """The client behind it, unless it, or its redirect URI, was removed meanwhile."""
        asked = self.asked
        found = pages.services().clients.get(self.where.id, asked.client_id) if asked else None
        return (
            found if found and asked and (asked.device or found.allows_redirect(asked.redirect_uri)) else None
        )

    def deliver(self, response: Response) -> Response:
        """The answer, with the cookie of a new interaction on it."""
        if self.is_new:
            pages.cookies().set_stub(response, self.where, self.found.id, self.stub)
        return response


def begin(
    where: TenantContext, return_to: str, *, visit: Visit | None = None, verified: Verified | None = None
) -> Turn:
    """A sign-in nobody asked for but the person. `return_to` names the endpoint of ours to go to, `visit` what that
    page demands; with `verified` somebody showed who they are already, elsewhere than on the sign-in page."""
    found, secret = Interactions(pages.services().state).begin(
        where.id,
        address=pages.origin().ip,
        request=None,
        return_to=return_to,
        visit=visit.to_json() if visit else None,
        shown=first(verified) if verified else None,
    )
    if secret is None:
        raise RuntimeError("a bound interaction has a secret")
    return Turn(where, found, Stub(secret), is_new=True)


def change(turn: Turn, **changes: Any) -> Turn | Response:
    """The turn after its interaction was changed; what to say when that is over."""
    found = Interactions(pages.services().state).change(turn.where.id, turn.found, **changes)
    return expired(turn.where, turn.found.id, turn.stub) if found is None else replace(turn, found=found)


def shows(turn: Turn, verified: Verified) -> Turn | Response:
    """Somebody showed who they are with a first factor: they begin anew, whoever was here before."""
    return change(turn, shown=first(verified), data={})


def adds(
    turn: Turn,
    before: Shown | BrowserSession,
    verified: Verified,
    *,
    data: dict[str, Any] | None = None,
) -> Turn | Response:
    """Somebody showed one more factor: besides what they showed here, or besides what their session says. `data` is
    what the pages keep from now on, where that changes."""
    return change(turn, shown=further(before, verified), **({} if data is None else {"data": data}))


def further(before: Shown | BrowserSession, verified: Verified) -> Shown:
    """What was shown once one more factor was."""
    return Shown(
        verified.user_id,
        verified.user_epoch,
        assurance.united(before.amr, verified.method),
        (*(before.methods if isinstance(before, Shown) else ()), verified.method.id),
        clock.timestamp(clock.now()),
        known_device=verified.known_device or (isinstance(before, Shown) and before.known_device),
        session=before.session if isinstance(before, Shown) else before.sid,
    )


def first(verified: Verified) -> Shown:
    """What was shown by a first factor."""
    return Shown(
        verified.user_id,
        verified.user_epoch,
        assurance.united((), verified.method),
        (verified.method.id,),
        clock.timestamp(clock.now()),
        known_device=verified.known_device,
    )


def resume(interaction_id: str) -> Turn | Response:
    """The interaction of a page, or what to say when there is none for this browser."""
    where, stub = pages.tenant(), pages.cookies().stub(pages.tenant(), interaction_id)
    interactions = Interactions(pages.services().state)
    found = interactions.find(where.id, interaction_id)
    if found is None:
        return expired(where, interaction_id, stub)
    i18n.prefer(ui_locales=(found.request or {}).get("ui_locales"))
    if found.browser is None and (bound := interactions.bind(where.id, found)) is not None:
        found, secret = bound
        asked = AuthorizationRequest.from_json(found.request) if found.request else None
        return Turn(where, found, oauth.stub_of(secret, asked), is_new=True)
    if stub is None or not found.is_for(stub.secret):
        errors.note("interaction.expired", "the interaction belongs to another browser")
        return expired(where, interaction_id, None)
    return Turn(where, found, stub, is_new=False)


def expired(where: TenantContext, interaction_id: str, stub: Stub | None) -> Response:
    """Too late, but no dead end (contracts 18): start again at the client, or take its answer to it."""
    client = pages.services().clients.get(where.id, stub.client_id) if stub and stub.client_id else None
    if stub is None or client is None:
        return pages.page("login/expired.html", 400, opener=True, home=pages.url("start"))
    link = client.metadata.get("initiate_login_uri") or client.metadata.get("client_uri")
    bound_to = f"return:{interaction_id}:{stub.secret}"
    address = None
    if stub.redirect_uri is not None and client.allows_redirect(stub.redirect_uri):
        address = answers.address(where, client, stub.redirect_uri, stub.response_mode, stub.state)
    if address and not link and request.method == "POST" and request.form.get("step") == "return":
        checked(PageForm, bound_to)
        response = answers.carry(responses.refusal(address, refusals.EXPIRED), after_post=True)
        pages.cookies().delete_stub(response, where, interaction_id)
        return response
    return pages.page(
        "login/expired.html",
        400,
        opener=True,
        client_name=i18n.client_name(client),
        link=link,
        action=pages.url("interaction", interaction_id=interaction_id) if address else "",
        csrf=make_token(bound_to),
        home=pages.url("start"),
    )
