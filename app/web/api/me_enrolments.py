"""`/api/v1/me/factors`, adding one: what has to be set up is given first, and shown to work afterwards.

The same factors as those of the pages (`web.factors`), kept under an id for ten minutes in between. What is asked
before either step is `authenticate`'s: a recent sign-in, with a second factor where the caller has one.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.domain import assurance, authenticators
from app.domain.assurance import Method
from app.infra.limits import RateLimited
from app.infra.state import Get, Key, Put, TakeOnce
from app.kernel import ids
from app.kernel.errors import Problem
from app.protocols.login.devices import Device
from app.protocols.login.factors import totp
from app.protocols.login.interactions import Interaction
from app.web import pages
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import FactorAdded, FactorBegin, FactorBegun, FactorProof, FactorView
from app.web.cookies import Stub
from app.web.factors import ADDED, keeping, passkey, sms, tries
from app.web.factors.totp import UNNAMED
from app.web.terminal import Terminal
from app.web.turns import Turn

KIND = "enrolment"
SECONDS = 600
_PURPOSE = "api-enrolment"
_WAYS = {"totp": "totp", "phone": "sms", "passkey": "passkey"}
"""The view of the enrolment page that adds the same."""

Add = Callable[[Session], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is being added."""

    id: str
    kind: str
    data: Mapping[str, str]


def begin(caller: Caller, _query: NoQuery, body: FactorBegin) -> FactorBegun:
    """Give what is needed to set a factor up. Raises `Problem`: `factor.not_offered` (409), `phone.invalid`."""
    if not ADDED[_WAYS[body.kind]].is_offered(caller.tenant):
        raise Problem("factor.not_offered", "Factors of this kind are not offered here.", status=409)
    if (body.kind == "phone") != (body.number is not None):
        raise Problem("request.invalid", "A number goes with a phone, and with nothing else.")
    enrolment_id = ids.new_id()
    begun = _BEGIN[body.kind](caller, enrolment_id, body)
    return begun.model_copy(update={"id": enrolment_id})


def confirm(caller: Caller, _query: NoQuery, body: FactorProof, enrolment_id: UUID) -> FactorAdded:
    """Keep a factor that was shown to work. Raises `Problem`: `factor.unknown` (404), `factor.code_wrong`,
    `factor.code_expired`, `factor.too_many`, and what `passkey.made` raises."""
    key = _key(caller, str(enrolment_id))
    raw = pages.services().state.execute(Get(key)).results[0]
    if raw is None:
        raise Problem("factor.unknown", "There is nothing to be confirmed by this id.", status=404)
    begun = _opened(caller, str(enrolment_id), raw)
    add, method = _CONFIRM[begun.kind](caller, begun, body)
    # Of any number of confirmations one adds it.
    if pages.services().state.execute(TakeOnce(key)).results[0] != raw:
        raise Problem("factor.unknown", "There is nothing to be confirmed by this id.", status=404)
    added: list[str] = []

    def noted(db: Session) -> tuple[str, str]:
        found = add(db)
        added.append(found[0])
        return found

    # The pepper may have to be made, which takes a transaction of its own.
    pages.services().deployment_secrets.pepper()
    with pages.services().tenancy.session(caller.tenant.id, write=True) as db:
        codes = keeping.write(db, caller.tenant, caller.user, noted, method, caller.event)
        row = next(r for r in authenticators.of_user(db, caller.user.id) if r.id == added[0])
        return FactorAdded(factor=FactorView.of(row), recovery_codes=codes)


def _totp(caller: Caller, enrolment_id: str, body: FactorBegin) -> FactorBegun:
    secret, user = totp.new_secret(), caller.user
    _keep(caller, enrolment_id, "totp", secret=secret)
    uri = totp.uri(secret, account=user.email or user.username, issuer=caller.tenant.name)
    return FactorBegun(id="", kind="totp", expires_in=SECONDS, secret=secret, uri=uri)


