"""Everything stored about a person, for that person: one JSON document, written as it is read.

What shows who they are to this server stays here: password hashes, sealed secrets and hashes of codes are of no use to
anybody but a thief. `PARTS` names every table with rows of a person; a test finds tables that are missing.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, inspect, select

from app.domain.access.rbac import access_of
from app.domain.models import (
    Authenticator,
    Consent,
    FormerPassword,
    Grant,
    OneTimeLink,
    RecoveryCode,
    RefreshFamily,
    TrustedDevice,
    User,
    UserGroup,
    UserRole,
)
from app.domain.session_views import SessionView
from app.infra import audit_chain
from app.infra.tenancy import Tenancy
from app.kernel import clock

_PAGE = 200
_SECRET = ("_hash", "_sealed", "secret", "_key")
"""How names of columns end that hold nothing a person could read."""
_OF_WHOEVER_DID_IT = frozenset({"user", "email", "ip", "user_agent", "session", "grant", "mfa_used"})


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one table that are about a person."""

    name: str
    model: type[Any]
    belongs: Callable[[str], ColumnElement[bool]]
    """Which rows are a person's, by their id."""


def _of(name: str, model: type[Any]) -> Part:
    return Part(name, model, lambda user_id: model.user_id == user_id)


def _families_of(user_id: str) -> ColumnElement[bool]:
    return RefreshFamily.grant_id.in_(select(Grant.id).where(Grant.user_id == user_id))


PARTS: tuple[Part, ...] = (
    Part("account", User, lambda user_id: User.id == user_id),
    _of("roles", UserRole),
    _of("groups", UserGroup),
    _of("authenticators", Authenticator),
    _of("recovery_codes", RecoveryCode),
    _of("former_passwords", FormerPassword),
    _of("trusted_devices", TrustedDevice),
    _of("links", OneTimeLink),
    _of("consents", Consent),
    _of("grants", Grant),
    Part("refresh_tokens", RefreshFamily, _families_of),
)


def export(tenancy: Tenancy, tenant_id: str, user_id: str, sessions: Sequence[SessionView]) -> Iterator[str]:
    """The document, piece by piece. Each piece is read in a short transaction of its own, however long the reader
    takes. `sessions` are the person's, which the state store holds."""
    yield "{" + _member("exported_at", clock.now()) + ","
    with tenancy.session(tenant_id) as session:
        access = access_of(session, user_id)
    yield _member("access", {"roles": sorted(access.roles), "groups": sorted(access.groups)}) + ","
    yield _member("sessions", [asdict(view) for view in sessions])
    for part in PARTS:
        yield f",{json.dumps(part.name)}:["
        yield from _joined(_rows(tenancy, tenant_id, part, user_id))
        yield "]"
    yield ',"audit":['
    yield from _joined(_audit(tenancy, tenant_id, user_id))
    yield "]}\n"


def _rows(tenancy: Tenancy, tenant_id: str, part: Part, user_id: str) -> Iterator[Any]:
    mapper = inspect(part.model)
    keys = [mapper.get_property_by_column(column).class_attribute for column in mapper.primary_key]
    start = 0
    while True:
        query = select(part.model).where(part.belongs(user_id)).order_by(*keys).offset(start).limit(_PAGE)
        with tenancy.session(tenant_id) as session:
            found = [_told(row) for row in session.scalars(query)]
        yield from found
        if len(found) < _PAGE:
            return
        start += _PAGE


def _audit(tenancy: Tenancy, tenant_id: str, user_id: str) -> Iterator[Any]:
    """What is on record, and then what waits to be. That is read first: what is appended meanwhile is in the chain."""
    with tenancy.session(tenant_id) as session:
        waiting = {record["id"]: record for record in audit_chain.waiting_of_user(session, user_id)}
    after = 0
    while True:
        with tenancy.session(tenant_id) as session:
            found = audit_chain.of_user(session, user_id, after=after, limit=_PAGE)
        for _, record in found:
            waiting.pop(record["id"], None)
            yield _for_them(record, user_id)
        if len(found) < _PAGE:
            break
        after = found[-1][0]
    yield from (_for_them(record, user_id) for record in waiting.values())


def _for_them(record: dict[str, Any], user_id: str) -> dict[str, Any]:
    """A record as the person may read it: of what somebody else did to them, not who that was and from where."""
    if record["user"] == user_id:
        return record
    return {name: value for name, value in record.items() if name not in _OF_WHOEVER_DID_IT}


def _told(row: Any) -> dict[str, Any]:
    """A row without what is not for reading."""
    shown = {}
    for attribute in inspect(type(row)).column_attrs:
        (column,) = attribute.columns
        secret = isinstance(column.type, LargeBinary) or attribute.key.endswith(_SECRET)
        if not secret and attribute.key != "tenant_id":
            shown[attribute.key] = getattr(row, attribute.key)
    return shown


def _joined(items: Iterator[Any]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield ("," if number else "") + _dump(item)


def _member(name: str, value: Any) -> str:
    return f"{json.dumps(name)}:{_dump(value)}"


def _dump(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"personal data cannot hold a {type(value).__name__}")
