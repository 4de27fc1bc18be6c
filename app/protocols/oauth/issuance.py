"""The one door for tokens: everything a token depends on goes in, a token response comes out.

Access tokens are JWTs of RFC 9068 or opaque, as the resource asks; ID tokens are those of OpenID Connect Core
section 2. Which claims there are is settled in the contracts, "Claims".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from app.domain import claims as domain_claims
from app.domain import registered_clients
from app.domain.access.rbac import NOBODY, Access
from app.domain.clients import ClientRecord
from app.domain.resources import ResourceRecord
from app.domain.tenants import TenantContext
from app.infra import jose, json_text
from app.infra.keyring import Keyring
from app.infra.state import Key, Op, Put
from app.kernel import clock, ids
from app.kernel.secrets import lookup_hash, new_secret
from app.protocols.oauth import lineage, profiles
from app.protocols.oauth.audience import Resources
from app.protocols.oauth.authlib_seam import TokenResponse
from app.protocols.oauth.lineage import Lineage
from app.protocols.oauth.reply import encode
from app.protocols.oauth.trip import Trip

ACCESS_TOKEN_ALGORITHM = "ES256"
ACCESS_TOKEN_TYPE = "at+jwt"
OPAQUE_KIND = "access-token"
ID_TOKEN_SECONDS = 3600
"""How long a relying party may take to look at an ID token. It says nothing of the session."""
INCLUDABLE = ("roles", "groups", "permissions")


@dataclass(frozen=True, slots=True)
class Subject:
    """The person a token speaks of."""

    user_id: str
    epoch: int
    access: Access = NOBODY
    everything: Mapping[str, Any] = field(default_factory=dict)
    """Every claim we hold of the person (`domain.claims.person`)."""


@dataclass(slots=True)  # Not frozen: that alone doubles what making one costs.
class Issuance:
    """Everything tokens depend on. Times are NumericDates."""

    tenant: TenantContext
    client: ClientRecord
    grant_type: str
    scopes: tuple[str, ...]
    audience: tuple[str, ...]
    subject: Subject | None = None
    """None: the client acts for itself."""
    grant_id: str | None = None
    session_id: str | None = None
    offline: bool = False
    """Whether it outlives the session. Then the access token names none, or signing out would revoke it."""
    not_after: int | None = None
    """What the token may not outlive: the session, where it is bound to one."""
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    nonce: str | None = None
    claims_request: Mapping[str, Any] = field(default_factory=dict)
    authorization_details: tuple[Mapping[str, Any], ...] = ()
    """What the token allows in detail (RFC 9396), as it stands in token and answer."""
    cnf: Mapping[str, Any] | None = None
    act: Mapping[str, Any] | None = None
    principal: str | None = None
    """The client it speaks of, where that is another than the one it is issued to and no person is its subject."""
    hops: Lineage = ()
    """What it was exchanged for."""
    with_id_token: bool = True
    """Whether the scope `openid` brings an ID token along."""
    refresh_token: str | None = field(default=None, repr=False)
    token_id: str = field(default_factory=ids.new_token_id)

    def on_record(self, resources: Resources) -> dict[str, Any]:
        """What the audit says of it."""
        return {
            "grant_type": self.grant_type,
            "token_id": self.token_id,
            "scopes": list(self.scopes),
            "resources": list(self.audience),
            "format": "opaque" if _is_opaque(_resources(resources, self.audience)) else "jwt",
            **({"bound_to": sorted(self.cnf)} if self.cnf else {}),
        }


def issue(issuance: Issuance, keyring: Keyring, resources: Resources, trip: Trip) -> TokenResponse:
    """Make the tokens. An opaque one is stored by an operation added to `trip`, which has to go before the answer."""
    now = clock.timestamp(clock.now())
    here = _resources(resources, issuance.audience)
    seconds = _lifetime(issuance, here, now)
    facts = encode(_access_claims(issuance, keyring, here, now, seconds))
    token = _access_token(facts, issuance.tenant.id, seconds, keyring, trip, opaque=_is_opaque(here))
    response = _response(issuance, token, seconds)
    for operation in uses(issuance.tenant.id, issuance.client):
        trip.add(operation)
    if issuance.refresh_token is not None:
        response["refresh_token"] = issuance.refresh_token
    if issuance.with_id_token and issuance.subject is not None and "openid" in issuance.scopes:
        response["id_token"] = _id_token(issuance, issuance.subject, keyring, token, now)
    return response


def uses(tenant_id: str, client: ClientRecord) -> tuple[Op, ...]:
    """What notes that something was granted, for a client that registered itself."""
    return (registered_clients.note_use(tenant_id, client.client_id),) if client.is_registered else ()


def _access_token(
    facts: bytes, tenant_id: str, seconds: int, keyring: Keyring, trip: Trip, *, opaque: bool
) -> str:
    if opaque:
        token = new_secret()
        trip.add(Put(Key(tenant_id, OPAQUE_KIND, lookup_hash(token)), facts, seconds))
        return token
    return keyring.current(tenant_id, ACCESS_TOKEN_ALGORITHM).sign_encoded(facts, ACCESS_TOKEN_TYPE)


@dataclass(frozen=True, slots=True)
class Template:
    """An access token that is issued again and again: everything of it but when, and which one it is."""

    tenant_id: str
    facts: json_text.Form
    seconds: int
    opaque: bool
    response: json_text.Form

    def issue(self, token_id: str, moment: datetime, keyring: Keyring, trip: Trip) -> bytes:
        """The body of another token response, as `issue` would make it at `moment`."""
        now = clock.timestamp(moment)
        facts = self.facts.fill(exp=now + self.seconds, iat=now, jti=token_id)
        token = _access_token(facts, self.tenant_id, self.seconds, keyring, trip, opaque=self.opaque)
        return self.response.fill(token=token)


def template(issuance: Issuance, keyring: Keyring, resources: Resources) -> Template | None:
    """What is the same each time of a client's own access token; None where it may be another each time."""
    here = _resources(resources, issuance.audience)
    is_plain = issuance.subject is None and issuance.not_after is None and issuance.cnf is None
    if not is_plain or issuance.refresh_token is not None or any(resource.claims for resource in here):
        return None
    now = clock.timestamp(clock.now())
    seconds = _lifetime(issuance, here, now)
    gaps = {name: json_text.number_gap(name) for name in ("exp", "iat")} | {"jti": json_text.text_gap("jti")}
    return Template(
        issuance.tenant.id,
        json_text.Form({**_access_claims(issuance, keyring, here, now, seconds), **gaps}),
        seconds,
        _is_opaque(here),
        json_text.Form(_response(issuance, json_text.text_gap("token"), seconds)),
    )


