"""Tokens of issuers this tenant trusts: verified, not yet judged (RFC 7523 section 3, RFC 7521 section 5.2)."""

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.tenants import TenantContext
from app.domain.trusted_issuers import IssuerRecord, TrustedIssuers, is_web_uri
from app.infra import jose
from app.infra.jose import InvalidToken
from app.infra.state import Key, PutIfAbsent
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash
from app.protocols.oauth.client_keys import (
    COOLDOWN_SECONDS,
    FRESH_SECONDS,
    MAX_BYTES,
    MAX_ENTRIES,
    TIMEOUT_SECONDS,
    ClientKeys,
    Fetches,
)

SKEW_SECONDS = 30
"""An issuer's clock may be that far ahead of or behind ours."""
NEVER = frozenset(
    {"dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt"}
)
"""Types of JWTs made for something else (RFC 8725 section 3.12). Others pass: issuers use several, or none."""


class ForeignRefused(Problem):
    """A token that is worth nothing here. `code` is the reason, for log and audit; the client is not told."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, "The token is not valid.", detail=detail)


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token a trusted issuer signed for us, within its times."""

    issuer: IssuerRecord
    claims: Mapping[str, Any]
    subject: str
    expires_at: int
    used: PutIfAbsent | None
    """The operation that says whether it is a first use; None where its issuer's tokens are good for several."""

    @property
    def token_id(self) -> str | None:
        """Its `jti`, for the audit."""
        jti = self.claims.get("jti")
        return jti if isinstance(jti, str) else None


def issuer_of(token: str) -> str | None:
    """Whose token it says it is, nothing verified; None when it is no JWT or names nobody."""
    try:
        issuer = jose.unverified(token).claims.get("iss")
    except InvalidToken:
        return None
    return issuer if isinstance(issuer, str) else None


