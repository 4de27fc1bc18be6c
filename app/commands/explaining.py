"""Finding out about a token: whose it is, and which of the things it depends on do not hold."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import codes, refresh
from app.domain.models import Client, Grant, RefreshFamily, User
from app.domain.revocation import TokenFacts
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.state import Get, Key
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.protocols.oauth.issuance import ACCESS_TOKEN_TYPE, OPAQUE_KIND
from app.web.services import Services

ID_TOKEN = "an ID token"

_TIMES = ("exp", "nbf", "iat", "auth_time")
_SHOWN = (
    "iss sub aud client_id scope exp nbf iat auth_time acr amr jti sid grant_id tenant_id roles groups permissions azp"
).split()
_MARKS = {
    "token": "token.revoked",
    "grant": "grant.revoked",
    "session": "session.revoked",
    "user": "user.epoch",
    "client": "client.epoch",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that does not hold; `code` is of the catalogue."""

    code: str
    detail: str = ""


@dataclass(slots=True)
class Explanation:
    """What was found out. `facts` holds no secret."""

    kind: str
    tenant: str | None = None
    reasons: list[Reason] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    """What it is good for, where that is not an API and nothing speaks against it."""

    def refuse(self, code: str, detail: str = "") -> None:
        """Add a reason, once; where it was found without its detail, the detail."""
        told = {reason.code: at for at, reason in enumerate(self.reasons)}
        if code not in told:
            self.reasons.append(Reason(code, detail))
        elif detail and not self.reasons[told[code]].detail:
            self.reasons[told[code]] = Reason(code, detail)


def explain(services: Services, token: str) -> Explanation:
    """Tell what a token is and why it is refused, if it is."""
    if not token:
        return Explanation("nothing", reasons=[Reason("token.missing")])
    if (parts := refresh.parse(token)) is not None:
        return _refresh_token(services, token, parts)
    if token.count(".") == 2:
        return _signed(services, token)
    for tenant in services.tenants.all():
        name = lookup_hash(token)
        access, code = services.state.execute(
            Get(Key(tenant.id, OPAQUE_KIND, name)), Get(Key(tenant.id, codes.KIND, name))
        ).results
        if access is not None:
            found = Explanation("an opaque access token", tenant.slug)
            _access_token(services, tenant, json.loads(access), found)
            return found
        if code is not None:
            return _code(services, tenant, codes.CodeRecord.from_bytes(code))
    return Explanation("a value this deployment does not know", reasons=[Reason("token.unknown")])


def _signed(services: Services, token: str) -> Explanation:
    try:
        claimed = jose.unverified(token)
    except jose.InvalidToken as refusal:
        return Explanation("no token of any kind", reasons=[Reason(refusal.code, refusal.detail)])
    typ = str(claimed.header.get("typ", "")).lower().removeprefix("application/")
    is_access = typ == ACCESS_TOKEN_TYPE
    found = Explanation(
        "a JWT access token" if is_access else ID_TOKEN if typ in ("jwt", "") else f"a {typ} token"
    )
    found.facts = {**{f"header {k}": claimed.header[k] for k in ("alg", "kid", "typ") if k in claimed.header}}
    found.facts |= shown(claimed.claims)
    tenant = next((t for t in services.tenants.all() if t.issuer == claimed.claims.get("iss")), None)
    if tenant is None:
        found.refuse("token.wrong_environment", f"issuer {claimed.claims.get('iss')}")
        _check_times(claimed.claims, found)
        return found
    found.tenant = tenant.slug
    _check_signature(services, tenant, token, claimed.header, found)
    if is_access:
        _access_token(services, tenant, claimed.claims, found)
    else:
        _check_times(claimed.claims, found)
        if found.kind == ID_TOKEN:
            found.note = f"a good ID token for client {claimed.claims.get('aud')}; APIs refuse it"
        else:
            found.refuse("token.type", "it is for another purpose; it opens no API")
    return found


def _check_signature(
    services: Services, tenant: TenantContext, token: str, header: Mapping[str, Any], found: Explanation
) -> None:
    kid = str(header.get("kid"))
    if services.keyring.is_revoked(tenant.id, kid):
        found.refuse("key.revoked", f"key {kid}")
        return
    try:
        keys = services.keyring.verification_keys(tenant.id)
        jose.verify(token, keys, algorithms=jose.ASYMMETRIC_ALGORITHMS)
    except jose.InvalidToken as refusal:
        found.refuse(refusal.code, refusal.detail)


def _access_token(
    services: Services, tenant: TenantContext, claims: Mapping[str, Any], found: Explanation
) -> None:
    found.facts |= shown(claims)
    _check_times(claims, found)
    if claims.get("tenant_id") != tenant.id:
        found.refuse("token.wrong_environment", "its tenant_id is another tenant's")
        return
    facts = _facts(services, claims)
    if facts is None:
        found.refuse("token.malformed", "it lacks claims that every access token of ours has")
        return
    _check_marks(services, facts, found)
    with services.tenancy.session(tenant.id) as session:
        _check_client(session, facts.client_id, facts.client_epoch, found)
        if facts.user_id is not None:
            _check_user(session, facts.user_id, facts.user_epoch, found)
        if facts.grant_id is not None:
            _check_grant(session, facts.grant_id, found)


def _check_marks(services: Services, facts: TokenFacts, found: Explanation) -> None:
    asked = services.revocations.check_ops(facts)
    marks = services.state.execute(*asked).results
    # One mark at a time, so that every one that holds is told rather than the first.
    for index in range(len(asked)):
        alone = [mark if at == index else None for at, mark in enumerate(marks)]
        if (kind := services.revocations.revoked_by(alone, facts)) is not None:
            found.refuse(_MARKS[kind])