def _phone(caller: Caller, enrolment_id: str, body: FactorBegin) -> FactorBegun:
    number = sms.number_of(body.number or "")
    if number is None:
        raise Problem(
            "phone.invalid", "A telephone number with its country code is wanted, such as +491701234567."
        )
    blocked = sms.send(
        _turn(caller, enrolment_id), caller.user, number, sms.ENROLMENT, f"{caller.user.id} {number}"
    )
    if blocked is not None:
        raise RateLimited(blocked.reason, blocked.retry_after_seconds)
    _keep(caller, enrolment_id, "phone", number=number)
    return FactorBegun(id="", kind="phone", expires_in=SECONDS, sent_to=authenticators.masked(number))


def _passkey(caller: Caller, enrolment_id: str, body: FactorBegin) -> FactorBegun:
    options = passkey.creation_options(_turn(caller, enrolment_id), caller.user)
    _keep(caller, enrolment_id, "passkey")
    return FactorBegun(id="", kind="passkey", expires_in=SECONDS, passkey_options=json.loads(options))


def _confirm_totp(caller: Caller, begun: _Begun, body: FactorProof) -> tuple[Add, Method]:
    step = totp.step_of(begun.data["secret"], body.code or "")
    if step is None:
        raise Problem("factor.code_wrong", "That code is not right.")

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_totp(
            db,
            pages.services().vault,
            caller.tenant.id,
            caller.user.id,
            name=body.name or UNNAMED,
            secret=begun.data["secret"],
            step=step,
        )
        return row.id, row.name

    return add, assurance.TOTP


def _confirm_phone(caller: Caller, begun: _Begun, body: FactorProof) -> tuple[Add, Method]:
    number = begun.data["number"]
    # Five tries, and then the code is good for nothing.
    subject = tries.codes().check(caller.tenant.id, begun.id, sms.ENROLMENT, body.code or "")
    if subject != f"{caller.user.id} {number}":
        raise Problem("factor.code_expired", "That code is wrong or has expired. Begin again.")

    def add(db: Session) -> tuple[str, str]:
        row = authenticators.add_phone(db, caller.user.id, number=number, name=body.name or "")
        return row.id, row.name

    return add, assurance.SMS


def _confirm_passkey(caller: Caller, begun: _Begun, body: FactorProof) -> tuple[Add, Method]:
    answer = json.dumps(body.credential or {})
    new = passkey.made(_turn(caller, begun.id), caller.user, answer)

    def add(db: Session) -> tuple[str, str]:
        row = passkey.keep(db, caller.user, new, authenticators.named(body.name or "Passkey"))
        return row.id, row.name

    return add, new.method


def _turn(caller: Caller, enrolment_id: str) -> Turn:
    """What codes and challenges are bound to, as if it were a sign-in's."""
    origin = pages.origin(caller.token.client_id)
    at = Terminal(origin, Device(), list)
    return Turn(caller.tenant, Interaction(enrolment_id, None, None), Stub(""), is_new=False, elsewhere=at)


def _keep(caller: Caller, enrolment_id: str, kind: str, **data: str) -> None:
    parts = pages.services()
    sealed = parts.vault.seal(_PURPOSE, json.dumps(data).encode(), **_place(caller, enrolment_id))
    content = json.dumps([kind, base64.b64encode(sealed).decode("ascii")]).encode()
    parts.state.execute(Put(_key(caller, enrolment_id), content, SECONDS))


def _opened(caller: Caller, enrolment_id: str, raw: bytes) -> _Begun:
    kind, sealed = json.loads(raw)
    place: dict[str, Any] = _place(caller, enrolment_id)
    content = pages.services().vault.open(_PURPOSE, base64.b64decode(sealed), **place)
    return _Begun(enrolment_id, kind, json.loads(content))


def _place(caller: Caller, enrolment_id: str) -> dict[str, str]:
    return {"tenant": caller.tenant.id, "table": "enrolments", "column": "data", "row": enrolment_id}


def _key(caller: Caller, enrolment_id: str) -> Key:
    """The person's alone: the id of somebody else's is nobody's."""
    return Key(caller.tenant.id, KIND, f"{caller.user.id}:{enrolment_id}")


_BEGIN = {"totp": _totp, "phone": _phone, "passkey": _passkey}
_CONFIRM = {"totp": _confirm_totp, "phone": _confirm_phone, "passkey": _confirm_passkey}