def _response(issuance: Issuance, token: str, seconds: int) -> TokenResponse:
    """RFC 6749 section 5.1."""
    response = TokenResponse(
        access_token=token, token_type=_kind(issuance), expires_in=seconds, scope=" ".join(issuance.scopes)
    )
    if issuance.authorization_details:
        response["authorization_details"] = list(issuance.authorization_details)
    return response


def _kind(issuance: Issuance) -> str:
    """RFC 9449 section 5; tokens bound to a certificate are presented as Bearer (RFC 8705 section 3)."""
    return "DPoP" if issuance.cnf and "jkt" in issuance.cnf else "Bearer"


def is_opaque(issuance: Issuance, resources: Resources) -> bool:
    """Whether the access token will be one that only we can read."""
    return _is_opaque(_resources(resources, issuance.audience))


def _is_opaque(here: list[ResourceRecord]) -> bool:
    """One resource that wants it is enough: a token readable to another of them would tell what it holds."""
    return any(resource.access_token_format == "opaque" for resource in here)


def _resources(resources: Resources, audience: tuple[str, ...]) -> list[ResourceRecord]:
    return [resources[target] for target in audience if target in resources]


def _lifetime(issuance: Issuance, here: list[ResourceRecord], now: int) -> int:
    """The least of what client, resources and session allow; where none says anything, what the tenant does."""
    said = [r.access_token_seconds for r in here if r.access_token_seconds]
    if issuance.client.access_token_seconds:
        said.append(issuance.client.access_token_seconds)
    seconds = min(said) if said else issuance.tenant.settings.tokens.access_seconds
    return seconds if issuance.not_after is None else max(1, min(seconds, issuance.not_after - now))


def _subject(issuance: Issuance, subject: Subject, keyring: Keyring) -> str:
    """How the client knows the person (OpenID Connect Core section 8)."""
    return keyring.subjects.of(issuance.tenant.id, issuance.client.sector, subject.user_id)


