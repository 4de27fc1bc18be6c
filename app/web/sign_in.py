"""The sign-in page, and the session that comes of it."""

from dataclasses import dataclass, replace

from flask import Response

from app.domain import assurance, grants
from app.domain.clients import ClientRecord
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.kernel import clock
from app.protocols.login.devices import LIFETIME_SECONDS, Devices
from app.protocols.login.factors.password import Blocked, Failed, PasswordFactor, SignedIn
from app.web import errors, oauth, pages
from app.web.page_forms import SignInForm, make_token
from app.web.turns import Turn

WRONG = "Wrong username or password"
_WHY = {
    "session.too_old": "It has been a while since you signed in. Show once more that it is you.",
    "prompt.login": "Show once more that it is you.",
    "prompt.select_account": "Sign in with the account you want to use.",
    "session.other_person": "You are signed in with another account than the one that is asked for.",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody signed in: their session, and the value of its cookie."""

    session: BrowserSession
    cookie: str

    def deliver(self, response: Response, where: TenantContext) -> Response:
        """The answer, with the session on it; it makes the browser a known one, too."""
        jar, devices = pages.cookies(), Devices(pages.services().vault)
        jar.set(response, where, self.cookie)
        device = devices.open(where.id, jar.read(where, "device")).with_person(self.session.user_id)
        jar.set(response, where, devices.seal(where.id, device), suffix="device", seconds=LIFETIME_SECONDS)
        return response


def page(
    turn: Turn,
    *,
    reason: str = "",
    user: User | None = None,
    username: str | None = None,
    fault: str = "",
    status: int = 200,
) -> Response:
    """The form. `reason` says why somebody who is signed in sees it; `user` is who that is."""
    asked, client = turn.asked, turn.client
    if reason == "prompt.login" and asked and "select_account" in asked.prompt:
        reason = "prompt.select_account"
    if username is None:
        again = user.username if user is not None and reason in ("session.too_old", "prompt.login") else ""
        username = (asked.login_hint if asked else None) or again
    return pages.page(
        "login/sign_in.html",
        status,
        opener=True,
        action=turn.action,
        csrf=make_token(turn.bound_to),
        client_name=client.name if client else "",
        why=_WHY.get(reason, ""),
        fault=fault,
        username=username,
        can_cancel=asked is not None,
        links=links(client) if client else [],
    )


def attempt(turn: Turn, form: SignInForm) -> Accepted | Response:
    """One attempt with user name and password."""
    where, parts, asked = turn.where, pages.services(), turn.asked
    login, password = (form.username.data or "").strip(), form.password.data or ""
    device = Devices(parts.vault).open(where.id, pages.cookies().read(where, "device"))
    factor = PasswordFactor(
        parts.tenancy, parts.state, parts.passwords, floor_seconds=parts.sign_in_floor_seconds
    )
    origin = pages.origin(asked.client_id if asked else None)
    outcome = factor.attempt(where, login, password, device=device, origin=origin)
    if isinstance(outcome, Blocked):
        errors.note(outcome.reason, "sign-in refused before anything was checked")
        response = page(turn, username=login, fault=_wait(outcome.retry_after_seconds), status=429)
        response.headers["Retry-After"] = str(outcome.retry_after_seconds)
        return response
    if isinstance(outcome, Failed):
        errors.note(outcome.reason, "sign-in failed")
        return page(turn, username=login, fault=WRONG, status=401)
    return start_session(where, outcome)


def start_session(where: TenantContext, person: SignedIn) -> Accepted:
    """A session for somebody who showed who they are, and the record of it."""
    accepted = _session_of(where, person)
    if person.event is not None:
        with pages.services().tenancy.session(where.id, write=True) as db:
            audit.record(db, replace(person.event, session_id=accepted.session.sid))
    return accepted


def _session_of(where: TenantContext, person: SignedIn) -> Accepted:
    """Whoever was signed in here as somebody else is signed out. The same person goes on in the same session under a
    new secret, so that signing in once more ends nothing that was started under it."""
    parts, origin = pages.services(), pages.origin()
    acr = assurance.acr_of(person.amr)
    present = oauth.current_session(where)
    if present is not None and (present.user_id, present.user_epoch) == (person.user_id, person.user_epoch):
        rotated = parts.sessions.rotate(where, present, amr=person.amr, acr=acr, auth_time=clock.now())
        if rotated is not None:
            return Accepted(*rotated)
    elif present is not None:
        with parts.tenancy.session(where.id, write=True) as db:
            grants.revoke_of_session(db, where.id, present.sid, log=parts.revocations)
            parts.sessions.end(db, where, present)
    started = parts.sessions.start(
        where,
        person.user_id,
        person.user_epoch,
        amr=person.amr,
        acr=acr,
        user_agent=origin.user_agent or "",
        ip=origin.ip,
    )
    return Accepted(*started)


def links(client: ClientRecord) -> list[tuple[str, str]]:
    """What the client says about itself, as it registered it."""
    labels = (("policy_uri", "Privacy"), ("tos_uri", "Terms"))
    return [(label, client.metadata[name]) for name, label in labels if name in client.metadata]


def _wait(seconds: int) -> str:
    minutes = -(-seconds // 60)
    wait = "a minute" if minutes <= 1 else f"{minutes} minutes"
    return f"Too many attempts. Wait {wait}, then try again."