class ForeignTokens:
    """Verifies tokens of trusted issuers."""

    def __init__(self, issuers: TrustedIssuers, keys: ClientKeys, fetcher: Fetches) -> None:
        self._issuers = issuers
        self._keys = keys
        self._found = _Discovered(fetcher)

    def verify(
        self, token: str, tenant: TenantContext, *, audiences: Collection[str] = (), strict: bool = False
    ) -> ForeignToken:
        """The token, its issuer, signature, audience and times verified. Raises `ForeignRefused`.

        It has to be meant for this issuer, its token endpoint, or what the issuer is trusted with as an audience
        (contracts, X-3); with `strict` for one of `audiences` alone.
        """
        issuer = issuer_of(token)
        record = self._issuers.get(tenant.id, issuer) if issuer else None
        if record is None:
            raise ForeignRefused("issuer.unknown", f"issuer {issuer!r:.300} is not trusted")
        claims = self._signed(token, record, tenant.id)
        allowed = set(audiences) if strict else {tenant.issuer, f"{tenant.issuer}/token", *record.audiences}
        _check_audience(claims.get("aud"), allowed)
        expires_at = _check_times(claims, record.max_seconds)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 1000:
            raise ForeignRefused("assertion.invalid", "sub is missing or no text")
        used = _use(record, token, claims, tenant.id, expires_at) if record.single_use else None
        return ForeignToken(record, claims, subject, int(expires_at), used)

    def vouched(
        self, statement: str, tenant: TenantContext, issuers: Collection[str]
    ) -> tuple[str, Mapping[str, Any]]:
        """Who vouches for a piece of software, and what they say of it (RFC 7591 section 2.3). Raises `ForeignRefused`.

        Times and audience count where the statement has them. It names its `software_id`: another token of the same
        issuer is no statement (RFC 8725 section 3.12).
        """
        issuer = issuer_of(statement)
        record = self._issuers.get(tenant.id, issuer) if issuer in issuers and issuer else None
        if record is None:
            raise ForeignRefused("statement.issuer", f"issuer {issuer!r:.300} vouches for nobody here")
        claims = self._signed(statement, record, tenant.id)
        if "aud" in claims:
            _check_audience(claims["aud"], {tenant.issuer, f"{tenant.issuer}/register", *record.audiences})
        now, exp = clock.now().timestamp(), _number(claims, "exp")
        if exp is not None and exp <= now - SKEW_SECONDS:
            raise ForeignRefused("assertion.times", f"exp {exp}, now {now:.0f}")
        _check_begun(claims, now)
        if not isinstance(claims.get("software_id"), str) or not claims["software_id"]:
            raise ForeignRefused("assertion.invalid", "software_id is missing or no text")
        return record.issuer, claims

    def _signed(self, token: str, record: IssuerRecord, tenant_id: str) -> Mapping[str, Any]:
        try:
            verified = self._keys.verify(token, tenant_id, self._source(record), record.algorithms)
        except InvalidToken as fault:
            raise ForeignRefused("assertion.invalid", f"{fault.code}: {fault.detail}") from None
        if verified is None:
            raise ForeignRefused("issuer.keys_unavailable", f"no keys of {record.issuer}")
        typ = verified.header.get("typ")
        if isinstance(typ, str) and typ.lower().removeprefix("application/") in NEVER:
            raise ForeignRefused("assertion.invalid", f"a token of type {typ!r:.80} is for something else")
        return verified.claims

    def _source(self, record: IssuerRecord) -> "_Source":
        if record.jwks is not None or record.jwks_uri is not None:
            return _Source(record.client_id, record.jwks, record.jwks_uri)
        uri = self._found.jwks_uri(record.issuer)
        if uri is None:
            raise ForeignRefused("issuer.keys_unavailable", f"{record.issuer} could not be discovered")
        return _Source(record.client_id, None, uri)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where keys come from, as `ClientKeys` asks."""

    client_id: str
    jwks: Mapping[str, Any] | None
    jwks_uri: str | None


@dataclass(slots=True)
class _Place:
    uri: str | None
    found_at: float
    tried_at: float


class _Discovered:
    """Where issuers publish their keys (OpenID Connect Discovery 1.0 section 4). Bounded; asked again after a while."""

    def __init__(self, fetcher: Fetches) -> None:
        self._fetcher = fetcher
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def jwks_uri(self, issuer: str) -> str | None:
        """The issuer's `jwks_uri`, or None while its document cannot be had."""
        now = clock.now().timestamp()
        with self._lock:
            place = self._places.setdefault(issuer, _Place(None, 0, 0))
            self._places.move_to_end(issuer)
            if len(self._places) > MAX_ENTRIES:
                self._places.popitem(last=False)
            stale = now - place.found_at > FRESH_SECONDS
            due = stale and now - place.tried_at >= COOLDOWN_SECONDS
            if due:
                place.tried_at = now
        if due and (uri := self._discover(issuer)) is not None:
            place.uri, place.found_at = uri, now
        return place.uri

    def _discover(self, issuer: str) -> str | None:
        try:
            answer = self._fetcher.get(
                issuer.rstrip("/") + "/.well-known/openid-configuration",
                max_bytes=MAX_BYTES,
                timeout_seconds=TIMEOUT_SECONDS,
                accept="application/json",
            )
            document = json.loads(answer.body) if answer.status == 200 else None
        except (Problem, ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            return None
        uri = document.get("jwks_uri")
        return uri if isinstance(uri, str) and is_web_uri(uri) else None


def _check_audience(aud: Any, allowed: Collection[str]) -> None:
    values = [aud] if isinstance(aud, str) else aud
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ForeignRefused("assertion.audience", "aud is missing or no text")
    if set(values).isdisjoint(allowed):
        raise ForeignRefused("assertion.audience", f"meant for {values!r:.300}")


def _check_times(claims: Mapping[str, Any], max_seconds: int) -> float:
    """Gives when it expires (RFC 7523 section 3, items 4 to 6)."""
    now = clock.now().timestamp()
    exp = _number(claims, "exp")
    if exp is None or exp <= now - SKEW_SECONDS or exp > now + max_seconds + SKEW_SECONDS:
        raise ForeignRefused("assertion.times", f"exp {exp}, now {now:.0f}")
    _check_begun(claims, now)
    return exp


def _check_begun(claims: Mapping[str, Any], now: float) -> None:
    for name in ("nbf", "iat"):
        moment = _number(claims, name)
        if moment is not None and moment > now + SKEW_SECONDS:
            raise ForeignRefused("assertion.times", f"{name} {moment}, now {now:.0f}")


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1 << 53:
        raise ForeignRefused("assertion.times", f"{name} is no NumericDate")
    return float(value)


def _use(
    record: IssuerRecord, token: str, claims: Mapping[str, Any], tenant_id: str, expires_at: float
) -> PutIfAbsent:
    """What remembers a token for as long as it would be accepted (RFC 7523 section 3, item 7).

    A token without `jti` is known by its signed part: what is before the signature, which some algorithms can vary.
    """
    jti = claims.get("jti")
    name = jti if isinstance(jti, str) and jti else token.rpartition(".")[0]
    ttl = max(1, int(expires_at - clock.now().timestamp()) + SKEW_SECONDS + 1)
    return PutIfAbsent(
        Key(tenant_id, "foreign-token", lookup_hash(f"{record.issuer}\0{name}")), b"1", ttl, required=True
    )
