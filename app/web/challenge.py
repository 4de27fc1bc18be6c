"""Signing in through an application of the tenant's own (OAuth 2.0 for First-Party Applications): the sign-in of the
pages, with JSON where they have forms.

It asks the same requirements in the same order, counts the same tries, takes the same least time, and writes the same
record: a person's turn at an application is a `Turn` like any other, but for where they sit. What an application cannot
do (an enrolment, terms, a new password, consent) is done in a browser.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flask import Flask, g
from flask_babel import force_locale

from app.domain import access_rules, codes
from app.domain.sessions import BrowserSession
from app.kernel import clock
from app.protocols.login import engine
from app.protocols.login.devices import Device, Devices
from app.protocols.login.engine import Done, Need, Refuse
from app.protocols.login.factors.outcome import Blocked, Failed, Origin, Verified
from app.protocols.login.interactions import Interaction, Shown
from app.protocols.oauth.challenges import Granted, More, Outcome, Page, Refused, Step, Typed, Wait
from app.protocols.oauth.trip import Trip
from app.web import (
    email_sign_in,
    granting,
    i18n,
    lockout,
    login,
    oauth,
    pages,
    session_start,
    sign_in,
    standings,
    turns,
)
from app.web.cookies import Stub
from app.web.factors import ASKED, passkey
from app.web.standings import Standing
from app.web.terminal import Terminal
from app.web.turns import Turn

_WAYS = {
    "password": "password",
    "totp": "totp",
    "recovery_code": "recovery",
    "email_code": "email",
    "sms_code": "sms",
    "passkey": "passkey",
}
"""The factor a parameter shows."""
_NAMES = {way: name for name, way in _WAYS.items()}


class ChallengedSignIn:
    """`challenges.SignIn` over the parts of the pages."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def go_on(self, step: Step) -> Outcome:
        """Take what was shown, and say what is next. Raises `Problem` where nothing came of it."""
        language = i18n.best_for(step.tenant, (step.asked.ui_locales or "").split())
        with self._app.app_context(), force_locale(i18n.locale_of(language)):
            g.reference, g.language = step.request_id, language
            return _go_on(step)


