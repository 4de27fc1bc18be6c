"""The authorization challenge endpoint (OAuth 2.0 for First-Party Applications): a client of the tenant's own asks
people for their credentials itself, and gets a code without a browser.

A request with `response_type` is an authorization request, checked by the same table as every other. One without goes
on with what the auth session holds (section 5.3). What a person has to show is the sign-in's to say.
"""

import logging
from dataclasses import replace
from typing import Any

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.infra import metrics
from app.infra.limits import AUTHORIZE, network_of
from app.kernel import clock
from app.protocols.oauth import auth_sessions, challenges, errors, pushed, refused
from app.protocols.oauth.auth_sessions import AuthSession, AuthSessions
from app.protocols.oauth.challenges import Granted, More, Outcome, Page, Refused, SignIn, Typed, Wait
from app.protocols.oauth.client_auth import PARAMETERS
from app.protocols.oauth.dpop import nonce_header
from app.protocols.oauth.errors import Case
from app.protocols.oauth.exchange import Exchange, Parts
from app.protocols.oauth.pushed import PushedRequest
from app.protocols.oauth.reply import PRIVATE_JSON, Reply, encode, ok
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.sender import Binding
from app.protocols.oauth.steps import table
from app.protocols.oauth.steps.draft import AuthorizationRequest, Directories, Draft, freeze

_OWN = (PARAMETERS - {"client_id"}) | challenges.PARAMETERS | {"auth_session"}
"""Parameters that are no part of the authorization request."""

_BEGIN = frozenset({"response_type", "request"})
"""What makes a request an authorization request. A request object may hold the response type (RFC 9101 section 5)."""

log = logging.getLogger("watchword.challenge")


class AuthorizationChallenge:
    """Answers applications that sign people in themselves."""

    def __init__(self, parts: Parts, directories: Directories, sign_in: SignIn) -> None:
        self._parts = parts
        self._directories = directories
        self._sign_in = sign_in
        self._sessions = AuthSessions(parts.state)

    def __call__(self, request: ProtocolRequest) -> Reply:
        """Section 5.2. Raises `OAuthError`, put on record once the client is known."""
        exchange = Exchange(self._parts, request)
        client = exchange.authenticate()
        with refused.authorization(self._parts.state, request, client.client_id):
            return self._answer(exchange, client)

    def _answer(self, exchange: Exchange, client: ClientRecord) -> Reply:
        request = exchange.request
        if not client.authorization_challenge:
            exchange.trip.go()
            raise errors.NOT_FIRST_PARTY(client.client_id)
        binding = self._bind(exchange, client)
        typed = Typed.read(request.form)
        name = request.form.get("auth_session")
        stored = self._look_up(exchange, name)
        begins = not _BEGIN.isdisjoint(request.form)
        draft = self._checked(request, client, binding) if begins else None
        if draft is not None:
            for operation, case in draft.first_uses:
                exchange.trip.add(operation, case)
            exchange.trip.go()
        present = self._present(request.tenant, client, binding, name, stored)
        outcome = None
        try:
            session = _with(present, draft)
            outcome = self._sign_in.go_on(_step(request, client, session, typed))
        finally:
            if outcome is None and name is not None:
                self._sessions.give_back(request.tenant.id, name, present)
        answer = self._told(request, session, outcome)
        if binding.nonce is None:
            return answer
        return Reply(answer.status, answer.headers + nonce_header(binding.nonce), answer.body)

    def _bind(self, exchange: Exchange, client: ClientRecord) -> Binding:
        """What the code is to be bound to (section 9.5.1): who has to prove a key for tokens proves it here."""
        if client.dpop_bound and "dpop" not in exchange.request.headers:
            exchange.trip.go()
            raise errors.DPOP_MISSING(client.client_id)
        return self._parts.sender.pushed(exchange.request, client, exchange.trip)

    def _look_up(self, exchange: Exchange, name: str | None) -> bytes | None:
        """What is stored under the name, as the trip says; to begin without one is counted."""
        tenant_id = exchange.request.tenant.id
        if name is None:
            network = network_of(exchange.request.remote_address)
            exchange.trip.add(AUTHORIZE.count(tenant_id, network), errors.RATE_LIMITED)
            exchange.trip.go()
            return None
        place = exchange.trip.add(self._sessions.look_up(tenant_id, name))
        stored: bytes | None = exchange.trip.go()[place]
        return stored

    def _present(
        self,
        tenant: TenantContext,
        client: ClientRecord,
        binding: Binding,
        name: str | None,
        stored: bytes | None,
    ) -> AuthSession:
        if name is None:
            return AuthSession(client.client_id, binding.jkt)
        return self._sessions.take(tenant.id, name, stored, client_id=client.client_id, jkt=binding.jkt)

    def _checked(self, request: ProtocolRequest, client: ClientRecord, binding: Binding) -> Draft:
        draft = Draft(
            tenant=request.tenant,
            directories=self._directories,
            parameters={name: value for name, value in request.form.items() if name not in _OWN},
            resources_asked=request.values("resource"),
            repeated=frozenset(),
            remote_address=request.remote_address,
            client=client,
            dpop_jkt=binding.jkt,
        )
        table.run(draft, table.Endpoint.CHALLENGE)
        return draft

    def _told(self, request: ProtocolRequest, session: AuthSession, outcome: Outcome) -> Reply:
        tenant = request.tenant
        if isinstance(outcome, Granted):
            done = replace(session, request=None, pushable=None, requests=0)
            name = self._kept(tenant, done, outcome.sign_in, outcome.seconds)
            return ok({"authorization_code": outcome.code, "auth_session": name, "device": outcome.device})
        if isinstance(outcome, Refused | Page):
            members: dict[str, Any] = {}
            if isinstance(outcome, Page):
                members = self._for_browser(tenant, session, outcome.login_hint)
            if outcome.sign_in:
                ended = replace(session, request=None, pushable=None)
                members["auth_session"] = self._kept(tenant, ended, outcome.sign_in)
            return _refusal(request, outcome.case, outcome.reason, members)
        name = self._kept(tenant, session, outcome.sign_in)
        if isinstance(outcome, Wait):
            answer = _refusal(request, errors.RATE_LIMITED, outcome.reason, {"auth_session": name})
            wait = (("Retry-After", str(outcome.retry_after_seconds)),)
            return Reply(answer.status, answer.headers + wait, answer.body)
        return _insufficient(request, outcome, name)

    def _kept(
        self,
        tenant: TenantContext,
        session: AuthSession,
        sign_in: dict[str, Any],
        seconds: int = auth_sessions.SECONDS,
    ) -> str:
        expires_at = max(clock.timestamp(clock.after(seconds)), session.expires_at)
        return self._sessions.keep(tenant.id, replace(session, sign_in=sign_in, expires_at=expires_at))

    def _for_browser(self, tenant: TenantContext, session: AuthSession, login_hint: str) -> dict[str, Any]:
        """A request for a browser to go on with, as if it had been pushed (RFC 9126 section 2.2), where there can be
        one: not without PKCE (section 5.2.2.1.1), nor where the way back is not known."""
        kept = session.pushable
        if kept is None:
            return {}
        parameters = dict(kept["parameters"])
        if not kept["signed"]:
            parameters.setdefault("login_hint", login_hint)
        request_uri, store = pushed.new(
            tenant.id,
            PushedRequest(
                session.client_id,
                {name: value for name, value in parameters.items() if value},
                tuple(kept["resources"]),
                kept["signed"],
                session.jkt,
            ),
        )
        self._parts.state.execute(store)
        return {"request_uri": request_uri, "expires_in": pushed.LIFETIME_SECONDS}