def _access_claims(
    issuance: Issuance, keyring: Keyring, here: list[ResourceRecord], now: int, seconds: int
) -> dict[str, Any]:
    """RFC 9068 section 2.2, and ours: `grant_id` and `epoch` are what revocation marks are compared with."""
    subject, client, audience = issuance.subject, issuance.client, issuance.audience
    claims: dict[str, Any] = {
        "iss": issuance.tenant.issuer,
        "sub": _subject(issuance, subject, keyring) if subject else issuance.principal or client.client_id,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "exp": now + seconds,
        "iat": now,
        "jti": issuance.token_id,
        "client_id": client.client_id,
        "tenant_id": issuance.tenant.id,
        "epoch": f"{subject.epoch if subject else 0}.{client.epoch}",
    }
    if issuance.scopes:
        claims["scope"] = " ".join(issuance.scopes)
    if issuance.grant_id:
        claims["grant_id"] = issuance.grant_id
    if subject:
        claims |= _authentication(issuance, None if issuance.offline else issuance.session_id)
        include = {name for resource in here for name in resource.include}
        if "groups" in issuance.scopes:
            include.add("groups")
        for name in INCLUDABLE:
            if name in include:
                claims[name] = sorted(getattr(subject.access, name))
    if issuance.cnf:
        claims["cnf"] = issuance.cnf
    if issuance.authorization_details:
        claims["authorization_details"] = list(issuance.authorization_details)
    if issuance.act:
        claims["act"] = issuance.act
    if may_act := client.token_exchange.may_act:
        claims["may_act"] = {"sub": may_act}
    if issuance.hops:
        claims[lineage.CLAIM] = lineage.write(issuance.hops)
    for resource in here:
        if resource.claims:
            claims = _mapped(claims, resource.claims, issuance)
    return claims


def issue_id_token(
    issuance: Issuance,
    subject: Subject,
    keyring: Keyring,
    *,
    vouches_for: Mapping[str, str | None] = MappingProxyType({}),
    with_scopes: bool = False,
) -> tuple[str, int]:
    """An ID token by itself (RFC 8693, OIDC Core section 3.2), and for how many seconds it is good.

    `vouches_for` names what comes beside it in the authorization response, by the claim that holds its hash. With
    `with_scopes` it has what the scopes ask for.
    """
    now = clock.timestamp(clock.now())
    until = now + ID_TOKEN_SECONDS
    seconds = (until if issuance.not_after is None else max(now + 1, min(until, issuance.not_after))) - now
    token = _id_token(
        issuance, subject, keyring, None, now, seconds, vouches_for=vouches_for, with_scopes=with_scopes
    )
    return token, seconds


def _id_token(
    issuance: Issuance,
    subject: Subject,
    keyring: Keyring,
    access_token: str | None,
    now: int,
    seconds: int = ID_TOKEN_SECONDS,
    *,
    vouches_for: Mapping[str, str | None] = MappingProxyType({}),
    with_scopes: bool = False,
) -> str:
    """OpenID Connect Core section 2. Claims about the person only where the `claims` parameter named them."""
    alg = profiles.signing_algorithm(
        issuance.client.id_token_signed_response_alg, issuance.client, issuance.tenant
    )
    key = keyring.current(issuance.tenant.id, alg)
    claims: dict[str, Any] = {
        "iss": issuance.tenant.issuer,
        "sub": _subject(issuance, subject, keyring),
        "aud": issuance.client.client_id,
        "exp": now + seconds,
        "iat": now,
        **({} if access_token is None else {"at_hash": jose.at_hash(access_token, key.alg)}),
        **{
            claim: jose.at_hash(value, key.alg)
            for claim, value in vouches_for.items()
            if value is not None and value.isascii()
        },
        **_authentication(issuance, issuance.session_id),
    }
    if issuance.nonce is not None:
        claims["nonce"] = issuance.nonce
    if issuance.act:
        claims["act"] = issuance.act
    requested = issuance.claims_request.get("id_token") or {}
    scopes = issuance.scopes if with_scopes else ()
    claims |= domain_claims.released(subject.everything, scopes, requested)
    if issuance.client.claims:
        claims = _mapped(claims, issuance.client.claims, issuance)
    return jose.sign(claims, key, typ="JWT")


def _authentication(issuance: Issuance, session_id: str | None) -> dict[str, Any]:
    """How and when the person signed in."""
    found = {
        "auth_time": issuance.auth_time,
        "acr": issuance.acr,
        "amr": list(issuance.amr) or None,
        "sid": session_id,
    }
    return {name: value for name, value in found.items() if value is not None}


def _mapped(
    claims: dict[str, Any], rules: tuple[domain_claims.ClaimRule, ...], issuance: Issuance
) -> dict[str, Any]:
    subject = issuance.subject
    return domain_claims.map_claims(
        claims,
        rules,
        everything=subject.everything if subject else {},
        access=subject.access if subject else NOBODY,
        tenant_id=issuance.tenant.id,
    )
