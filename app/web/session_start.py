"""The session that comes of a sign-in, once everything demanded was shown."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from flask import Response
from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.models import User
from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.infra import audit
from app.infra.audit import Event
from app.kernel import clock, ids
from app.protocols.login.devices import LIFETIME_SECONDS, Device, Devices
from app.protocols.login.interactions import Shown
from app.web import arrivals, browser, pages, terminal
from app.web.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody signed in: their session, and the value of its cookie."""

    session: BrowserSession
    cookie: str
    device: Device
    """The browser, which knows the person from now on."""

    def deliver(self, response: Response, where: TenantContext) -> Response:
        """The answer, with the session on it; it makes the browser a known one, too."""
        jar, devices = pages.cookies(), Devices(pages.services().vault)
        jar.put(where, self.cookie)
        jar.set(
            response, where, devices.seal(where.id, self.device), suffix="device", seconds=LIFETIME_SECONDS
        )
        return response


def start(
    where: TenantContext, user: User, shown: Shown, client_id: str | None, *, trust: bool = False
) -> Accepted:
    """A session for somebody who showed all that was demanded, and the record of it. `trust`: this browser goes
    without their second factor from now on."""
    at = terminal.of_browser(where, client_id)
    beside = at.sessions()  # Before the browser is told whom to keep.
    at = replace(at, sessions=lambda: beside)
    return begin(where, user, shown, at, browser.keep_beside(where, shown.user_id), trust=trust)


def begin(
    where: TenantContext,
    user: User,
    shown: Shown,
    at: Terminal,
    crowded_out: Collection[BrowserSession] = (),
    *,
    trust: bool = False,
) -> Accepted:
    """The same for whoever sits at `at`. `crowded_out` are the sessions that have to make room there."""
    accepted = _session_of(
        where, shown, at, [session for session in at.sessions() if session.user_id == shown.user_id]
    )
    origin = at.origin
    event = Event(
        "auth.login.success" if shown.session is None else "auth.step_up",
        tenant_id=where.id,
        outcome="success",
        user_id=user.id,
        email=user.email,
        ip=origin.ip,
        user_agent=origin.user_agent,
        mfa_used=assurance.has_second_factor(shown.amr),
        session_id=accepted.session.sid,
        client_id=origin.client_id,
        data={"method": "+".join(shown.methods), "known_device": shown.known_device},
    )
    with pages.services().tenancy.session(where.id, write=True) as db:
        audit.record(db, event)
        if trust and assurance.has_second_factor(shown.amr):
            _trust(db, where, user, shown, accepted, event)
        arrivals.settle(db, where, user, accepted.session, crowded_out, at)
    return accepted


def _trust(
    db: Session, where: TenantContext, user: User, shown: Shown, accepted: Accepted, event: Event
) -> None:
    days = where.settings.authentication.mfa.trusted_device_days
    agent = event.user_agent or ""
    row = authenticators.trust_device(
        db, user.id, accepted.device.id, user_agent=agent, amr=shown.amr, days=days
    )
    data = {"target": row.id, "days": days}
    audit.record(db, replace(event, id=ids.new_id(), name="device.trusted", data=data))


def _session_of(where: TenantContext, shown: Shown, at: Terminal, same: Sequence[BrowserSession]) -> Accepted:
    """Whoever was at work here as somebody else stays signed in beside. The same person goes on in the same session
    under a new secret, so that signing in once more ends nothing that was started under it."""
    parts, origin = pages.services(), at.origin
    acr = assurance.acr_of(shown.amr)
    device = at.device.with_person(shown.user_id)
    for present in same:
        adds_mail_alone = shown.session == present.sid and {*shown.methods} == {assurance.EMAIL.id}
        # Whoever sits at a browser that was left open may well read the mail in it: that makes no sign-in recent.
        auth_time = None if adds_mail_alone else clock.from_timestamp(shown.at)
        rotated = parts.sessions.rotate(where, present, amr=shown.amr, acr=acr, auth_time=auth_time)
        if rotated is not None:
            return Accepted(*rotated, device)
    started = parts.sessions.start(
        where,
        shown.user_id,
        shown.user_epoch,
        amr=shown.amr,
        acr=acr,
        user_agent=origin.user_agent or "",
        ip=origin.ip,
        auth_time=clock.from_timestamp(shown.at),
    )
    return Accepted(*started, device)