def _with(present: AuthSession, draft: Draft | None) -> AuthSession:
    """The session after this request. Raises `OAuthError` where it has nothing to answer."""
    counted = replace(present, requests=present.requests + 1)
    if draft is not None:
        return replace(counted, request=freeze(draft).to_json(), pushable=_pushable(draft))
    if present.request is None:
        raise errors.PARAMETER_MISSING("response_type")
    return counted


def _pushable(draft: Draft) -> dict[str, Any] | None:
    client, parameters = draft.known_client, dict(draft.parameters)
    if "redirect_uri" not in parameters and len(client.redirect_uris) == 1 and not draft.signed:
        parameters["redirect_uri"] = client.redirect_uris[0]
    if draft.code_challenge is None or "redirect_uri" not in parameters:
        return None
    parameters["client_id"] = client.client_id
    return {"parameters": parameters, "resources": list(draft.resources_asked), "signed": draft.signed}


def _step(
    request: ProtocolRequest, client: ClientRecord, session: AuthSession, typed: Typed
) -> challenges.Step:
    return challenges.Step(
        tenant=request.tenant,
        client=client,
        asked=AuthorizationRequest.from_json(session.request or {}),
        typed=typed,
        flow=session.flow,
        holder=f"{client.client_id} {session.jkt or ''}",
        sign_in=session.sign_in,
        ip=request.remote_address,
        user_agent=request.user_agent,
        request_id=request.request_id,
    )


def _insufficient(request: ProtocolRequest, more: More, name: str) -> Reply:
    members = {**more.members, "auth_session": name}
    return _refusal(request, errors.INSUFFICIENT_AUTHORIZATION, more.members["reason"], members)


def _refusal(request: ProtocolRequest, case: Case, reason: str, members: dict[str, Any]) -> Reply:
    """An error with what goes with it (section 5.2.2)."""
    metrics.refused(reason)
    log.info("refused: %s", case.error, extra={"request_id": request.request_id, "reason": reason})
    content = {"error": case.error, "error_description": case.description, **members}
    return Reply(case.status, PRIVATE_JSON, encode(content))
