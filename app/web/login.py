"""The pages a person meets on the way: sign in, allow access, not allowed, expired."""

from dataclasses import dataclass, replace

from flask import Flask, Response, request

from app.domain import assurance, grants
from app.domain.client_metadata import redirect_host
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock, uris
from app.protocols.login import engine
from app.protocols.login.devices import LIFETIME_SECONDS, Devices
from app.protocols.login.engine import Done, Need, Refuse
from app.protocols.login.factors.password import Blocked, Failed, PasswordFactor, SignedIn
from app.protocols.login.interactions import Interaction, Interactions
from app.protocols.oauth import responses
from app.protocols.oauth.errors import Case
from app.protocols.oauth.responses import Address
from app.protocols.oauth.steps import refusals
from app.protocols.oauth.steps.draft import AuthorizationRequest
from app.web import consent_page, errors, oauth, pages
from app.web.cookies import Stub
from app.web.page_forms import ConsentForm, PageForm, SignInForm, checked, make_token

WRONG = "Wrong username or password"
_WHY = {
    "session.too_old": "It has been a while since you signed in. Show once more that it is you.",
    "prompt.login": "Show once more that it is you.",
    "session.other_person": "You are signed in with another account than the one that is asked for.",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """An interaction, in the browser it belongs to."""

    where: TenantContext
    found: Interaction
    stub: Stub
    is_new: bool
    """The browser came for it just now and has no cookie yet."""

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


def register(app: Flask) -> None:
    """Add the pages."""
    app.add_url_rule("/sign-in", "sign_in", start_sign_in, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction", _show, methods=["GET"])
    app.add_url_rule("/interaction/<interaction_id>", "interaction_step", _take_step, methods=["POST"])


def start_sign_in(return_to: str = "account", purpose: str = "") -> Response:
    """A sign-in nobody asked for but the person: straight to the form, then on to a page of ours."""
    where = pages.tenant()
    if oauth.current_session(where) is not None:
        return pages.see_other(pages.url(return_to))
    found, secret = Interactions(pages.services().state).begin(where.id, request=None, return_to=return_to)
    if secret is None:
        raise RuntimeError("a bound interaction has a secret")
    turn = Turn(where, found, Stub(secret), is_new=True)
    return _with_stub(turn, _sign_in_page(turn, purpose=purpose))


def _show(interaction_id: str) -> Response:
    turn = _resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    return _with_stub(turn, _go_on(turn, after_post=False))


def _take_step(interaction_id: str) -> Response:
    turn = _resume(interaction_id)
    if isinstance(turn, Response):
        return turn
    step = request.form.get("step", "")
    if step == "sign-in":
        response = _sign_in(turn, checked(SignInForm, turn.bound_to))
    elif step == "consent" and turn.asked is not None:
        response = _consent(turn, turn.asked, checked(ConsentForm, turn.bound_to))
    elif step == "switch" and turn.asked is not None:
        checked(PageForm, turn.bound_to)
        response = _switch(turn, turn.asked)
    elif step == "cancel" and turn.asked is not None:
        checked(PageForm, turn.bound_to)
        response = _end(turn, turn.asked, refusals.ACCESS_DENIED)
    else:
        response = errors.error_page(400)
    return _with_stub(turn, response)


def _resume(interaction_id: str) -> Turn | Response:
    """The interaction of a page, or what to say when there is none for this browser."""
    where, jar = pages.tenant(), pages.cookies()
    interactions = Interactions(pages.services().state)
    found, stub = interactions.find(where.id, interaction_id), jar.stub(where, interaction_id)
    if found is None:
        return _expired(where, interaction_id, stub)
    if found.browser is None:
        bound = interactions.bind(where.id, found)
        if bound is not None:
            found, secret = bound
            return Turn(
                where, found, oauth.stub_of(secret, Turn(where, found, Stub(secret), False).asked), True
            )
    if stub is None or not found.is_for(stub.secret):
        errors.note("interaction.other_browser", "the interaction belongs to another browser")
        return _expired(where, interaction_id, None)
    return Turn(where, found, stub, is_new=False)


def _with_stub(turn: Turn, response: Response) -> Response:
    if turn.is_new:
        pages.cookies().set_stub(response, turn.where, turn.found.id, turn.stub)
    return response


def _go_on(
    turn: Turn, *, after_post: bool, session: BrowserSession | None = None, allowed: bool = False
) -> Response:
    """Whatever comes next: a page, or the end. After a POST pages are redirected to, so that reloading is harmless."""
    where, asked = turn.where, turn.asked
    session = session or oauth.current_session(where)
    if asked is None:
        if session is None or turn.found.signed_in_session != session.sid:
            return _sign_in_page(turn)
        Interactions(pages.services().state).drop(where.id, turn.found)
        return pages.see_other(pages.url(turn.found.return_to or "account"))
    client = pages.services().clients.get(where.id, asked.client_id)
    if client is None:
        return errors.refused_request(refusals.CLIENT_UNKNOWN, f"client {asked.client_id} is gone")
    standing = oauth.stand(where, asked, client, session, turn.found, allowed_here=allowed)
    step = standing.step
    if isinstance(step, Done) and session is not None:
        return _finish(turn, asked, client, session, allowed=allowed, after_post=after_post)
    if isinstance(step, Need | Refuse) and (
        asked.silent or (isinstance(step, Refuse) and standing.user is None)
    ):
        return _end(turn, asked, oauth.SILENT[step.error])
    if isinstance(step, Refuse) and step.error != "access_denied":
        return _end(turn, asked, oauth.SILENT[step.error])
    if after_post:
        return pages.see_other(turn.action)
    if isinstance(step, Need) and step.page == engine.SIGN_IN:
        return _sign_in_page(turn, client=client, reason=step.reason, user=standing.user)
    user = standing.user
    if user is None:
        return errors.error_page(400)
    csrf = make_token(turn.bound_to)
    if isinstance(step, Refuse):
        errors.note(step.reason, f"user {user.id} is in none of client {client.client_id}'s groups")
        return pages.page(
            "login/not_allowed.html",
            403,
            opener=True,
            client_name=client.name,
            person=consent_page.person_view(user),
            action=turn.action,
            csrf=csrf,
        )
    resources = pages.services().resources.all(where.id)
    return pages.page(
        "login/consent.html",
        opener=True,
        person=consent_page.person_view(user),
        action=turn.action,
        csrf=csrf,
        client_name=client.name,
        groups=consent_page.groups(asked.by_resource, resources, where),
        loopback_only=all(uris.is_loopback_uri(uri) for uri in client.redirect_uris),
        redirect_host=redirect_host(asked.redirect_uri),
        account_url=pages.url("account"),
        links=_links(client),
    )


def _sign_in_page(
    turn: Turn,
    *,
    client: ClientRecord | None = None,
    reason: str = "",
    user: User | None = None,
    username: str | None = None,
    fault: str = "",
    status: int = 200,
    purpose: str = "",
) -> Response:
    asked = turn.asked
    if client is None and asked is not None:
        client = pages.services().clients.get(turn.where.id, asked.client_id)
    if username is None:
        again = user is not None and reason in ("session.too_old", "prompt.login")
        username = (asked and asked.login_hint) or (user.username if again and user else "")
    return pages.page(
        "login/sign_in.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        client_name=client.name if client else "",
        purpose=purpose,
        why=_WHY.get(reason, ""),
        fault=fault,
        username=username,
        can_cancel=asked is not None,
        links=_links(client) if client else [],
    )


def _sign_in(turn: Turn, form: SignInForm) -> Response:
    """One attempt with user name and password."""
    where, parts, jar = turn.where, pages.services(), pages.cookies()
    asked = turn.asked
    login, password = (form.username.data or "").strip(), form.password.data or ""
    devices = Devices(parts.vault)
    device = devices.open(where.id, jar.read(where, "device"))
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    origin = pages.origin(asked.client_id if asked else None)
    outcome = factor.attempt(where, login, password, device=device, origin=origin)
    if isinstance(outcome, Blocked):
        errors.note(outcome.reason, "sign-in refused before anything was checked")
        minutes = -(-outcome.retry_after_seconds // 60)
        wait = "a minute" if minutes == 1 else f"{minutes} minutes"
        fault = f"Too many attempts. Wait {wait}, then try again."
        response = _sign_in_page(turn, username=login, fault=fault, status=429)
        response.headers["Retry-After"] = str(outcome.retry_after_seconds)
        return response
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "sign-in failed")
        return _sign_in_page(turn, username=login, fault=WRONG, status=401)
    session, cookie = _start_session(where, outcome)
    found = replace(turn.found, signed_in_session=session.sid)
    Interactions(parts.state).save(where.id, found)
    response = _go_on(replace(turn, found=found), after_post=True, session=session)
    return _signed_in(response, where, cookie, outcome)


def sign_in_now(where: TenantContext, person: SignedIn, target: str) -> Response:
    """Sign in somebody whose account was made a moment ago, and go to a page of ours."""
    _, cookie = _start_session(where, person)
    return _signed_in(pages.see_other(target), where, cookie, person)


def _start_session(where: TenantContext, person: SignedIn) -> tuple[BrowserSession, str]:
    """A session, and its cookie. Whoever was signed in as somebody else is signed out; the same person goes on in the
    same session under a new secret, so that signing in once more ends nothing."""
    parts = pages.services()
    acr = assurance.acr_of(person.amr)
    present = oauth.current_session(where)
    if present is not None and present.user_id == person.user_id and present.user_epoch == person.user_epoch:
        rotated = parts.sessions.rotate(where, present, amr=person.amr, acr=acr, auth_time=clock.now())
        if rotated is not None:
            return rotated
    elif present is not None:
        with parts.tenancy.session(where.id, write=True) as db:
            grants.revoke_of_session(db, where.id, present.sid, log=parts.revocations)
            parts.sessions.end(db, where, present)
    origin = pages.origin()
    return parts.sessions.start(
        where,
        person.user_id,
        person.user_epoch,
        amr=person.amr,
        acr=acr,
        user_agent=origin.user_agent or "",
        ip=origin.ip,
    )


def _signed_in(response: Response, where: TenantContext, cookie: str, person: SignedIn) -> Response:
    """The answer to a sign-in: it brings the session, and makes the browser a known one."""
    jar, devices = pages.cookies(), Devices(pages.services().vault)
    jar.set(response, where, cookie)
    device = devices.open(where.id, jar.read(where, "device")).with_person(person.user_id)
    jar.set(response, where, devices.seal(where.id, device), suffix="device", seconds=LIFETIME_SECONDS)
    return response


def _consent(turn: Turn, asked: AuthorizationRequest, form: ConsentForm) -> Response:
    """Allowed or not. Allowing counts for this very request alone and is checked against whoever is signed in now."""
    if form.answer.data == "allow":
        return _go_on(turn, after_post=True, allowed=True)
    if form.answer.data != "deny":
        return errors.error_page(400)
    session = oauth.current_session(turn.where)
    origin = pages.origin()
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
    return _end(turn, asked, refusals.ACCESS_DENIED)


def _switch(turn: Turn, asked: AuthorizationRequest) -> Response:
    """Another account: whoever is signed in has to sign in again, as themselves or as somebody else."""
    again = replace(asked, prompt=asked.prompt | {"login"}, login_hint=None)
    found = replace(turn.found, request=again.to_json(), signed_in_session=None)
    Interactions(pages.services().state).save(turn.where.id, found)
    return pages.see_other(turn.action)


def _finish(
    turn: Turn,
    asked: AuthorizationRequest,
    client: ClientRecord,
    session: BrowserSession,
    *,
    allowed: bool,
    after_post: bool,
) -> Response:
    """Every requirement holds: of any number of clicks one makes the code."""
    interactions = Interactions(pages.services().state)
    if not interactions.take(turn.where.id, turn.found):
        return _expired(turn.where, turn.found.id, turn.stub)
    try:
        redirection = oauth.complete(turn.where, asked, client, session, allowed_here=allowed)
    except Exception:
        # Nothing came of it, so that nothing was used up.
        interactions.save(turn.where.id, turn.found)
        raise
    if redirection is None:
        interactions.save(turn.where.id, turn.found)
        return pages.see_other(turn.action)
    response = oauth.answer(redirection, after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response


def _end(turn: Turn, asked: AuthorizationRequest, case: Case) -> Response:
    """No code: the client hears why."""
    Interactions(pages.services().state).drop(turn.where.id, turn.found)
    response = oauth.answer(oauth.refuse(turn.where, asked, case), after_post=True)
    pages.cookies().delete_stub(response, turn.where, turn.found.id)
    return response


def _expired(where: TenantContext, interaction_id: str, stub: Stub | None) -> Response:
    """Too late, but no dead end (contracts 18): start again at the client, or take its answer to it."""
    client = pages.services().clients.get(where.id, stub.client_id) if stub and stub.client_id else None
    if stub is None or client is None:
        return pages.page("login/expired.html", 400, opener=True, home=pages.url("start"))
    link = client.metadata.get("initiate_login_uri") or client.metadata.get("client_uri")
    bound_to = f"return:{interaction_id}:{stub.secret}"
    returns = stub.redirect_uri is not None and client.allows_redirect(stub.redirect_uri)
    if (
        not link
        and returns
        and stub.redirect_uri
        and request.method == "POST"
        and request.form.get("step") == "return"
    ):
        checked(PageForm, bound_to)
        address = Address(stub.redirect_uri, stub.response_mode, stub.state, where.issuer)
        response = oauth.answer(responses.refusal(address, refusals.EXPIRED), after_post=True)
        pages.cookies().delete_stub(response, where, interaction_id)
        return response
    return pages.page(
        "login/expired.html",
        400,
        opener=True,
        client_name=client.name,
        link=link,
        action=pages.url("interaction", interaction_id=interaction_id) if returns else "",
        csrf=make_token(bound_to),
        home=pages.url("start"),
    )


def _links(client: ClientRecord) -> list[tuple[str, str]]:
    """What the client says about itself, as it registered it."""
    labels = (("policy_uri", "Privacy policy"), ("tos_uri", "Terms of service"))
    return [
        (f"{label} of {client.name}", client.metadata[name])
        for name, label in labels
        if name in client.metadata
    ]