@dataclass(frozen=True, slots=True)
class _Seat:
    """Somebody at an application: their turn, and who they are signed in as there."""

    turn: Turn
    at: Terminal
    session: BrowserSession | None
    login: str = ""
    """The name they said."""

    def to_json(self) -> dict[str, Any]:
        """What the next step has to know."""
        found, session = self.turn.found, self.session
        return {
            "shown": asdict(found.shown) if found.shown else None,
            "signed_in": found.signed_in_session,
            "data": found.data,
            "session": [session.sid, session.user_id] if session else None,
            "device": [self.at.device.id, self.at.device.people],
            "login": self.login,
        }

    def changed(self, **changes: Any) -> "_Seat":
        """The same after its turn went on."""
        return replace(self, turn=replace(self.turn, found=replace(self.turn.found, **changes)))


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of what was shown or begun."""

    seat: _Seat
    members: dict[str, Any] = field(default_factory=dict)
    blocked: Blocked | None = None


def _go_on(step: Step) -> Outcome:
    seat = _seat(step)
    standing = _ask(step, seat)
    tried = _take(seat, standing, step.typed)
    if tried.blocked is not None:
        return Wait(tried.seat.to_json(), tried.blocked.reason, tried.blocked.retry_after_seconds)
    if tried.seat is not seat:
        seat = tried.seat
        standing = _ask(step, seat)
    if isinstance(standing.step, Need) and standing.step.page == engine.START:
        seat = _started(seat, standing)
        standing = _ask(step, seat, before=standing)
    if isinstance(standing.step, Done) and seat.session is not None:
        return _granted(step, seat, seat.session) or _go_on(replace(step, sign_in={}, typed=Typed()))
    return _unmet(step, seat, standing, tried.members)


def _seat(step: Step) -> _Seat:
    """Where the last step left somebody. A session that ended meanwhile is none."""
    kept, where, parts = step.sign_in, step.tenant, pages.services()
    session = None
    if (named := kept.get("session")) is not None:
        session = parts.sessions.resume(
            where, named[0], named[1], ip=step.ip, user_agent=step.user_agent or ""
        )
    known: Sequence[Any] = kept.get("device") or ()
    device = Device(*known)
    if not device.people and step.typed.device:
        device = Devices(parts.vault).open(where.id, step.typed.device, step.holder)
    at = _terminal(Origin(step.ip, step.user_agent, step.client.client_id), device, session)
    found = Interaction(
        step.flow,
        None,
        step.asked.to_json(),
        shown=Shown.from_json(kept["shown"]) if kept.get("shown") else None,
        signed_in_session=kept.get("signed_in"),
        data=dict(kept.get("data", {})),
    )
    turn = Turn(where, found, Stub(""), is_new=False, elsewhere=at)
    return _Seat(turn, at, session, step.typed.username[:320] or kept.get("login", ""))


def _terminal(origin: Origin, device: Device, session: BrowserSession | None) -> Terminal:
    return Terminal(origin, device, lambda: [session] if session else [])


def _ask(step: Step, seat: _Seat, *, before: Standing | None = None) -> Standing:
    found = seat.turn.found
    return standings.ask(step.tenant, step.asked, step.client, seat.session, found, at=seat.at, before=before)


def _take(seat: _Seat, standing: Standing, typed: Typed) -> _Tried:
    """One try, or the beginning of one. What is not asked for now is passed over."""
    if typed.begin:
        return _begin(seat, standing, typed)
    if not typed.factor:
        return _Tried(seat)
    way = _WAYS[typed.factor]
    outcome, is_first = _try(seat, standing, way, typed)
    if outcome is None:
        return _Tried(seat)
    before = standing.shown or standing.session
    if isinstance(outcome, Blocked):
        if not is_first:
            lockout.tell_of_second(seat.turn.where, outcome, way, before)
        return _Tried(seat, blocked=outcome)
    if isinstance(outcome, Failed):
        return _Tried(seat, {"failed": typed.factor})
    if is_first or before is None:
        return _Tried(seat.changed(shown=turns.first(outcome), data={}))
    return _Tried(seat.changed(shown=turns.further(before, outcome)))


def _try(
    seat: _Seat, standing: Standing, way: str, typed: Typed
) -> tuple[Verified | Failed | Blocked | None, bool]:
    """What a try comes to, and whether the person began anew with it; None: it is not asked for now."""
    turn, where, user = seat.turn, seat.turn.where, standing.user
    methods = where.settings.authentication.methods
    is_second = user is not None and way in standing.options
    if way == "password" and typed.username and "password" in methods:
        return sign_in.attempt(turn, typed.username, typed.value), True
    if is_second and user is not None:
        return ASKED[way].verify(turn, user, typed.value), False
    if way == "passkey" and passkey.is_offered(where):
        return passkey.verify(turn, None, typed.value), True
    kept = turn.found.data.get(email_sign_in.WAY)
    if way == "email" and kept is not None and email_sign_in.is_offered(where):
        return email_sign_in.judge(turn, kept, typed.value), True
    return None, False


def _begin(seat: _Seat, standing: Standing, typed: Typed) -> _Tried:
    """Send a code, or make a challenge."""
    turn, way, user = seat.turn, typed.begin, standing.user
    blocked: Blocked | None = None
    if user is not None and way in standing.options:
        view = ASKED[way]
        if view.send is not None:
            blocked = view.send(turn, user)
            sent = {} if blocked else {"sent_to": view.values(turn, user)["sent_to"]}
            return _Tried(seat, sent, blocked)
        return _Tried(seat, _options(view.values(turn, user)["options"]))
    if way == "passkey" and passkey.is_offered(turn.where):
        return _Tried(seat, _options(passkey.sign_in_options(turn)))
    if way == "email" and typed.username and email_sign_in.is_offered(turn.where):
        kept = email_sign_in.ask(turn, typed.username)
        if isinstance(kept, Blocked):
            return _Tried(seat, blocked=kept)
        return _Tried(seat.changed(data={**turn.found.data, email_sign_in.WAY: kept}), {"sent": True})
    return _Tried(seat)


def _options(written: str) -> dict[str, Any]:
    return {"passkey_options": json.loads(written)}


def _started(seat: _Seat, standing: Standing) -> _Seat:
    """Everything before a session holds, so it starts, or the one there is goes on."""
    if standing.shown is None or standing.user is None:
        raise RuntimeError("a session starts for somebody")
    begun = session_start.begin(seat.turn.where, standing.user, standing.shown, seat.at)
    at = _terminal(seat.at.origin, begun.device, begun.session)
    seat = replace(seat, at=at, session=begun.session, turn=replace(seat.turn, elsewhere=at))
    return seat.changed(shown=None, signed_in_session=begun.session.sid, data={})


def _granted(step: Step, seat: _Seat, session: BrowserSession) -> Granted | None:
    """The code. None when the session ended a moment ago."""
    where, parts = step.tenant, pages.services()
    with parts.tenancy.session(where.id, write=True) as db:
        written = granting.granted(
            db, where, step.asked, step.client, session, seat.at.origin, allowed_here=False
        )
        if written is None:
            return None
        record = granting.code_record(where, step.asked, session, *written)
    code, store = codes.new(where.id, record)
    trip = Trip(parts.state)
    trip.add(store)
    granting.send(trip, where, session, step.client)
    left = (session.expires_at - clock.now()).total_seconds()
    device = Devices(parts.vault).seal(where.id, seat.at.device, step.holder)
    # What was shown for this request counts for no other.
    return Granted(code, seat.changed(signed_in_session=None).to_json(), max(1, int(left)), device)


def _unmet(step: Step, seat: _Seat, standing: Standing, members: dict[str, Any]) -> Outcome:
    kept = seat.changed(signed_in_session=None).to_json() if seat.session is not None else {}
    if isinstance(standing.step, Refuse):
        reason = standing.step.reason
        if standing.user is not None and reason in (access_rules.NETWORK, access_rules.HOURS):
            login.record_refusal(seat.turn, standing.user, reason)
        return Refused(replace(oauth.SILENT[standing.step.error], status=403), reason, kept)
    if isinstance(standing.step, Done):
        raise RuntimeError("everything holds for nobody")
    reason, page = standing.step.reason, standing.step.page
    if page == engine.SIGN_IN:
        factors = _first_factors(step)
    elif page == engine.FACTOR:
        factors = [_NAMES[way] for way in standing.options]
        if standing.more is not None:
            members = {"acr": standing.more.acr, **members}
    else:
        return Page(reason, kept, seat.login)
    return More(seat.to_json(), {"reason": reason, "factors": factors, **members})


def _first_factors(step: Step) -> list[str]:
    """What a sign-in may begin with: the tenant's to say, whoever it is."""
    where = step.tenant
    offered = (
        ("password", "password" in where.settings.authentication.methods),
        ("passkey", passkey.is_offered(where)),
        ("email_code", email_sign_in.is_offered(where)),
    )
    return [name for name, is_on in offered if is_on]