def _facts(services: Services, claims: Mapping[str, Any]) -> TokenFacts | None:
    subjects = services.keyring.subjects
    try:
        user_epoch, client_epoch = map(int, str(claims["epoch"]).split("."))
        client_id, tenant_id = str(claims["client_id"]), str(claims["tenant_id"])
        has_person = claims.get("grant_id") is not None
        return TokenFacts(
            tenant_id=tenant_id,
            token_id=str(claims["jti"]),
            client_id=client_id,
            client_epoch=client_epoch,
            user_id=subjects.user_id(tenant_id, str(claims["sub"])) if has_person else None,
            user_epoch=user_epoch,
            grant_id=claims.get("grant_id"),
            session_id=claims.get("sid"),
        )
    except (KeyError, ValueError):
        return None


def _check_times(claims: Mapping[str, Any], found: Explanation) -> None:
    now = clock.timestamp(clock.now())
    expires, begins = claims.get("exp"), claims.get("nbf")
    if not isinstance(expires, int | float):
        found.refuse("token.malformed", "it has no expiry")
    elif expires <= now:
        found.refuse("token.expired", f"{int(now - expires)} seconds ago")
    if isinstance(begins, int | float) and begins > now:
        found.refuse("token.not_yet", f"in {int(begins - now)} seconds")


def _check_client(session: Session, client_id: str, epoch: int, found: Explanation) -> None:
    row = session.scalar(select(Client).where(Client.client_id == client_id))
    if row is None:
        found.refuse("client.unknown", f"client {client_id} was deleted")
    elif row.disabled_at is not None:
        found.refuse("client.disabled", f"client {client_id}")
    elif epoch < row.epoch:
        found.refuse("client.epoch", f"client {client_id}")


def _check_user(session: Session, user_id: str, epoch: int, found: Explanation) -> None:
    row = session.scalar(select(User).where(User.id == user_id))
    if row is None:
        found.refuse("user.unknown", "the person was deleted")
        return
    found.facts["username"] = row.username
    if row.disabled_at is not None:
        found.refuse("user.disabled")
    if epoch < row.epoch:
        found.refuse("user.epoch")


def _check_grant(session: Session, grant_id: str, found: Explanation) -> None:
    row = session.scalar(select(Grant).where(Grant.id == grant_id))
    if row is None:
        found.refuse("grant.unknown")
    elif row.revoked_at is not None:
        found.refuse("grant.revoked", f"{row.revoked_reason}, {_moment(row.revoked_at)}")


def _refresh_token(services: Services, token: str, parts: refresh.RefreshToken) -> Explanation:
    found = Explanation("a refresh token", facts={"family": parts.family_id, "generation": parts.generation})
    with services.tenancy.system(SystemReason.COMMAND_LINE) as session:
        tenant_id = session.scalar(select(RefreshFamily.tenant_id).where(RefreshFamily.id == parts.family_id))
    tenant = services.tenants.by_id(tenant_id) if tenant_id else None
    if tenant is None:
        found.refuse("refresh.unknown")
        return found
    found.tenant = tenant.slug
    with services.tenancy.session(tenant.id) as session:
        owner = services.refresh_tokens.owner(session, tenant.id, token)
        if owner is None:
            found.refuse("token.signature", "the family is known, but its key did not make this token")
            return found
        family, grant = owner
        found.facts |= {
            "newest generation": family.generation,
            "client_id": grant.client_id,
            "sub": grant.user_id,
            "scope": " ".join(grant.scopes),
            "grant_id": grant.id,
            "expires": _moment(family.expires_at),
        }
        if family.expires_at <= clock.now():
            found.refuse("refresh.expired", _moment(family.expires_at))
        if family.revoked_at is not None:
            found.refuse("refresh.revoked", _moment(family.revoked_at))
        if parts.generation < family.generation:
            found.refuse("refresh.replaced", f"replaced {_moment(family.rotated_at)}")
        _check_grant(session, grant.id, found)
        _check_client(session, grant.client_id, _NEVER_OLD, found)
        _check_user(session, grant.user_id, _NEVER_OLD, found)
    return found


_NEVER_OLD = 1 << 62
"""Refresh tokens carry no epoch: their grant and family are asked instead."""


def _code(services: Services, tenant: TenantContext, record: codes.CodeRecord) -> Explanation:
    found = Explanation("an authorization code", tenant.slug)
    found.facts = {
        "client_id": record.client_id,
        "sub": record.user_id,
        "redirect_uri": record.redirect_uri,
        "scope": " ".join(record.scopes),
        "grant_id": record.grant_id,
        "expires": _moment(clock.from_timestamp(record.expires_at)),
    }
    if record.expired:
        found.refuse("code.expired")
    with services.tenancy.session(tenant.id) as session:
        row = session.scalar(select(Grant).where(Grant.id == record.grant_id))
        if row is not None and row.code_redeemed_at is not None:
            found.refuse("code.replayed", f"redeemed {_moment(row.code_redeemed_at)}")
        _check_grant(session, record.grant_id, found)
    return found


def shown(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims worth telling, times in words. Nothing about the person but who it is."""
    found: dict[str, Any] = {}
    for name in _SHOWN:
        if name in claims:
            found[name] = _time(claims[name]) if name in _TIMES else claims[name]
    return found


def _time(value: Any) -> Any:
    try:
        return _moment(clock.from_timestamp(value))
    except (TypeError, ValueError, OverflowError, OSError):
        return value


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
